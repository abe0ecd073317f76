"""Layers of the configuration as people keep them in files: planned, applied, compared, taken back."""

from pathlib import Path
from typing import Any

import pytest
from serving import FakeDevice, RealServer
from typed import MAC, Vedette

from vedette.cli.output import hidden
from vedette.server.configuration import rollout_steps
from vedette.server.db import SYSTEM, Tx
from vedette.server.services import Services

FLEET = """\
layer: tenant
comment: for all
values:
  security.setuid.enabled: true
  timezone: Europe/Oslo
---
layer: group/boats
rollout: {waves: [100], soak_s: 0}
values:
  security:
    ports:
      enabled: yes-is-wrong
      allow: [tcp/22, tcp/443]
  db_password: hunter2
"""
REPORT = "/api/devices/v1/deviceconfig/configuration"


@pytest.fixture
def boat(ann: Vedette, server: RealServer, device: FakeDevice) -> str:
    """A device of the group boats."""
    (done,) = ann("devices", "accept", MAC, "--json").json()
    assert ann("groups", "add", "boats", MAC).status == 0
    found: str = done["id"]
    return found


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    directory = tmp_path / "fleet"
    directory.mkdir()
    (directory / "all.yaml").write_text(FLEET.replace("yes-is-wrong", "true"))
    (directory / "README.md").write_text("no layer")
    return directory


def settle(server: RealServer) -> None:
    """What the server does by itself in a few seconds."""
    services: Services = server.services

    async def due(tx: Tx) -> None:
        await tx.execute("UPDATE rollout SET look_at = 0 WHERE look_at IS NOT NULL")

    server.run(services.db.write(SYSTEM, due))
    for _ in range(100):
        if not server.run(rollout_steps.turn(services)):
            return
    raise AssertionError("there is still something to do")


def take(server: RealServer, device: FakeDevice, values: dict[str, str]) -> None:
    """The device takes what it is given, and reports `values`."""
    base, query = "/api/devices/v1/deployments/device/deployments", {"device_type": "x", "artifact_name": "y"}
    with device.client() as client:
        while (answer := client.get(f"{base}/next", params=query)).status_code == 200:
            client.put(f"{base}/{answer.json()['id']}/status", json={"status": "success"}).raise_for_status()
        assert client.put(REPORT, json=values).status_code == 204
    settle(server)


def test_the_road_of_a_change_from_a_file_to_a_device_and_back(
    ann: Vedette, server: RealServer, device: FakeDevice, boat: str, fleet: Path
) -> None:
    planned = ann("config", "plan", str(fleet))
    assert (planned.status, planned.err) == (0, "")
    assert "+ security.ports.allow = 'tcp/22 tcp/443'" in planned.out
    assert "hunter2" not in planned.out
    assert "for 1 of 1 device" in planned.out
    assert ann("config", "plan", str(fleet), "--exit-code").status == 6
    assert ann("config", "apply", str(fleet)).status == 2, "nobody was asked"
    done = ann("config", "apply", str(fleet), "--waves", "100", "--soak", "0", "--yes")
    assert done.status == 0, done.err
    assert ann("config", "plan", str(fleet), "--exit-code").status == 0, "nothing is left to change"
    settle(server)
    wanted = {
        "security.setuid.enabled": "true",
        "timezone": "Europe/Oslo",
        "security.ports.enabled": "true",
        "security.ports.allow": "tcp/22 tcp/443",
        "db_password": "hunter2",
    }
    found = ann("config", "effective", MAC, "--json").json()
    assert {name: each["value"] for name, each in found["values"].items()} == wanted
    assert found["values"]["timezone"]["layer"] == "tenant"
    differs = ann("config", "diff", "--group", "boats", "--exit-code")
    assert (differs.status, "security.ports.allow" in differs.out, "hunter2" in differs.out) == (6, True, False)
    take(server, device, wanted)
    assert ann("config", "diff", "--exit-code").out == "1 device reported what is wanted\n"
    (newest, *_) = ann("config", "rollouts", "--layer", "group/boats", "--json").json()
    assert newest["state"] == "finished"
    assert "100 %" in ann("config", "rollout", newest["id"]).out

    (fleet / "all.yaml").write_text("layer: group/boats\nvalues: {security.ports.enabled: 'false'}\n")
    assert ann("config", "apply", str(fleet), "--paused", "--comment", "storm", "--yes").status == 0
    assert ann("config", "layers").out.count("group/boats") == 1
    (running, *_) = ann("config", "rollouts", "--layer", "group/boats", "--json").json()
    assert (running["state"], running["comment"]) == ("paused", "storm")
    assert ann("config", "rollout", running["id"], "resume").status == 0
    assert ann("config", "rollout", running["id"], "abort", "--yes").status == 0
    assert ann("config", "rollout", running["id"], "--wait", "5").status == 1, "it has ended otherwise"
    assert ann("config", "rollback", "group/boats").status == 2
    assert ann("config", "rollback", "group/boats", "--waves", "100", "--soak", "0", "--yes").status == 0
    assert ann("config", "show", "group/boats", "--json").json()["values"]["db_password"] == "hunter2"
    assert [each["version"] for each in ann("config", "versions", "group/boats", "--json").json()] == [3, 2, 1]
    assert "already says" in ann("config", "rollback", "group/boats", "--to", "1").out
    assert ann("config", "rollback", "tenant").status == 2, "there is no version before the first"


