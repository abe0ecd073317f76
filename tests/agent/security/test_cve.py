"""Known vulnerabilities: what the samples say, and what happens when the feed is old, partial, damaged or not there."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from advisories import compile_all, deliver, document, installed
from cases import Case, Device, all_of, check, read

from vedette.agent import feedfile
from vedette.agent.security.cve import Scanner
from vedette.model.feed import load_head, prefix

STATUS = "/var/lib/dpkg/status"
NAMES = [f"package-{number}" for number in range(300)]


def new_device(root: Path, **settings: str) -> Device:
    device = Device(root, "cve", Scanner(), settings)
    device.write("/etc/os-release", "ID=debian\nVERSION_ID=12\n")
    return device


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """Debian 12 with a feed of 300 packages, each with one vulnerability, and two packages installed."""
    device = new_device(tmp_path / "root")
    for number, name in enumerate(NAMES):
        device.write(f"/osv/{number}.json", document(number, name, "2.0"))
    device.write(STATUS, installed(package_7="1.0", package_8="2.0"))
    return device


@pytest.mark.parametrize("path", all_of("cve"), ids=lambda path: path.stem)
def test_a_sample(tmp_path: Path, path: Path) -> None:
    case: Case = read(path)
    device = Device(tmp_path, "cve", Scanner(), case.settings)
    for name, text in case.first.items():
        device.write(name, text)
    for made in compile_all(tmp_path / "osv").values():
        deliver(device.root / "state", made)
    check(device.live(case), case)


def keys(device: Device) -> list[str]:
    return [each.key for each in device.scan().findings]


def test_what_it_wants_is_noted_for_the_uplink(device: Device) -> None:
    report = device.scan()
    assert report.unseen == ["Debian:12: there is no feed of known vulnerabilities of it here yet"]
    assert not report.findings
    wanted = feedfile.wanted(feedfile.directory(device.root / "state"), device.clock.now())
    assert wanted == {"Debian:12": {prefix("package-7"), prefix("package-8")}}


def test_a_feed_that_never_comes_is_a_finding_after_a_day_and_called_off_when_it_has_come(device: Device) -> None:
    assert keys(device) == []
    device.clock.advance(timedelta(hours=23).total_seconds())
    assert keys(device) == []
    device.clock.advance(timedelta(hours=1).total_seconds())
    (found,) = device.scan().findings
    assert (found.key, found.status) == ("feed Debian:12", "FEED_MISSING")
    (made,) = compile_all(device.root / "osv", device.clock.now().isoformat()).values()
    deliver(device.root / "state", made)
    assert keys(device) == ["CVE-2026-7 package-7"]


def test_an_old_feed_is_a_finding_beside_what_it_knows(device: Device) -> None:
    (made,) = compile_all(device.root / "osv", (device.clock.now() - timedelta(days=7)).isoformat()).values()
    deliver(device.root / "state", made)
    assert keys(device) == ["feed Debian:12", "CVE-2026-7 package-7"]
    device.settings = {**device.settings, "feed-age": 8 * 86400}
    assert keys(device) == ["CVE-2026-7 package-7"]


def test_while_a_part_is_missing_nothing_is_called_off(device: Device) -> None:
    (made,) = compile_all(device.root / "osv").values()
    assert made.head.buckets > 1
    deliver(device.root / "state", made, without="package-7")
    report = device.scan()
    assert report.partial
    assert not report.findings
    assert report.unseen == ["Debian:12: 1 packages are not in the feed yet; it is fetched"]
    deliver(device.root / "state", made)
    report = device.scan()
    assert (report.partial, len(report.findings)) == (False, 1)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "later format"])
def test_a_damaged_feed_is_said_and_calls_nothing_off(device: Device, damage: str) -> None:
    (made,) = compile_all(device.root / "osv").values()
    path = deliver(device.root / "state", made)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "flipped":
        for at in range(len(content) // 3, len(content), 50):
            content[at] ^= 0xFF
    elif damage == "empty":
        content.clear()
    else:
        content[:15] = content[:15].replace(b"1", b"2", 1)
    path.write_bytes(content)
    report = device.scan()
    assert report.partial
    assert not report.findings
    assert report.unseen


def test_a_time_limit_that_comes_first_calls_nothing_off(device: Device) -> None:
    (made,) = compile_all(device.root / "osv").values()
    deliver(device.root / "state", made)
    report = device.scan(until=device.clock.elapsed() - 1)
    assert (report.partial, report.unseen) == (True, ["Debian:12: the time limit came before the end"])
    assert report.baseline is None


def test_packages_that_cannot_be_read_call_nothing_off(device: Device) -> None:
    (made,) = compile_all(device.root / "osv").values()
    deliver(device.root / "state", made)
    (device.root / STATUS.lstrip("/")).unlink()
    (device.root / STATUS.lstrip("/")).mkdir()
    report = device.scan()
    assert report.partial
    assert "Is a directory" in report.unseen[0]


def test_a_feed_is_found_where_the_setting_says(device: Device, tmp_path: Path) -> None:
    (made,) = compile_all(device.root / "osv").values()
    where = tmp_path / "stick"
    where.mkdir()
    deliver(device.root / "state", made).rename(where / "Debian:12.feed")
    assert keys(device) == []
    device.settings = {**device.settings, "feed": str(where)}
    assert keys(device) == ["CVE-2026-7 package-7"]


def test_the_worst_and_what_can_be_mended_comes_first(tmp_path: Path) -> None:
    device = new_device(tmp_path / "root", severity="low")
    levels = {"a": "LOW", "b": "CRITICAL", "c": "HIGH", "d": "HIGH"}
    for number, (name, level) in enumerate(levels.items()):
        text = json.loads(document(number, name, "" if name == "c" else "2"))
        text["database_specific"] = {"severity": level}
        device.write(f"/osv/{number}.json", json.dumps(text))
    device.write(STATUS, installed(a="1", b="1", c="1", d="1"))
    (made,) = compile_all(device.root / "osv").values()
    deliver(device.root / "state", made)
    assert keys(device) == ["CVE-2026-1 b", "CVE-2026-3 d", "CVE-2026-2 c", "CVE-2026-0 a"]
    done = {each.key[-1]: each.do for each in device.scan().findings}
    assert done["d"] == "fixed in 2: apt-get install --only-upgrade d"
    assert done["c"].startswith("there is no fixed version yet")


# --- not a hundred alerts at once ------------------------------------------------------------------------------------


def flooded(device: Device, count: int, first: int = 20) -> None:
    """So many of its packages are vulnerable."""
    packages = {f"package_{number}": "1.0" for number in range(first, first + count)}
    device.write(STATUS, installed(package_7="1.0", **packages))


@pytest.fixture
def fed(device: Device) -> Device:
    (made,) = compile_all(device.root / "osv", "2026-03-24T00:00:00Z").values()
    deliver(device.root / "state", made)
    return device


def test_of_one_look_ten_are_told_alone_and_the_others_together(fed: Device) -> None:
    flooded(fed, 30)
    report = fed.scan()
    assert len(report.findings) == 11
    together = report.findings[-1]
    assert together.key == "together 2026-03-24T16:00+00:00"
    assert together.what.startswith("21 known vulnerabilities (21 unrated) of 21 packages")
    assert "apt-get upgrade" in together.do
    first = [each.key for each in report.findings]
    fed.clock.advance(3600)
    assert keys(fed) == first  # nothing has changed
    flooded(fed, 31)
    (new,) = set(keys(fed)) - set(first)  # what comes later is told by itself
    assert new == "CVE-2026-50 package-50"
    flooded(fed, 0)
    assert keys(fed) == [together.key]  # one of these is left: package-7
    fed.write(STATUS, installed(package_7="2.0"))
    assert keys(fed) == []


def test_each_burst_is_told_for_itself_and_called_off_when_all_of_it_is_over(fed: Device) -> None:
    flooded(fed, 30)
    first = keys(fed)
    fed.clock.advance(86400)
    flooded(fed, 60)
    second = keys(fed)
    assert len(second) == 22
    assert second[-2:] == ["together 2026-03-24T16:00+00:00", "together 2026-03-25T16:00+00:00"]
    assert set(first) < set(second)
    fed.write(STATUS, installed(**{f"package_{number}": "1.0" for number in range(50, 80)}))
    assert keys(fed) == [each for each in second if each not in first]


def test_who_asks_by_hand_sees_each(fed: Device) -> None:
    flooded(fed, 30)
    found = fed.scan(baseline={}, by_hand=True).findings
    assert len(found) == 31
    fed.settings = {**fed.settings, "alone": 0}
    fed.baseline = None
    assert len(keys(fed)) == 1


def test_before_all_of_the_feed_is_there_nothing_is_told(device: Device) -> None:
    (made,) = compile_all(device.root / "osv", "2026-03-24T00:00:00Z").values()
    flooded(device, 30)
    deliver(device.root / "state", made, without="package-20")
    report = device.scan()
    assert (report.findings, report.baseline, report.partial) == ([], None, True)
    deliver(device.root / "state", made)
    assert len(keys(device)) == 11
    deliver(device.root / "state", made, without="package-20")
    before = device.baseline
    assert len(keys(device)) > 0
    assert device.baseline == before  # what is not seen now is not forgotten


def test_what_was_accepted_is_not_counted_among_the_others(fed: Device) -> None:
    flooded(fed, 12)
    fed.settings = {**fed.settings, "alone": 11}
    (*_, together) = fed.scan().findings
    assert together.what.startswith("2 known")
    told = set(keys(fed))
    one = next(key for number in range(20, 32) if (key := f"CVE-2026-{number} package-{number}") not in told)
    (*_, together) = fed.scan(accepted=frozenset({one})).findings
    assert together.what.startswith("1 known")


def test_the_head_is_the_same_bytes_each_time(device: Device) -> None:
    (made,) = compile_all(device.root / "osv").values()
    (again,) = compile_all(device.root / "osv").values()
    assert again == made
    assert load_head(made.head.dump()) == made.head
