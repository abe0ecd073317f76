"""The kind `logins`: the samples of tests/corpus/security/logins, each a device on which something happens."""

import ipaddress
import json
import os
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cases
import pytest
from cases import NOW, Device

from vedette.agent.security import login_records
from vedette.agent.security.logins import Scanner
from vedette.agent.security.stamp import stamp
from vedette.errors import Invalid
from vedette.model.security import interpret

ACCOUNTS = "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\n"


def a_device(root: Path, **settings: str) -> Device:
    device = Device(root, "logins", Scanner(), settings)
    device.write("/etc/passwd", ACCOUNTS)
    device.write("/var/log/auth.log", "")
    return device


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return a_device(tmp_path)


def failed(count: int, source: str = "198.51.100.87", user: str = "root") -> str:
    return "".join(
        f"Mar 24 15:25:{10 + each} gate sshd[{each}]: Failed password for {user} from {source} port 1 ssh2\n"
        for each in range(count)
    )


@pytest.mark.parametrize("path", cases.all_of("logins"), ids=lambda path: path.stem)
def test_each_sample_finds_what_stands_in_it(tmp_path: Path, path: Path) -> None:
    sample = cases.read(path)
    device = a_device(tmp_path, **sample.settings)
    report = device.live(sample)
    cases.check(report, sample)
    assert "hunter2" not in repr(report.findings)
    events = {each.key for each in report.findings if each.expires_s}
    assert not events & {each.key for each in device.scan().findings}  # an event is found once


def test_who_made_an_account_is_told(device: Device) -> None:
    by = {each.key: each.by for each in device.live(cases.read(cases.CORPUS / "logins/accounts.case")).findings}
    assert by["/etc/passwd carol"] == "alice, by sudo useradd"
    assert by["/etc/passwd daemon"] == ""


def test_what_was_repaired_is_not_found_any_more(device: Device) -> None:
    device.scan()
    device.write("/etc/passwd", ACCOUNTS + "eve:x:0:0::/:/bin/sh\n")
    assert [each.key for each in device.scan().findings] == ["/etc/passwd eve"]
    assert [each.key for each in device.scan().findings] == ["/etc/passwd eve"]  # a condition: as long as it lasts
    device.write("/etc/passwd", ACCOUNTS)
    assert not device.scan().findings
    device.write("/etc/passwd", ACCOUNTS + "eve:x:0:0::/:/bin/sh\n")
    assert [each.key for each in device.scan().findings] == ["/etc/passwd eve"]


def test_a_rotation_in_the_middle_loses_and_doubles_nothing(device: Device) -> None:
    device.scan()
    log = device.root / "var/log/auth.log"
    lines = failed(6).splitlines(keepends=True)
    device.write("/var/log/auth.log", "".join(lines[:2]))
    assert not device.scan().findings
    device.write("/var/log/auth.log", lines[2], more=True)
    log.rename(log.with_name("auth.log.1"))
    device.write("/var/log/auth.log", "".join(lines[3:]))
    report = device.scan()
    assert [each.what for each in report.findings] == ["6 failed logins within 5s, as root (sshd password)"]
    assert not device.scan().findings


def test_failures_of_different_scans_add_up(device: Device) -> None:
    device.scan()
    for line in failed(4).splitlines(keepends=True):
        device.write("/var/log/auth.log", line, more=True)
        assert not device.scan().findings
    device.write("/var/log/auth.log", failed(5).splitlines()[-1] + "\n", more=True)
    assert [each.key for each in device.scan().findings] == ["failed from 198.51.100.87"]


def test_nothing_new_leaves_memory_as_it_is(device: Device) -> None:
    """Else each scan would cost a write to the flash."""
    device.scan()
    device.write("/var/log/auth.log", failed(2), more=True)
    device.scan()
    before = device.memory
    device.clock.advance(3600)
    device.scan()
    assert device.memory == before


