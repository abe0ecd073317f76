"""What the device says to the server about deployments, and what each answer makes of it."""

import json
import os
import stat
from collections.abc import Iterator
from typing import Any

import pytest
from fake_server import INVENTORY, Asked, FakeServer, Reply
from sandbox_device import Device

from vedette.agent.configure import __main__ as configure
from vedette.agent.configure import deployment
from vedette.agent.settings import Settings
from vedette.agent.uplink import child, deployments
from vedette.agent.uplink.deployments import REPORT, V1, V2
from vedette.server.deployments.artifact import of_configuration

ID = "0b5e3f0e-1111-4222-8333-123456789abc"
NAME = f"configuration-{ID}"
TYPE = f"generic-{os.uname().machine}"
STATUS, LOG = f"{V1}/{ID}/status", f"{V1}/{ID}/log"


class Site:
    """A server that has one deployment for the device, and hears how it goes."""

    def __init__(self, server: FakeServer, device: Device) -> None:
        self.server, self.device = server, device
        self.content = of_configuration(NAME, TYPE, '{"a": "1"}')
        self.uri = f"{server.url}/download/x?y=1"
        self.said: list[str] = []
        self.refused: dict[str, int] = {}
        self.ended = False
        server.on[f"{V2}/next"] = self._next
        server.on["/download/x?y=1"] = lambda _: Reply(200, self.content)
        server.on[STATUS] = self._status
        server.on[LOG] = lambda _: Reply(204)
        device.settings = Settings(config_deployments="on")

    def _next(self, _: Asked) -> Reply:
        if self.ended:
            return Reply(204)
        told = {
            "id": ID,
            "artifact": {
                "id": "x",
                "artifact_name": NAME,
                "source": {"uri": self.uri, "expire": "2026-01-01T00:00:00Z"},
                "device_types_compatible": [TYPE],
            },
        }
        return Reply(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _status(self, asked: Asked) -> Reply:
        status = asked.json["status"]
        self.said.append(status)
        if code := self.refused.get(status):
            return Reply(code, b'{"error": "no", "request_id": "1"}')
        self.ended = self.ended or status in ("success", "failure")
        return Reply(204)

    def pass_by(self) -> None:
        """One life of the child that speaks, one of the child that applies, and again."""
        for _ in range(2):
            self.device.deliver()
            configure._work(self.device.paths, self.device.settings)

    def wait(self) -> None:
        self.device.clock.advance(1000)
        self.pass_by()

    def record(self) -> list[str]:
        return [each["status"] for each in deployment.known(self.device.paths)]

    def reported(self) -> list[Any]:
        return [asked.json for asked in self.server.to(REPORT)]


@pytest.fixture
def site(server: FakeServer, device: Device) -> Iterator[Site]:
    made = Site(server, device)
    yield made
    leftovers = list(device.paths.configuration.glob(".*"))
    assert not leftovers, leftovers


def program(device: Device, text: str) -> None:
    path = device.paths.apply_programs / "a"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_usual_way(site: Site, device: Device) -> None:
    site.pass_by()
    assert site.said == ["downloading", "installing", "success"]
    assert site.reported() == [{"a": "1"}]
    assert site.record() == ["success"]
    (download,) = site.server.to("/download/x?y=1")
    assert "authorization" not in download.headers
    assert stat.S_IMODE((device.paths.configuration / "device-config.json").stat().st_mode) == 0o600
    first, *_ = site.server.to(f"{V2}/next")
    assert first.json == {"device_provides": {"device_type": TYPE, "artifact_name": "unknown"}}
    shown = [{each["name"]: each["value"] for each in asked.json} for asked in site.server.to(INVENTORY)]
    assert shown[-1] == {
        "device_type": TYPE, "artifact_name": NAME, "data-partition.mender-configure.version": NAME
    }  # fmt: skip
    site.wait()
    assert len(site.server.to(INVENTORY)) == len(shown), "said once"
    assert site.server.to(f"{V2}/next")[-1].json["device_provides"]["artifact_name"] == NAME
    assert site.reported() == [{"a": "1"}], "said once"
    assert site.said == ["downloading", "installing", "success"]


def test_a_server_without_v2_is_asked_the_old_way_from_then_on(site: Site) -> None:
    site.server.on[f"{V1}/next"] = site._next
    site.server.on[f"{V2}/next"] = lambda _: Reply(404, b"{}")
    site.pass_by()
    assert site.said[-1] == "success"
    assert site.server.to(f"{V1}/next")[0].json == {"device_type": TYPE, "artifact_name": "unknown"}
    site.wait()
    assert len(site.server.to(f"{V2}/next")) == 1
    assert len(site.server.to(f"{V1}/next")) > 1


def test_it_says_the_type_and_the_artifact_of_the_image(site: Site, device: Device) -> None:
    for name, text in (("/var/lib/mender/device_type", "device_type=pi\n"),
                       ("/etc/mender/artifact_info", "artifact_group=x\nartifact_name=release-1\n")):  # fmt: skip
        path = device.paths.below(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    site.ended = True
    site.pass_by()
    asked = site.server.to(f"{V2}/next")[0].json
    assert asked == {"device_provides": {"device_type": "pi", "artifact_name": "release-1"}}


def test_what_fails_is_told_with_its_log(site: Site, device: Device) -> None:
    program(device, "echo oh no; exit 3")
    site.pass_by()
    assert site.said == ["downloading", "installing", "failure"]
    (log,) = site.server.to(LOG)
    lines = [(each["level"], each["message"]) for each in log.json["messages"]]
    assert ("info", "a: oh no") in lines
    assert ("error", "a failed with exit code 3") in lines
    assert all(each["timestamp"] for each in log.json["messages"])
    (known,) = deployment.known(device.paths)
    assert (known["status"], known["error"]) == ("failure", "a failed with exit code 3")
    assert not known["consistent"], "the program failed on the way back too"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>", "no tar"),
        (of_configuration(NAME, "another", "{}"), "it is for another"),
        (of_configuration(NAME, TYPE, '{"a": 1}'), "is no text"),
    ],
)
def test_what_is_no_configuration_for_this_device_has_failed(site: Site, content: bytes, said: str) -> None:
    site.content = content
    site.pass_by()
    assert site.said == ["downloading", "failure"]
    assert said in site.server.to(LOG)[0].json["messages"][0]["message"]
    assert site.record() == ["failure"]
    assert site.reported() == []


