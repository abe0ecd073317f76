"""The client speaks with a real bus, and comes back when the bus does."""

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jeepney import DBusAddress, new_signal
from private_bus import Bus

from vedette.agent.bus import client as client_module
from vedette.agent.bus import connection as connection_module
from vedette.agent.bus.client import Client
from vedette.agent.bus.connection import BUS, BUS_PATH, WINDOW, Call, Reply, Signal
from vedette.agent.loop import Loop


class Listener:
    """A client that notes what happens, and runs its loop until something has."""

    def __init__(self, loop: Loop, rule: str = "type='signal',interface='test.Some'") -> None:
        self.loop, self.rule = loop, rule
        self.signals: list[Signal] = []
        self.replies: list[Reply] = []
        self.ups = self.downs = 0
        self.client = Client(loop, purpose="a test", on_up=self._up, on_signal=self._signal, on_down=self._down)
        self.client.start()

    def _up(self) -> None:
        self.ups += 1
        self.call("AddMatch", "s", self.rule)

    def _down(self) -> None:
        self.downs += 1
        self.loop.call_soon(self._look)

    def _signal(self, signal: Signal) -> None:
        self.signals.append(signal)
        self._look()

    def call(self, member: str, signature: str = "", *body: Any) -> None:
        def answered(reply: Reply) -> None:
            self.replies.append(reply)
            self._look()

        call = Call(destination=BUS, path=BUS_PATH, interface=BUS, member=member, signature=signature, body=body)
        self.client.call(call, answered)

    def until(self, true: Any) -> None:
        self._true = true
        if not true():
            self.loop.run()

    def _look(self) -> None:
        if self._true():
            self.loop.stop()

    def heard(self, count: int) -> list[Signal]:
        self.until(lambda: len([each for each in self.signals if each.interface == "test.Some"]) >= count)
        return [each for each in self.signals if each.interface == "test.Some"]

    def ready(self) -> "Listener":
        """Its rule counts."""
        self.until(lambda: len(self.replies) >= 1)
        return self


def test_hears_what_its_rule_names_with_every_type(bus: Bus, loop: Loop) -> None:
    listener = Listener(loop).ready()
    assert listener.client.name.startswith(":")
    values = (1, True, -2, 3, -4, 5, -6, 7, 1.5, "text", "/a/b", "sv", ["x"], {"k": ("i", 1)}, (1, "y"), b"bytes")
    bus.signal("/other", "test.Other", "Unheard")
    bus.signal("/some", "test.Some", "Heard", "ybnqiuxtdsogasa{sv}(is)ay", *values)
    (signal,) = listener.heard(1)
    assert (signal.path, signal.member, signal.body, signal.destination) == ("/some", "Heard", values, "")
    listener.client.close()


def test_no_signal_is_missed_and_their_order_is_kept(bus: Bus, loop: Loop) -> None:
    """Far more than one read of the socket, while others have their turn."""
    listener = Listener(loop).ready()
    turns: list[int] = []

    def turn() -> None:
        turns.append(len(listener.signals))
        if len(turns) < 10_000:
            loop.call_later(0.001, turn)

    loop.call_later(0, turn)
    sender = bus.connect()
    for number in range(3000):
        sender.send(new_signal(DBusAddress("/some", interface="test.Some"), "Heard", "us", (number, "x" * 100)))
    heard = listener.heard(3000)
    assert [each.body[0] for each in heard if each.body] == list(range(3000))
    assert any(0 < seen < 3000 for seen in turns)
    listener.client.close()


def test_more_calls_than_a_bus_allows_at_once_are_answered(bus: Bus, loop: Loop) -> None:
    listener = Listener(loop).ready()
    for _ in range(10 * WINDOW):
        listener.call("NameHasOwner", "s", "test.Nobody")
    listener.until(lambda: len(listener.replies) == 1 + 10 * WINDOW)
    assert {each.body for each in listener.replies[1:]} == {(False,)}
    listener.client.close()


def test_an_error_says_what_is_wrong(bus: Bus, loop: Loop) -> None:
    listener = Listener(loop, rule="nonsense").ready()
    assert listener.replies[0].error == "org.freedesktop.DBus.Error.MatchRuleInvalid"
    assert "'='" in listener.replies[0].sentence
    listener.client.close()


def test_nobody_there_is_started_by_a_question(bus: Bus, loop: Loop) -> None:
    listener = Listener(loop).ready()
    listener.client.call(
        Call(destination="test.Nobody", path="/", interface="test.Some", member="Do"), listener.replies.append
    )
    listener.call("GetId")
    listener.until(lambda: len(listener.replies) == 3)
    assert "NameHasNoOwner" in listener.replies[1].error or "ServiceUnknown" in listener.replies[1].error
    listener.client.close()


