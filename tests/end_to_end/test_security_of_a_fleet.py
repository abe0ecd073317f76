"""One security configuration for a group of three real agents; what then happens to them is told, and nothing else.

Each agent has files of its own to look at (`MENDER_MONITOR_SCANNED`) and the processes and ports of this machine.
"""

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright
from real_site import EMAIL, PASSWORD, Site

from vedette.agent.paths import SCANNED_VARIABLE, Paths
from vedette.demo.stage import Stage
from vedette.demo.story import wait_until
from vedette.errors import Unavailable

GROUP = "gates"
LAYER = f"/api/management/v1/vedette/configuration/layers/groups/{GROUP}"
ROLLOUTS = "/api/management/v1/vedette/configuration/rollouts"
EFFECTIVE = "/api/management/v1/vedette/configuration/devices/{}/effective"
PROBLEMS = "/api/management/v1/vedette/problems"
HISTORY = "/api/management/v1/devicemonitor/devices/{}/alerts"
SLEEPER = "vedette-sleeper"
AT_ONCE = {"waves": [100], "soak_s": 0}
EVENTS_LAST_S = 60
BY_API = {
    "security.ports.enabled": "true",
    "security.ports.dwell": "0",
    "security.setuid.paths": "/opt",
    "security.integrity.paths": "/usr/bin",
    "security.pid-change.process": SLEEPER,
    "security.pid-change.expiration": f"{EVENTS_LAST_S}s",
    "security.processes.places": "/dev/shm/nothing-runs-here",
    "security.processes.allow": "/memfd:*",  # what else runs on this machine is none of our business
    "security.traffic.enabled": "true",
    "security.deployment.enabled": "true",
}
BY_CLI = {
    "security.logins.log": "/var/log/auth.log",
    "security.logins.expiration": f"{EVENTS_LAST_S}s",
    "security.cve.severity": "high",
}
KINDS = ("cve", "deployment", "integrity", "logins", "pid-change", "ports", "processes", "setuid", "traffic")
LEARN = ("integrity", "logins", "pid-change", "ports", "processes", "setuid")
FAST = {f"security.{kind}.interval": "60s" if kind == "traffic" else "5s" for kind in KINDS}
WITHIN_S = 300.0  # the looks that read much get only what a busy machine has left


@dataclass
class Machine:
    """A device: our agent, and the files it looks at."""

    root: Path
    scanned: Path
    id: str = ""

    @property
    def paths(self) -> Paths:
        return Paths(self.root)

    def file(self, name: str, text: str, mode: int = 0o755) -> None:
        path = self.scanned / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new~")
        fresh.write_text(text)
        fresh.chmod(mode)
        fresh.replace(path)

    def installs(self, name: str, version: str, *, tool: str = "") -> None:
        """A package, which may bring /usr/bin/tool with this content; by the real dpkg where that is possible."""
        if os.getuid() == 0 and shutil.which("dpkg-deb"):
            self._by_dpkg(name, version, tool)
        else:
            self._as_dpkg(name, version, tool)

    def _by_dpkg(self, name: str, version: str, tool: str) -> None:
        for needed in ("info", "updates"):
            (self.scanned / "var/lib/dpkg" / needed).mkdir(parents=True, exist_ok=True)
        (self.scanned / "var/lib/dpkg/status").touch()
        package = self.root.with_name(f"{self.root.name}-{name}-{version}")
        (package / "DEBIAN").mkdir(parents=True)
        (package / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Us <us@example.com>\nDescription: x\n"
        )
        if tool:
            (package / "usr/bin").mkdir(parents=True)
            (package / "usr/bin/tool").write_text(tool)
            (package / "usr/bin/tool").chmod(0o755)
            (package / "DEBIAN/md5sums").write_text(f"{_md5(tool)}  usr/bin/tool\n")
        deb = f"{package}.deb"
        for command in (
            ["dpkg-deb", "--build", "--root-owner-group", str(package), deb],
            ["dpkg", f"--root={self.scanned}", "--log=/dev/null", "-i", deb],
        ):
            subprocess.run(command, check=True, capture_output=True)

    def _as_dpkg(self, name: str, version: str, tool: str) -> None:
        """What it would leave behind."""
        if tool:
            self.file("/usr/bin/tool", tool)
            self.file(f"/var/lib/dpkg/info/{name}.md5sums", f"{_md5(tool)}  usr/bin/tool\n", 0o644)
            self.file(f"/var/lib/dpkg/info/{name}.list", "/.\n/usr\n/usr/bin\n/usr/bin/tool\n", 0o644)
        status = self.scanned / "var/lib/dpkg/status"
        others = (status.read_text() if status.exists() else "").split("\n\n")
        kept = [each.strip() for each in others if each.strip() and not each.startswith(f"Package: {name}\n")]
        kept.append(f"Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: {version}")
        self.file("/var/lib/dpkg/status", "\n\n".join(kept) + "\n", 0o644)

    def says(self, *lines: str) -> None:
        """Into its log of logins, now."""
        stamp = datetime.now(UTC).strftime("%b %e %H:%M:%S")
        with (self.scanned / "var/log/auth.log").open("a") as log:
            log.writelines(f"{stamp} gate sshd[4092]: {line}\n" for line in lines)

    def has_looked(self) -> bool:
        """Every check that learns what is right has done so."""
        with closing(sqlite3.connect(f"file:{self.paths.store}?mode=ro", uri=True, timeout=10)) as database:
            there = {key for (key,) in database.execute("SELECT key FROM meta")}
        return there.issuperset(f"check {kind}_security" for kind in LEARN)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage(print) as made:
        try:
            yield made
        finally:
            for log in sorted(made.path.glob("*.log")):  # shown where a test fails
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-12000:]}")


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator["Sleeper"]:
    made = Sleeper(tmp_path)
    yield made
    made.stop()