def test_the_log_that_did_not_arrive_is_sent_again(site: Site, device: Device) -> None:
    program(device, "exit 3")
    site.server.on[LOG] = lambda _: Reply(503)
    site.pass_by()
    assert site.record() == []
    site.server.on[LOG] = lambda _: Reply(204)
    site.wait()
    assert site.said == ["downloading", "installing", "failure", "failure"]
    assert site.record() == ["failure"]
    site.wait()
    assert len(site.said) == 4


@pytest.mark.parametrize("when", ["downloading", "installing"])
def test_called_off_before_anything_was_done(site: Site, device: Device, when: str) -> None:
    site.refused[when] = 409
    site.device.deliver()
    assert site.said[-1] == when
    assert deployment.load(device.paths) is None
    assert site.record() == ["aborted"]
    assert not (device.paths.configuration / "device-config.json").exists()


def test_called_off_after_it_was_done_is_undone(site: Site, device: Device) -> None:
    site.refused["success"] = 409
    site.ended = False
    site.device.deliver()
    configure._work(device.paths, device.settings)
    site.ended = True
    site.pass_by()
    site.pass_by()
    assert site.said == ["downloading", "installing", "success"]
    assert site.record() == ["aborted"]
    assert site.reported()[-1] == {}


def test_a_server_that_has_forgotten_it_hears_no_more(site: Site, device: Device) -> None:
    site.refused["success"] = 404
    site.device.deliver()
    configure._work(device.paths, device.settings)
    site.ended = True
    site.wait()
    assert deployment.load(device.paths) is None
    assert site.record() == ["success"]
    assert site.reported() == [{"a": "1"}]


def test_a_link_that_does_not_work_is_asked_for_anew_and_given_up_in_the_end(site: Site) -> None:
    site.server.on["/download/x?y=1"] = lambda _: Reply(403, b"{}")
    for _ in range(deployments.FETCHES - 1):
        site.wait()
    assert "failure" not in site.said
    assert len(site.server.to("/download/x?y=1")) >= deployments.FETCHES - 1
    site.wait()
    assert site.said[-1] == "failure"
    assert "it cannot be fetched: 5 times the answer was 403" in site.server.to(LOG)[0].json["messages"][0]["message"]


def test_a_download_that_breaks_off_is_tried_again(site: Site) -> None:
    site.server.on["/download/x?y=1"] = lambda _: Reply(drop=True)
    site.wait()
    assert site.said[-1] == "downloading"
    site.server.on["/download/x?y=1"] = lambda _: Reply(200, site.content)
    site.wait()
    assert site.said[-1] == "success"


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "nonsense", "http://user:secret@127.0.0.1/x", "http://"])
def test_a_link_that_leads_nowhere_has_failed(site: Site, uri: str) -> None:
    site.uri = uri
    site.pass_by()
    assert site.said == ["downloading", "failure"]
    assert "secret" not in json.dumps(site.server.to(LOG)[0].json)


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b'{"id": 1}', b'{"id": "../../x", "artifact": {"artifact_name": "a", "source": {"uri": "http://x"}}}'],
)
def test_an_answer_that_makes_no_sense_is_no_deployment(site: Site, answer: bytes) -> None:
    site.server.on[f"{V2}/next"] = lambda _: Reply(200, answer, {"Content-Type": "application/json"})
    site.pass_by()
    assert site.said == []
    assert site.record() == []