def test_a_large_body_is_not_taken_apart_and_what_follows_is_heard(bus: Bus, loop: Loop) -> None:
    listener = Listener(loop).ready()
    bus.signal("/some", "test.Some", "Large", "ay", bytes(3_000_000))
    bus.signal("/some", "test.Some", "Small", "s", "x" * 60_000)
    large, small = listener.heard(2)
    assert (large.member, large.body, large.size) == ("Large", None, 3_000_004)
    assert small.body == ("x" * 60_000,)
    listener.client.close()


def test_fields_of_a_header_that_nobody_knows_are_left_alone() -> None:
    """As the specification wants; else whoever sends signals could end our connection."""
    head = struct.pack("<cBBBII", b"l", 4, 0, 1, 0, 5)
    fields = b"".join(
        struct.pack("<BBcxI", code, 1, kind, len(text)) + text + b"\0" + bytes(-(9 + len(text)) % 8)
        for code, kind, text in ((1, b"o", b"/a"), (2, b"s", b"test.Some"), (3, b"s", b"Heard"), (77, b"s", b"new"))
    )
    last = len(b"new\0") + 8  # behind it comes the padding of the header
    size = len(fields) - (-last % 8)
    raw = head + struct.pack("<I", size) + fields
    message = connection_module._parse(raw, len(raw), 0)
    assert (message.serial, message.fields) == (5, {1: "/a", 2: "test.Some", 3: "Heard", 77: "new"})


def test_it_comes_back_when_the_bus_does(
    bus: Bus, loop: Loop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(client_module, "LONGEST_WAIT_S", 0.05)
    listener = Listener(loop).ready()
    bus.stop()
    listener.until(lambda: listener.downs == 1)
    assert listener.client.is_down
    loop.call_later(0.5, loop.stop)  # some tries in vain
    loop.run()
    assert (listener.ups, listener.downs) == (1, 1)
    bus.start()
    listener.until(lambda: listener.ups == 2 and len(listener.replies) == 2)
    assert not listener.client.is_down
    bus.signal("/some", "test.Some", "Heard")
    listener.heard(1)
    listener.client.close()
    said = capfd.readouterr().err
    assert said.count("WARN") <= 2  # closed, then nobody there: not once for each try
    assert said.count("INFO the system bus is there: a test") == 1


def test_an_abstract_socket(tmp_path: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Bus(tmp_path, address=f"unix:abstract=vedette-test-{os.getpid()}")
    bus.start()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nobody;{bus.address}")
    try:
        listener = Listener(loop).ready()
        listener.client.close()
    finally:
        bus.stop()


@pytest.mark.parametrize("address", ["nonsense", "tcp:host=127.0.0.1,port=1", "unix:path=/nonexistent/bus", ""])
def test_where_there_is_no_bus_it_is_down_and_says_why(
    address: str, loop: Loop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    monkeypatch.setattr("vedette.agent.bus.DEFAULT_ADDRESS", "unix:path=/nonexistent/bus")
    listener = Listener(loop)
    listener.until(lambda: listener.downs == 1)
    listener.client.close()
    assert "no system bus for a test: " in capfd.readouterr().err


@pytest.mark.parametrize("answer", [b"REJECTED EXTERNAL\r\n", b"OK 1234\r\n" + bytes(64), b"x" * 10_000, b""])
def test_who_is_no_bus_ends_the_connection_and_nothing_else(
    answer: bytes, tmp_path: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/odd.sock")
    with socket.socket(socket.AF_UNIX) as odd:
        odd.bind(f"{tmp_path}/odd.sock")
        odd.listen()
        listener = Listener(loop)
        peer, _ = odd.accept()
        with peer:
            peer.sendall(answer)
            peer.shutdown(socket.SHUT_WR)
            listener.until(lambda: listener.downs == 1)
    listener.client.close()


def test_a_bus_that_answers_garbage_later(tmp_path: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way in which bytes can be no message is one lost connection."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/odd.sock")
    wrong = [b"X" + bytes(15), b"l\x04\0\1" + b"\xff" * 12, b"l\x04\0\1" + bytes(8) + b"\x08\0\0\0" + b"\xff" * 8]
    with socket.socket(socket.AF_UNIX) as odd:
        odd.bind(f"{tmp_path}/odd.sock")
        odd.listen()
        for garbage in wrong:
            listener = Listener(loop)
            peer, _ = odd.accept()
            with peer:
                peer.sendall(b"OK 1234\r\n")
                peer.settimeout(0.01)
                seen = b""
                while b"Hello" not in seen:
                    loop.call_later(0.01, loop.stop)
                    loop.run()
                    try:
                        seen += peer.recv(4096)
                    except TimeoutError:
                        continue
                peer.sendall(garbage)
                listener.until(lambda listener=listener: listener.downs == 1)  # type: ignore[misc]
            listener.client.close()


def test_importing_the_checks_does_not_bring_the_bus() -> None:
    """Who watches no service and no signal has no D-Bus library in memory."""
    code = "import sys, vedette.agent.__main__, vedette.agent.checks; print('jeepney' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