class Sleeper:
    """A program that is to be watched."""

    def __init__(self, path: Path) -> None:
        self._program = path / SLEEPER
        shutil.copy2(shutil.which("sleep") or "/bin/sleep", self._program)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([self._program, "3600"])

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self.stop()
        self._process = self._start()


def machine(stage: Stage, site: Site, path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(path / f"device{number}", path / f"scanned{number}")
    made.file("/etc/os-release", 'ID=debian\nVERSION_ID="12"\n', 0o644)
    made.file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)
    made.file("/etc/group", "root:x:0:\n", 0o644)
    made.file("/var/log/auth.log", "", 0o600)
    made.file("/usr/bin/own", "made here")
    made.file("/opt/app/run", "an application")
    made.installs("tool", "1.0-1", tool="as version 1 brought it")
    made.installs("openssl", "3.0.11-1")
    (made.scanned / "proc").symlink_to("/proc")
    made.paths.mender_conf.parent.mkdir(parents=True)
    made.paths.mender_conf.write_text(json.dumps({"ServerURL": site.url, "UpdatePollIntervalSeconds": 1}))
    made.paths.apply_programs.mkdir(parents=True)
    program = made.paths.apply_programs / "all"
    program.write_text('#!/bin/sh\nif grep -q impossible "$1"; then echo this cannot work >&2; exit 1; fi\n')
    program.chmod(0o755)
    monkeypatch.setenv(SCANNED_VARIABLE, str(made.scanned))
    stage.start("mender-monitord", "--root", str(made.root))
    made.id = site.accept()
    answer = site.admin.put(f"/api/management/v1/inventory/devices/{made.id}/group", json={"group": GROUP})
    assert answer.status_code == 204, answer.text
    return made


def finished(site: Site, rollout: str, state: str = "finished") -> dict[str, Any]:
    found: dict[str, Any] = {}

    def over() -> bool:
        nonlocal found
        found = site.admin.get(f"{ROLLOUTS}/{rollout}").json()
        return bool(found["state"] == state)

    try:
        wait_until(f"the rollout is {state}", over, timeout_s=WITHIN_S)
    except Unavailable:
        print(found, site.admin.get(PROBLEMS).text)
        raise
    return found


def in_sync(site: Site, machines: list[Machine], values: dict[str, str]) -> None:
    """The layer has arrived on all, is reported, and shows no drift."""

    def same(each: Machine) -> bool:
        found = site.admin.get(EFFECTIVE.format(each.id)).json()
        wanted = {key: one["value"] for key, one in found["values"].items()}
        nothing = not any(found["drift"].values())
        return bool(wanted == values and found["reported"] == values and found["in_sync"] and nothing)

    for each in machines:
        wait_until("the configuration is on the device", lambda each=each: same(each), timeout_s=WITHIN_S)  # type: ignore[misc]


def advisory(package: str, fixed: str) -> dict[str, Any]:
    return {
        "id": "DEBIAN-CVE-2026-4711",
        "modified": "2026-03-01T00:00:00Z",
        "published": "2026-03-01T00:00:00Z",
        "upstream": ["CVE-2026-4711"],
        "summary": "reads past the end",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected": [
            {
                "package": {"ecosystem": "Debian:12", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
            }
        ],
    }