def test_what_needs_a_reboot_waits_for_one(site: Site, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    program(device, "exit 20")
    site.pass_by()
    assert site.said == ["downloading", "installing", "pause_before_rebooting"]
    (known,) = deployment.known(device.paths)
    assert (known["status"], known["reboot"]) == ("waiting-for-reboot", True)
    assert site.reported() == [{"a": "1"}]
    site.device.deliver()
    assert len(site.said) == 3, "not at every occasion"
    site.wait()
    assert set(site.said[3:]) == {"pause_before_rebooting"}, "so that it hears when it is called off"
    monkeypatch.setattr(deployments, "boot_id", lambda: "another")
    site.wait()
    assert site.said[-1] == "success"
    assert site.record() == ["success"]


def test_a_reboot_that_is_called_off_is_undone(site: Site, device: Device) -> None:
    program(device, 'if grep -q 1 "$1"; then exit 20; fi')
    site.pass_by()
    site.refused["pause_before_rebooting"] = 409
    site.ended = True
    site.wait()
    site.wait()
    assert site.record() == ["aborted"]
    assert site.reported()[-1] == {}


def test_whoever_reboots_is_asked_to_after_the_server_was_told(site: Site, device: Device) -> None:
    rebooted = device.paths.root / "rebooted"  # type: ignore[operator]
    device.settings = Settings(config_deployments="on", config_reboot_command=f"echo x >>{rebooted}")
    program(device, "exit 20")
    device.deliver()
    configure._work(device.paths, device.settings)
    assert not rebooted.exists()
    site.pass_by()
    assert site.said == ["downloading", "installing", "rebooting"]
    assert rebooted.exists()


def test_how_often_it_asks(site: Site, device: Device) -> None:
    site.ended = True
    every = Settings().config_deployments_interval

    def asked() -> int:
        return len(site.server.to(f"{V2}/next"))

    device.deliver()
    assert asked() == 1
    device.clock.advance(deployments.BESIDE_S / 2)
    device.deliver()
    device.owe("a")
    device.deliver()
    assert asked() == 1, "so soon, not even beside an alert"
    device.clock.advance(deployments.BESIDE_S)
    device.deliver()
    assert asked() == 1
    device.owe("b")
    device.deliver()
    assert asked() == 2, "beside an alert"
    device.clock.advance(every * deployments.LATER + 1)
    device.deliver()
    assert asked() == 3


def test_mender_conf_says_how_often(site: Site, device: Device) -> None:
    site.ended = True
    device.belongs_to(site.server.url, UpdatePollIntervalSeconds=5)
    device.deliver()
    device.clock.advance(5 * deployments.LATER + 0.1)
    device.deliver()
    assert len(site.server.to(f"{V2}/next")) == 2


@pytest.mark.parametrize("client", deployment.CLIENTS)
def test_where_a_mender_client_is_installed_it_is_left_to_that(site: Site, device: Device, client: str) -> None:
    path = device.paths.below(client)
    path.parent.mkdir(parents=True)
    path.touch()
    device.settings = Settings()
    site.pass_by()
    assert site.server.to(f"{V2}/next") == []
    device.settings = Settings(config_deployments="off")
    path.unlink()
    site.pass_by()
    assert site.server.to(f"{V2}/next") == []
    device.settings = Settings()
    site.pass_by()
    assert site.said[-1] == "success"


def test_another_server_is_told_what_there_is(site: Site, device: Device) -> None:
    site.pass_by()
    other = FakeServer()
    try:
        device.belongs_to(other.url)
        device.deliver()
        assert [asked.json for asked in other.to(REPORT)] == [{"a": "1"}]
        assert len(other.to(f"{V2}/next")) == 1
    finally:
        other.close()


def test_trouble_with_it_costs_no_alert(site: Site, device: Device) -> None:
    site.server.on[f"{V2}/next"] = lambda _: Reply(500)
    device.owe("a")
    assert device.deliver() == 1.0
    assert device.counts().owed == 0


def test_a_server_that_never_can_is_left_alone_in_the_end(
    site: Site, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "LIFE_S", -1.0)
    site.server.on[f"{V2}/next"] = lambda _: Reply(500)
    for _ in range(child.REPORT_TRIES):
        assert device.deliver() is not None
    assert device.deliver() is None
    asked = len(site.server.to(f"{V2}/next"))
    assert device.deliver() is None
    assert len(site.server.to(f"{V2}/next")) == asked
    site.wait()
    assert len(site.server.to(f"{V2}/next")) > asked
