"""Known vulnerabilities in a real daemon: a feed that comes is looked at at once, and what was found outlives it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from advisories import compile_all, deliver, document, installed
from real_device import Device, wait_until

from vedette.agent import control, feedfile
from vedette.agent.paths import SCANNED_VARIABLE


def test_a_feed_that_comes_is_looked_at_at_once_and_by_a_later_life_too(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned, state = tmp_path / "scanned", device.paths.state_dir
    status = scanned / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    (scanned / "etc").mkdir()
    (scanned / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    status.write_text(installed(bash="1.0", dash="1.0"))
    (tmp_path / "osv").mkdir()
    device.environment[SCANNED_VARIABLE] = str(scanned)

    def ctl(*words: str) -> int:
        return control.main(["--root", str(device.paths.root), *words])

    def feed(*numbers: int) -> None:
        for number in numbers:
            name = ("bash", "dash")[number % 2]
            (tmp_path / f"osv/{number}.json").write_text(document(number, name, "2.0"))
        (made,) = compile_all(tmp_path / "osv", datetime.now(UTC).isoformat()).values()
        deliver(state, made)
        feedfile.say_arrived(feedfile.directory(state))

    def told() -> list[tuple[str, str]]:
        return [(each["subject"]["name"], each["level"]) for each in device.alerts()]

    assert ctl("create", "cve", "a", "interval=30d") == 0
    assert ctl("enable", "cve", "a") == 0
    device.start()
    wanted = feedfile.directory(state) / feedfile.WANTED / "cve_a.json"
    wait_until(wanted.exists, f"the first look\n{device.log()}")
    feed(10)
    wait_until(lambda: told() == [("CVE-2026-10 bash", "CRITICAL")], f"the feed is looked at\n{device.log()}")
    device.kill()
    feed(11)
    status.write_text(installed(bash="2.0", dash="1.0"))
    device.start()
    after = [("CVE-2026-10 bash", "CRITICAL"), ("CVE-2026-10 bash", "OK"), ("CVE-2026-11 dash", "CRITICAL")]
    wait_until(lambda: sorted(told()) == sorted(after), f"what happened meanwhile; {told()}\n{device.log()}")
    monkeypatch.setenv(SCANNED_VARIABLE, str(scanned))
    assert ctl("scan", "cve", "--check", "a") == 1