def by_page(site: Site, key: str, value: str) -> str:
    """As a person does it, with a browser; the id of the rollout."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "this test needs Debian's Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(base_url=site.url)
        page.goto("/login")
        page.get_by_label("E-mail address").fill(EMAIL)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.goto(f"/configuration/groups/{GROUP}/edit")
        page.locator(f"[name='s-{key}']").evaluate("(field) => { field.closest('details').open = true }")
        page.locator(f"[name='s-{key}']").fill(value)
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("heading", name="What this would do")).to_be_visible()
        expect(page.get_by_text("3 devices of 3")).to_be_visible()
        page.get_by_label("Waves", exact=True).fill("100")
        page.get_by_label("Between waves").fill("0")
        page.get_by_role("button", name="Start the rollout").click()
        expect(page.get_by_role("button", name="Start the rollout")).to_have_count(0)
        browser.close()
    newest, *_ = site.admin.get(ROLLOUTS, params={"group": GROUP}).json()
    rollout: str = newest["id"]
    return rollout


def test_one_configuration_for_a_group_and_what_it_finds(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeper: Sleeper
) -> None:
    site = Site(stage, tmp_path)
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv/one.json").write_text(json.dumps(advisory("vulnerable", "2.0-2")))
    stage.run("vedette", "feed", "import", str(tmp_path / "osv"), "--data", str(tmp_path / "data"))
    machines = [machine(stage, site, tmp_path, number, monkeypatch) for number in range(3)]
    one, two, three = machines

    # The API, the command line, and the page, one after the other.
    values = FAST | BY_API
    made = site.admin.put(LAYER, json={"values": values, "rollout": AT_ONCE, "comment": "by the API"})
    assert made.status_code == 200, made.text
    finished(site, made.json()["rollout"])
    in_sync(site, machines, values)

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "cli"))
    stage.run("vedette", "login", site.url, "--email", EMAIL, stdin=PASSWORD)
    values |= BY_CLI
    layer = {"layer": f"group/{GROUP}", "values": values, "rollout": AT_ONCE}
    (tmp_path / "gates.json").write_text(json.dumps(layer))
    stage.run("vedette", "config", "apply", str(tmp_path / "gates.json"), "--yes", "--wait", "60")
    in_sync(site, machines, values)

    values |= {"security.logins.failures": "6"}
    finished(site, by_page(site, "security.logins.failures", "6"))
    in_sync(site, machines, values)

    def problems() -> set[tuple[int, str, str]]:
        ids = [each.id for each in machines]
        found = site.admin.get(PROBLEMS, params={"per_page": 100}).json()
        return {(ids.index(each["device_id"]), each["subject"]["type"], each["name"]) for each in found}

    wait_until("every check has looked", lambda: all(each.has_looked() for each in machines), timeout_s=WITHIN_S)
    assert problems() == set(), "nothing has happened yet"

    # What happens, and exactly what is told of it.
    with socket.create_server(("0.0.0.0", 0)) as opened:
        port = opened.getsockname()[1]
        sleeper.restart()
        one.file("/opt/app/shell", "gives rights", 0o4755)
        two.file("/usr/bin/own", "changed by somebody")
        two.installs("tool", "2.0-1", tool="as version 2 brought it")
        three.installs("vulnerable", "2.0-1")
        one.says(*[f"Failed password for root from 203.0.113.9 port {40000 + n} ssh2" for n in range(6)])
        everywhere = {
            (number, kind, name)
            for number in range(3)
            for kind, name in (
                ("ports", f"Port tcp 0.0.0.0:{port} is open"),
                ("pid-change", f"The process id of {SLEEPER} has changed"),
            )
        }
        expected = everywhere | {
            (0, "setuid", "File '/opt/app/shell' gives the rights of another one"),
            (0, "logins", "Failed logins from 203.0.113.9"),
            (1, "integrity", "File '/usr/bin/own' is not as it was"),
            (2, "cve", "CVE-2026-4711 in vulnerable (critical)"),
        }
        told: set[tuple[int, str, str]] = set()

        def all_told() -> bool:
            nonlocal told
            told |= problems()
            return told >= expected

        wait_until(f"all of it is told; there is {sorted(told)}", all_told, timeout_s=WITHIN_S)
        assert told == expected
        for each in site.admin.get(PROBLEMS, params={"per_page": 100}).json():
            alerts = site.admin.get(HISTORY.format(each["device_id"])).json()
            said = next(a for a in alerts if a["id"] == each["alert_id"])["subject"]["details"]["description"]
            assert "What to do: " in said, said

    # Repaired: all of it is called off.
    (one.scanned / "opt/app/shell").unlink()
    two.file("/usr/bin/own", "made here")
    three.installs("vulnerable", "2.0-2")
    wait_until("all is called off", lambda: not problems(), timeout_s=WITHIN_S + EVENTS_LAST_S)
    for number, each in enumerate(machines):
        history = site.admin.get(HISTORY.format(each.id), params={"per_page": 100}).json()
        count = sum(device == number for device, _, _ in expected)
        assert sorted(alert["level"] for alert in history) == ["CRITICAL"] * count + ["OK"] * count

    # A configuration that cannot be applied is stopped at the first wave.
    bad = site.admin.patch(LAYER, json={"values": {"mode": "impossible"}, "rollout": {"waves": [34, 100], "soak_s": 0}})
    assert bad.status_code == 200, bad.text
    stopped = finished(site, bad.json()["rollout"], "halted")
    touched = stopped["waves"][0]
    assert touched["failure"] == touched["devices"] >= 1
    assert stopped["waves"][1]["devices"] == 0, "the others never heard of it"
    back = site.admin.post(f"{ROLLOUTS}/{bad.json()['rollout']}/rollback", json={"comment": "it cannot work"})
    assert back.status_code == 200, back.text
    in_sync(site, machines, values)