def test_many_sources_fit_into_memory(device: Device) -> None:
    device.settings = interpret("logins", {"failures": "100"})
    device.scan()
    text = "".join(
        f"Mar 24 15:{minute:02}:{second:02} gate sshd[1]: Failed password for invalid user x{'y' * 40} from"
        f" 2001:db8:{minute}:{second}::{each} port 1 ssh2\n"
        for minute in range(60)
        for second in range(0, 60, 2)
        for each in range(9)
    ) + "".join(
        f"Mar 24 15:30:{each:02} gate sshd[1]: Failed password for alice from 2001:db8:ff:{each:x}::1 port 1 ssh2\n"
        for each in range(60)
        for _ in range(9)
    )
    device.write("/var/log/auth.log", text, more=True)
    device.scan()
    assert len(json.dumps(device.memory)) < 64 * 1024


def test_by_hand_all_that_is_there_is_told(device: Device) -> None:
    device.write("/var/log/auth.log", failed(7))
    report = device.scan(baseline={}, by_hand=True)
    assert {each.key: each.what.partition(":")[0] for each in report.findings} == {
        "failed from 198.51.100.87": "7 failed logins within 6s, as root (sshd password)",
        "/etc/passwd alice": "the account alice may log in",
    }


def test_the_records_are_read_where_there_is_no_log(device: Device) -> None:
    (device.root / "var/log/auth.log").unlink()
    for name in ("wtmp", "btmp"):
        device.write(f"/var/log/{name}", "")
    device.scan()
    at = int((NOW - timedelta(minutes=5)).timestamp())
    (device.root / "var/log/wtmp").write_bytes(record(384, 7, "root", "203.0.113.5", at))
    (device.root / "var/log/btmp").write_bytes(
        b"".join(record(384, 6, "root", "203.0.113.9", at + each) for each in range(6))
    )
    found = {each.key: each for each in device.scan().findings}
    assert found.keys() == {"root from 203.0.113.5", "failed from 203.0.113.9"}
    assert found["root from 203.0.113.5"].since == datetime.fromtimestamp(at, UTC)
    assert not device.scan().findings


def test_a_log_is_read_and_the_records_are_not(device: Device) -> None:
    """They say the same."""
    device.write("/var/log/btmp", "")
    device.scan()
    (device.root / "var/log/btmp").write_bytes(b"".join(record(384, 6, "root", "9.9.9.9", each) for each in range(9)))
    device.write("/var/log/auth.log", failed(5, "9.9.9.9"))
    assert [each.what for each in device.scan().findings] == ["5 failed logins within 4s, as root (sshd password)"]


@pytest.mark.parametrize("size", login_records.SIZES)
@pytest.mark.parametrize("address", ["203.0.113.5", "2001:db8::7"])
def test_both_layouts_of_records(tmp_path: Path, size: int, address: str) -> None:
    path = tmp_path / "wtmp"
    path.write_bytes(b"".join(record(size, sort, "root", address, 1_700_000_000 + sort) for sort in (2, 7, 8) * 9))
    assert login_records.record_size(path) == size
    (event, *more) = login_records.events(path.read_bytes(), size, failed=False)
    assert (event.user, event.source, event.sort) == ("root", address, "login")
    assert event.at == datetime.fromtimestamp(1_700_000_007, UTC)
    assert len(more) == 8


def record(size: int, sort: int, user: str, address: str, seconds: int) -> bytes:
    """As utmp(5) has it."""
    packed = ipaddress.ip_address(address).packed.ljust(16, b"\0")
    head = struct.pack("=hxxi32s4s32s256s4x", sort, 812, b"pts/0", b"0", user.encode(), b"host.example")
    time = struct.pack("=iii", 0, seconds, 5) if size == 384 else struct.pack("=qqq", 0, seconds, 5)
    return (head + time + packed).ljust(size, b"\0")


