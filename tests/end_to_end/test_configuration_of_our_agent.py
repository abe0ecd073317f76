"""A configuration from the API to a device without a Mender client and back: real server, real agent."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_site import DEPLOYMENTS, Site

from vedette.agent.paths import Paths
from vedette.demo.stage import Stage, Supervised
from vedette.demo.story import wait_until

LAYERS = "/api/management/v1/vedette/configuration"


class Agent:
    """Our agent, below a root of its own; it asks for deployments every second."""

    def __init__(self, stage: Stage, site: Site, root: Path) -> None:
        self._stage, self.root, self.paths = stage, root, Paths(root)
        self.paths.mender_conf.parent.mkdir(parents=True)
        self.paths.mender_conf.write_text(json.dumps({"ServerURL": site.url, "UpdatePollIntervalSeconds": 1}))
        self.process: Supervised | None = None

    def start(self) -> None:
        self.process = self._stage.start("mender-monitord", "--root", str(self.root))

    def program(self, text: str) -> None:
        """What brings a configuration to bear here; its first argument is the file."""
        path = self.paths.apply_programs / "all"
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.parent.parent / "all.new"
        fresh.write_text(f"#!/bin/sh\n{text}\n")
        fresh.chmod(0o755)
        fresh.replace(path)

    def checks(self) -> dict[str, dict[str, Any]]:
        said = self._stage.run("mender-monitorctl", "--root", str(self.root), "list", "--json")
        return {f"{each['subsystem']}_{each['check']}": each for each in json.loads(said)}

    def record(self) -> list[dict[str, Any]]:
        return json.loads(self.paths.deployments.read_text()) if self.paths.deployments.exists() else []


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(print) as made:
        try:
            yield made
        finally:
            for log in sorted(made.path.glob("*.log")):  # shown where a test fails
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-8000:]}")


@pytest.fixture
def site(stage: Stage, tmp_path: Path) -> Site:
    return Site(stage, tmp_path)


@pytest.fixture
def agent(stage: Stage, site: Site, tmp_path: Path) -> Agent:
    return Agent(stage, site, tmp_path / "root")


def test_from_the_api_to_an_alert_and_what_fails_is_undone(site: Site, agent: Agent, tmp_path: Path) -> None:
    watched = tmp_path / "app.log"
    watched.touch()
    agent.program('if grep -q broken "$1"; then echo password=hunter2 this cannot work >&2; exit 1; fi')
    agent.start()
    device = site.accept()
    good = {
        "timezone": "Europe/Oslo",
        "monitor.check.log.oops.LOG_PATTERN": "OOPS",
        "monitor.check.log.oops.LOG_FILE": str(watched),
        "security.ports.interval": "1h",
    }
    first = site.deploy(device, good)
    site.ends(first, "success")
    site.reported(device, good)
    checks = agent.checks()
    assert {name: (each["source"], each["enabled"]) for name, each in checks.items()} == {
        "log_oops": ("server", True),
        "ports_security": ("server", True),
    }
    assert checks["ports_security"]["values"] == {"PORTS_INTERVAL": "1h"}
    wait_until("the daemon watches it", lambda: len(_configured(site, device)) == 2)
    with watched.open("a") as file:
        file.write("an OOPS\n")
    wait_until("its alert arrives", lambda: _open(site, device))

    failed = site.deploy(device, good | {"timezone": "broken", "monitor.check.log.oops.LOG_PATTERN": "ELSE"})
    site.ends(failed, "failure")
    log = wait_until("the log arrives", lambda: site.log(failed, device))
    assert "this cannot work" in log
    assert "hunter2" not in log, "secrets do not leave the device"
    assert "what was before is brought back" in log
    site.reported(device, good)
    assert agent.checks()["log_oops"]["values"]["LOG_PATTERN"] == "OOPS"

    # What the server lets travel, for it cannot know, and the device cannot use.
    refused = site.deploy(device, {"monitor.check.mine.a.X": "1", "timezone": "UTC"})
    site.ends(refused, "failure")
    log = wait_until("the log arrives", lambda: site.log(refused, device))
    assert "there is no subsystem 'mine'" in log
    assert agent.checks().keys() == checks.keys()

    # Gone for a while: what was made meanwhile is there when it comes back.
    assert agent.process is not None
    agent.process.stop()
    last = site.deploy(device, {"timezone": "UTC"})
    agent.start()
    site.ends(last, "success")
    site.reported(device, {"timezone": "UTC"})
    wait_until("its checks are gone", lambda: _configured(site, device) == [])
    wait_until("its alert is called off", lambda: not _open(site, device))
    record = [(each["id"], each["status"]) for each in agent.record()]
    assert record == [(first, "success"), (failed, "failure"), (refused, "failure"), (last, "success")]
    assert "there is no subsystem 'mine'" in agent.record()[2]["error"]

    # What is wanted of all devices reaches this one, beside what is wanted of it alone.
    told = {"values": {"security.ports.interval": "2h"}, "rollout": {"waves": [100], "soak_s": 0}}
    assert site.admin.put(f"{LAYERS}/layers/tenant", json=told).status_code == 200
    site.reported(device, {"timezone": "UTC", "security.ports.interval": "2h"})
    assert agent.checks()["ports_security"]["values"] == {"PORTS_INTERVAL": "2h"}
    assert site.admin.get(f"{LAYERS}/devices/{device}/effective").json()["in_sync"]


def test_called_off_or_killed_in_the_middle(site: Site, agent: Agent, tmp_path: Path) -> None:
    agent.start()
    device = site.accept()
    site.ends(site.deploy(device, {"mode": "1"}), "success")
    begun, go = tmp_path / "begun", tmp_path / "go"
    agent.program(f'echo run >>{begun}; while grep -q slow "$1" && ! [ -e {go} ]; do sleep 0.05; done')

    # The daemon and all that it has started are killed while a program runs: the next one goes on.
    slow = site.deploy(device, {"mode": "slow"})
    wait_until("the device is at it", begun.exists)
    assert agent.process is not None
    os.kill(agent.process.pid, signal.SIGKILL)
    wait_until("it is at it again", lambda: len(begun.read_text().split()) == 2)
    assert site.status(slow) == "installing"
    go.touch()
    site.ends(slow, "success")
    site.reported(device, {"mode": "slow"})
    assert [each["status"] for each in agent.record()] == ["success", "success"]

    go.unlink()
    begun.unlink()
    aborted = site.deploy(device, {"mode": "slow, too"})
    wait_until("the device is at it", begun.exists)
    answer = site.admin.put(f"{DEPLOYMENTS}/{aborted}/status", json={"status": "aborted"})
    assert answer.status_code == 204
    go.touch()
    wait_until("the device puts back what was", lambda: [e["status"] for e in agent.record()][2:] == ["aborted"])
    assert json.loads((agent.paths.configuration / "device-config.json").read_text()) == {"mode": "slow"}
    assert site.status(aborted) == "aborted"
    after = site.deploy(device, {"mode": "3"})
    site.ends(after, "success")
    site.reported(device, {"mode": "3"})


def _configured(site: Site, device: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.admin.get(f"/api/management/v1/devicemonitor/devices/{device}/config").json()
    return found


def _open(site: Site, device: str) -> list[dict[str, Any]]:
    found = site.admin.get(f"/api/management/v1/devicemonitor/devices/{device}/alerts/latest").json()
    return [each for each in found if each["subject"]["name"] == "log_oops"]