def test_a_layer_is_printed_as_the_file_it_came_from(ann: Vedette, boat: str, fleet: Path, tmp_path: Path) -> None:
    odd = {"a.b": "1.10", "yes": "no", "n": "", "text": 'ä "q" \\ \n#: {x', "x": "0x1F", "date": "2026-01-01"}
    body = "layer: device/" + MAC + "\nvalues: " + str(odd).replace("'", '"').replace('"q"', '\\"q\\"')
    (fleet / "all.yaml").write_text(body)
    assert ann("config", "apply", str(fleet / "all.yaml"), "--no-deploy", "--yes").status == 0
    before = ann("config", "show", f"device/{MAC}", "--json").json()["values"]
    printed = ann("config", "show", f"device/{MAC}").out
    (tmp_path / "again.yaml").write_text(printed)
    assert ann("config", "plan", str(tmp_path / "again.yaml"), "--exit-code").status == 0, printed
    assert before["a.b"] == "1.10"


def test_all_that_is_wrong_is_said_before_anything_is_done(ann: Vedette, boat: str, fleet: Path) -> None:
    (fleet / "all.yaml").write_text(FLEET)
    (fleet / "more.json").write_text('{"layer": "group/cars", "values": {"security.nonsense.enabled": true}}')
    for action in (("plan",), ("apply", "--yes")):
        done = ann("config", action[0], str(fleet), *action[1:])
        assert done.status == 1
        assert all(each in done.err for each in ("all.yaml:7", "security.ports.enabled", "more.json", "nonsense"))
    assert ann("config", "layers", "--json").json() == []


def test_what_was_planned_is_what_is_done(
    ann: Vedette, boat: str, fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has changed the layer between plan and apply."""
    import vedette.cli.commands.layers as layers

    show = layers._show

    def and_meanwhile(context: Any, plans: Any) -> None:
        show(context, plans)
        body = {"values": {"a": "b"}}
        context.client.call("PUT", f"{layers.PREFIX}/layers/tenant", body=body)

    monkeypatch.setattr(layers, "_show", and_meanwhile)
    done = ann("config", "apply", str(fleet), "--yes")
    assert (done.status, "version" in done.err) == (1, True)


@pytest.mark.parametrize("layer", ["", "group", "group/", "tenant/x", "fleet/x", "device/"])
def test_what_is_no_layer(ann: Vedette, layer: str) -> None:
    assert ann("config", "show", layer).status == 2
    assert ann("config", "rollback", layer, "--yes").status == 2


def test_what_sounds_like_a_secret_is_not_shown() -> None:
    for name in ("db_password", "wifi.psk", "API_TOKEN", "ssh.private", "tls.key"):
        assert hidden(name, "x") == "(hidden)"
    assert hidden("keyboard", "x") == "x"
    assert hidden("password", "") == ""