@pytest.mark.parametrize(
    "settings", [{"allow": "10.0.0.300"}, {"allow": "10.0.0.0/99"}, {"allow": "10.0.0"}, {"log": "syslog"}]
)
def test_settings_that_mean_nothing_are_refused_where_they_are_written(settings: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        interpret("logins", settings)


def test_what_only_looks_like_a_network_is_refused_by_the_scan(device: Device) -> None:
    device.settings = interpret("logins", {"allow": "10.0.0.0/8 2001:db8::/32 gate.example.net local"})
    device.scan()
    device.settings = interpret("logins", {"allow": "1::2::3"})
    with pytest.raises(Invalid, match="'1::2::3' is no address"):
        device.scan()


def test_a_key_file_that_may_not_be_read_is_told_and_its_keys_stay(device: Device, monkeypatch: Any) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
    device.write("/home/alice/.ssh/authorized_keys", key)
    device.scan()
    keys = device.baseline["facts"]["keys"]
    assert len(keys) == 1
    real = os.open

    def refuse(path: Any, *rest: Any, **named: Any) -> int:
        if str(path).endswith("authorized_keys"):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    report = device.scan()
    assert "/home/alice/.ssh/authorized_keys: Permission denied" in report.unseen
    assert device.baseline["facts"]["keys"] == keys
    monkeypatch.undo()
    assert not device.scan().findings


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("AuthorizedKeysFile /etc/keys/%u\n", "/etc/keys/alice"),
        ("authorizedkeysfile=.keys\n", "/home/alice/.keys"),
        ("Include /etc/ssh/sshd_config.d/*.conf\n", "/home/alice/included"),
        ("Match User bob\nAuthorizedKeysFile /other\n", "/home/alice/.ssh/authorized_keys2"),
    ],
)
def test_keys_are_looked_for_where_sshd_does(device: Device, text: str, path: str) -> None:
    device.write("/etc/ssh/sshd_config", text)
    device.write("/etc/ssh/sshd_config.d/a.conf", "AuthorizedKeysFile included\n")
    device.scan()
    device.write(path, "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAI x\n")
    assert [each.where for each in device.scan().findings] == [path]


def test_new_restrictions_of_a_key_are_told(device: Device) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a\n"
    device.write("/root/.ssh/authorized_keys", f'restrict,command="/bin/backup" {key}')
    device.scan()
    device.write("/root/.ssh/authorized_keys", key)
    assert [each.status for each in device.scan().findings] == ["CHANGED_KEY"]


def test_while_nothing_it_has_read_changes_another_look_is_left_out(device: Device) -> None:
    device.write("/etc/ssh/sshd_config", "Include sshd_config.d/*.conf\n")
    unless = device.scan().unless
    assert changed(unless) == set()
    for path, text in (
        ("/var/log/auth.log", "a line\n"),
        ("/etc/passwd", ACCOUNTS + "eve:x:0:0::/:/bin/sh\n"),
        ("/home/alice/.ssh/authorized_keys", "ssh-ed25519 AAAA\n"),
        ("/etc/ssh/sshd_config.d/a.conf", "AuthorizedKeysFile x\n"),
    ):
        device.write(path, text)
        assert changed(unless), path
        unless = device.scan().unless
        assert changed(unless) == set()


def test_a_log_that_comes_later_is_looked_at(device: Device) -> None:
    (device.root / "var/log/auth.log").unlink()
    device.write("/var/log/wtmp", "")
    unless = device.scan().unless
    device.write("/var/log/secure", "")
    assert changed(unless) == {str(device.root / "var/log/secure")}


def test_all_of_a_log_is_news_where_there_was_none(device: Device) -> None:
    (device.root / "var/log/auth.log").unlink()
    report = device.scan()
    assert report.unseen == ["/var/log: no log of logins, and no journal"]
    device.write("/var/log/auth.log", failed(6))
    assert [each.key for each in device.scan().findings] == ["failed from 198.51.100.87"]


def changed(unless: Mapping[str, str]) -> set[str]:
    return {path for path, was in unless.items() if stamp(path) != was}
