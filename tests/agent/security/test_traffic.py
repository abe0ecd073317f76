"""The kind `traffic`: the samples of tests/corpus/security/traffic, each some hours of counters; and what these do."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from cases import all_of, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tree import Tree, orders

from vedette.errors import Invalid, Unavailable

HOUR = 3600
MB = 1 << 20
UNITS = {"": 1, "k": 1 << 10, "M": MB, "G": 1 << 30}
HEAD = "Inter-|   Receive                                    |  Transmit\n face |bytes packets ... |bytes packets ...\n"


class Device(Tree):
    """Its interfaces count; so many seconds pass between two scans."""

    def __init__(self, root: Path, **settings: str) -> None:
        super().__init__(root, "traffic", **settings)
        self.counters: dict[str, list[int]] = {}
        self.index = dict.fromkeys(("eth0", "eth1", "wlan0", "wwan0"), 0)
        self.boot("one")

    def boot(self, name: str) -> None:
        self.do(f"file /proc/sys/kernel/random/boot_id 644 {name}")
        self.counters = {each: [0, 0] for each in self.counters}
        self.clock.since_boot = 20.0
        self.write()

    def made_again(self, interface: str) -> None:
        self.index[interface] += 10
        self.counters[interface] = [0, 0]
        self.write()

    def carry(self, interface: str, received: int, sent: int, *, bits: int = 64) -> None:
        before = self.counters.get(interface, [0, 0])
        self.counters[interface] = [(before[0] + received) % 2**bits, (before[1] + sent) % 2**bits]
        self.write()

    def write(self) -> None:
        lines = [
            f"{name:>6}: {read} 9 0 0 0 0 0 0 {sent} 9 0 0 0 0 0 0\n" for name, (read, sent) in self.counters.items()
        ]
        self.do(
            "file /proc/net/dev 444 "
            + HEAD
            + "    lo: 99999999999999 9 0 0 0 0 0 0 99999999999999 9\n"
            + "".join(lines)
        )
        for name in self.counters:
            self.do(f"file /sys/class/net/{name}/ifindex 444 {self.index[name]}")

    def hour(self, carried: Mapping[str, tuple[int, int]], *, scans: int = 4) -> dict[str, str]:
        """Evenly, with so many scans; what the last one but the end of the period, and that, have found."""
        new = carried.keys() - self.counters.keys()
        for name in new:
            self.carry(name, 0, 0)
        found = self.found() if new else {}
        for _ in range(scans):
            self.clock.advance(HOUR / scans)
            for name, (received, sent) in carried.items():
                self.carry(name, received // scans, sent // scans)
            found = self.found()
        return found


def size(text: str) -> int:
    return int(text.rstrip("kMG")) * UNITS[text.lstrip("0123456789")]


def hours(lines: list[str]) -> list[dict[str, tuple[int, int]]]:
    out = []
    for line in lines:
        count, *fields = line.split()
        each = {name: (size(i), size(o)) for name, i, o in zip(fields[::3], fields[1::3], fields[2::3], strict=True)}
        out += [each] * int(count)
    return out


@pytest.mark.parametrize("path", all_of("traffic"), ids=lambda path: path.stem)
def test_sample(path: Path, tmp_path: Path) -> None:
    sample = read(path)
    device = Device(tmp_path, **sample.settings)
    for each in hours(orders(sample, "first")):
        device.hour(each)
    assert device.found() == {}, "it knows all that came so far"
    for each in hours(orders(sample, "then")):
        device.hour(each)
    told = {(each.key, each.status): each.what for each in device.scan().findings}
    assert told.keys() == {(key, status) for key, status, _ in sample.finds}
    for key, status, part in sample.finds:
        assert part in told[key, status]


def learned(root: Path, **settings: str) -> Device:
    device = Device(root, **settings)
    for _ in range(25):
        assert device.hour({"eth0": (100 * MB, 100 * MB)}) == {}
    return device


def test_what_it_says(tmp_path: Path) -> None:
    device = learned(tmp_path)
    began = device.clock.now()
    device.hour({"eth0": (2000 * MB, 100 * MB)}, scans=1)
    (finding,) = device.scan().findings
    assert finding.name == "Interface eth0 receives far more than usual"
    assert finding.what == "eth0 receives 2.1 GB in 1h; up to 1.05 GB would be usual"
    assert finding.since is not None
    assert finding.since > began
    assert finding.where == "eth0"
    assert "tcpdump -ni eth0" in finding.do


def test_it_is_told_at_once_and_called_off_after_a_calm_hour(tmp_path: Path) -> None:
    device = learned(tmp_path)
    device.clock.advance(60)
    device.carry("eth0", 0, 1100 * MB)
    assert device.found() == {"eth0 out": "TRAFFIC_UNUSUAL"}, "the hour is not over"
    assert device.hour({"eth0": (0, 0)}) == {"eth0 out": "TRAFFIC_UNUSUAL"}, "the hour in which it was"
    device.clock.advance(HOUR - 2)
    assert device.found() == {"eth0 out": "TRAFFIC_UNUSUAL"}, "the calm hour is not over"
    device.clock.advance(2)
    assert device.found() == {}


def test_a_new_amount_becomes_usual_after_hours_not_at_once(tmp_path: Path) -> None:
    device = learned(tmp_path)
    raised = [bool(device.hour({"eth0": (100 * MB, 5000 * MB)}, scans=1)) for _ in range(48)]
    assert all(raised[:6])
    assert not raised[-1]


def test_other_settings(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="limit and factor are both 0"):
        Device(tmp_path, limit="0", factor="0").scan()
    device = learned(tmp_path, interfaces="wlan*", limit="1M")
    assert device.hour({"eth0": (5000 * MB, 0)}) == {}
    device.carry("wlan0", 0, 0)
    device.scan()
    assert device.hour({"wlan0": (5000 * MB, 0)}) == {"wlan0": "TRAFFIC_LIMIT"}


def test_another_period_is_learned_anew(tmp_path: Path) -> None:
    device = learned(tmp_path)
    other = Device(tmp_path, period="30m")
    other.baseline, other.memory, other.clock = device.baseline, device.memory, device.clock
    other.counters = device.counters
    assert other.hour({"eth0": (5000 * MB, 0)}) == {}


def test_the_agent_was_off(tmp_path: Path) -> None:
    """Five hours in one look are five hours, not one."""
    device = learned(tmp_path)
    device.clock.advance(10 * HOUR)
    device.carry("eth0", 6000 * MB, 6000 * MB)
    assert device.found() == {}
    device.clock.advance(10 * HOUR)
    device.carry("eth0", 0, 70_000 * MB)
    assert device.found() == {"eth0 out": "TRAFFIC_UNUSUAL"}


def test_an_interface_that_goes_and_comes(tmp_path: Path) -> None:
    device = learned(tmp_path)
    device.carry("eth0", 0, 5000 * MB)
    assert device.found() == {"eth0 out": "TRAFFIC_UNUSUAL"}
    counters = device.counters.pop("eth0")
    device.write()
    assert device.found() == {}
    device.counters["eth0"] = counters
    device.write()
    device.clock.advance(8 * 86400)
    del device.counters["eth0"]
    device.write()
    device.scan()
    assert device.memory["counts"] == {}
    assert device.baseline["past"] == {}


def test_little_is_written(tmp_path: Path) -> None:
    """Within a period nothing at all, so a flash memory has peace; and what is kept stays small."""
    device = learned(tmp_path)
    for _ in range(59):
        device.clock.advance(60)
        device.carry("eth0", MB, MB)
        report = device.scan()
        assert (report.baseline, report.memory) == (None, None)
    assert len(json.dumps(device.memory)) < 200
    for _ in range(200):
        device.hour({"eth0": (10**12, 10**12)}, scans=1)
    assert len(json.dumps(device.baseline)) < 6000


def test_by_hand(tmp_path: Path) -> None:
    """There is one look only: what counts is how much it was on average since the system began."""
    device = Device(tmp_path, limit="1G")
    device.carry("eth0", 10_000 * MB, 0)
    device.clock.since_boot = 3 * HOUR
    assert device.found(baseline={}, memory=None, by_hand=True) == {"eth0": "TRAFFIC_LIMIT"}
    device.clock.since_boot = 30 * HOUR
    assert device.found(baseline={}, memory=None, by_hand=True) == {}


def test_nothing_to_read(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.at("/proc/net/dev").unlink()
    with pytest.raises(Unavailable, match="/proc/net/dev"):
        device.scan()


STEP = st.one_of(
    st.just(("boot", 0)), st.just(("again", 0)), st.tuples(st.just("wait"), st.integers(1, 10 * HOUR)),
    st.tuples(st.just("carry"), st.integers(0, 900 * MB)),
)  # fmt: skip


@given(steps=st.lists(STEP, max_size=40), bits=st.sampled_from([32, 64]))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_counters_that_start_anew_raise_no_alarm(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], bits: int
) -> None:
    """Whatever boots, comes again, or is full: without an hour above the limit there is no alarm."""
    device = Device(tmp_path_factory.mktemp("device"), limit="1G", factor="0")
    device.carry("eth0", 2**bits - 500 * MB, 2**bits - MB, bits=bits)
    device.scan()
    boots = 0
    room = float(0)  # bytes that may still come
    for step, amount in steps:
        if step == "boot":
            boots += 1
            device.boot(f"boot {boots}")
        elif step == "again":
            device.made_again("eth0")
        elif step == "wait":
            device.clock.advance(amount)
            room = min(room + amount * 500 * MB / HOUR, 500 * MB)
        elif amount <= room:
            room -= amount
            device.carry("eth0", amount // 2, amount // 2, bits=bits)
        assert device.found() == {}
    device.scan()
    assert all(amount >= 0 for periods in device.baseline["past"].values() for each in periods for amount in each)
