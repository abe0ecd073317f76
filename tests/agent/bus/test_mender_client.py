"""Where a Mender client runs, the device speaks with the client's token; elsewhere with its own."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from private_bus import Bus

sys.path.insert(0, str(Path(__file__).parents[1] / "uplink"))
from fake_server import ALERT, AUTH, Asked, FakeServer
from fake_server import Reply as Answer
from sandbox_device import Device, names

from vedette.agent.uplink import child, mender_client

NAME = "io.mender.AuthenticationManager"


class Client:
    """The fake Mender client and what it has."""

    def __init__(self, bus: Bus, server: FakeServer) -> None:
        self._file = bus.directory / "client.json"
        self.set(token="from-the-client", server=server.url + "/", next="fetched")
        self._bus = bus

    def start(self) -> None:
        self._bus.run(Path(__file__).with_name("fake_mender_client.py"), str(self._file), name=NAME)

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._file.read_text())
        return found

    def set(self, **values: Any) -> None:
        old = self.state if self._file.exists() else {}
        self._file.write_text(json.dumps({**old, **values}))


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setattr(child, "LINGER_S", 0.0)
    return Device(tmp_path / "root")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    made = FakeServer()
    made.ours = False
    yield made
    made.close()


@pytest.fixture
def client(bus: Bus, server: FakeServer) -> Client:
    return Client(bus, server)


def tokens_used(server: FakeServer) -> list[str]:
    return [each.headers["authorization"].removeprefix("Bearer ") for each in server.to(ALERT)]


def test_its_token_and_its_server_are_used(client: Client, device: Device, server: FakeServer) -> None:
    client.start()
    device.belongs_to("http://127.0.0.1:9")  # what mender.conf names is not where the token is good
    device.owe("one", "two")
    assert device.deliver() is None
    assert names(server) == ["one", "two"]
    assert tokens_used(server) == ["from-the-client"]
    assert not server.to(AUTH)
    assert not (device.paths.state_dir / "token").exists()
    assert not device.paths.key.exists()


def test_mender_conf_need_not_name_a_server_then(client: Client, device: Device, server: FakeServer) -> None:
    client.start()
    device.paths.mender_conf.write_text("{}")
    device.owe("one")
    assert device.deliver() is None
    assert names(server) == ["one"]


def test_a_refused_token_is_fetched_anew_once(client: Client, device: Device, server: FakeServer) -> None:
    client.start()
    device.belongs_to(server.url)
    server.valid_token = "fetched"
    device.owe("one")
    assert device.deliver() is None
    assert tokens_used(server) == ["from-the-client", "fetched"]
    assert client.state["fetches"] == 1


def test_a_client_without_a_token_is_asked_to_get_one(client: Client, device: Device, server: FakeServer) -> None:
    client.set(token="")
    client.start()
    device.belongs_to(server.url)
    device.owe("one")
    assert device.deliver() is None
    assert tokens_used(server) == ["fetched"]


def test_a_client_that_gets_none_is_not_accepted_and_everything_is_kept(
    client: Client, device: Device, server: FakeServer
) -> None:
    client.set(token="", next="")
    client.start()
    device.belongs_to(server.url)
    device.owe("one")
    wait_s = device.deliver()
    assert wait_s is not None
    assert wait_s <= 60
    assert device.counts().owed == 1
    assert "has not accepted it" in (device.meta(child.COMPLAINT) or "")
    assert not server.asked  # above all, no second device is made of this one


def test_a_silent_client_costs_bounded_time_and_nothing_is_lost(
    client: Client, device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mender_client, "ANSWER_S", 0.2)
    client.start()
    client.set(silent=True)
    device.belongs_to(server.url)
    device.owe("one")
    assert device.deliver() is not None
    assert device.counts().owed == 1
    assert not server.asked


def test_what_others_say_in_its_name_is_not_believed(
    client: Client, device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any user of the device may send a signal; with this one it would get the alerts."""
    monkeypatch.setattr(mender_client, "FETCH_S", 0.5)
    thief = FakeServer()
    try:
        client.set(token="", forged=thief.url)
        client.start()
        device.belongs_to(server.url)
        device.owe("one")
        assert device.deliver() is not None
        assert not thief.asked
        assert device.counts().owed == 1
    finally:
        thief.close()


def test_without_a_client_on_the_bus_the_device_authenticates_itself(
    bus: Bus, device: Device, server: FakeServer
) -> None:
    device.belongs_to(server.url)
    device.owe("one")
    assert device.deliver() is None
    assert names(server) == ["one"]
    assert len(server.to(AUTH)) == 1


def test_a_client_that_starts_later_is_waited_for(client: Client, device: Device, server: FakeServer) -> None:
    """Else the device would be there twice: as the client's and as a new one that waits to be accepted."""
    policy = device.paths.mender_client[0]
    policy.parent.mkdir(parents=True)
    policy.touch()
    device.belongs_to(server.url)
    device.owe("one")
    assert 0 < (device.deliver() or 0) <= 60
    assert "it is waited for" in (device.meta(child.COMPLAINT) or "")
    client.start()
    assert device.deliver() is None
    assert tokens_used(server) == ["from-the-client"]
    assert not server.to(AUTH)
    assert not device.paths.key.exists()


def test_a_client_that_never_starts_is_not_waited_for_for_ever(bus: Bus, device: Device, server: FakeServer) -> None:
    policy = device.paths.mender_client[1]
    policy.parent.mkdir(parents=True)
    policy.touch()
    device.belongs_to(server.url)
    device.owe("one")
    assert device.deliver() is not None
    device.clock.advance(child.AWAIT_CLIENT_S - 1)
    assert device.deliver() is not None
    assert not server.asked
    device.clock.advance(1)
    assert device.deliver() is None
    device.owe("two")
    assert device.deliver() is None
    assert names(server) == ["one", "two"]


def test_a_bus_that_is_not_there_hinders_nothing(
    device: Device, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nobody")
    device.belongs_to(server.url)
    device.owe("one")
    assert device.deliver() is None
    assert names(server) == ["one"]


def test_a_server_that_cannot_be_called_is_not_called(client: Client, device: Device, server: FakeServer) -> None:
    client.set(server="ftp://somewhere")
    client.start()
    device.belongs_to(server.url)
    device.owe("one")
    assert device.deliver() is not None
    assert "ftp://somewhere" in (device.meta(child.COMPLAINT) or "")
    assert not server.asked


def test_a_client_that_moves_takes_the_device_along(client: Client, device: Device, server: FakeServer) -> None:
    """The token it fetches is good elsewhere: it must not go to the old server."""
    elsewhere = FakeServer()
    try:
        client.start()
        device.belongs_to(server.url)

        def refuse(asked: Asked) -> Answer:
            client.set(server=elsewhere.url)
            return Answer(status=401)

        server.on[ALERT] = refuse
        device.owe("one")
        assert device.deliver() is not None
        assert tokens_used(server) == ["from-the-client"]
        assert device.deliver() is None
        assert names(elsewhere) == ["one"]
        assert tokens_used(elsewhere) == ["fetched"]
    finally:
        elsewhere.close()


def test_the_token_is_told_nobody(
    client: Client, device: Device, server: FakeServer, capfd: pytest.CaptureFixture[str]
) -> None:
    client.start()
    device.belongs_to(server.url)
    device.owe("one")
    device.deliver()
    out = capfd.readouterr()
    assert "from-the-client" not in out.out + out.err
    assert b"from-the-client" not in device.paths.store.read_bytes()
