"""Alerts as they come: a real process that reads the server's stream."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import FakeDevice, RealServer
from typed import ALERT, MAC, Vedette, alert

from vedette.clock import SystemClock

DEADLINE_S = 30


class Following:
    """A process that follows, and the lines that it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert process.stderr is not None
        assert process.stderr.readline() == "vedette: following; Ctrl-C ends it\n"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def next(self) -> Any:
        return json.loads(self._lines.get(timeout=DEADLINE_S))

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        assert self._lines.empty()
        return code


@contextmanager
def following(server: RealServer, home: Path, *words: str) -> Iterator[Following]:
    command = [sys.executable, "-m", "vedette", "alerts", "list", "--follow", "--json", *words]
    environ = os.environ | {"HOME": str(home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        try:
            yield Following(process)
        finally:
            if process.poll() is None:
                process.kill()


def now() -> str:
    return SystemClock().now().isoformat()


@pytest.mark.parametrize("whole_fleet", [True, False])
def test_what_comes_is_shown_once_and_what_was_is_not(
    ann: Vedette, server: RealServer, home: Path, device: FakeDevice, whole_fleet: bool
) -> None:
    assert ann("devices", "accept", MAC).status == 0
    client = device.client()
    assert client.post(ALERT, json=[alert("old")]).status_code == 204
    with following(server, home, *([] if whole_fleet else ["--device", MAC])) as process:
        assert client.post(ALERT, json=[alert("first", "OK", now())]).status_code == 204
        first = process.next()
        assert (first["name"], first["level"]) == ("first", "OK")
        assert client.post(ALERT, json=[alert("second", at=now()), alert("third", "OK", now())]).status_code == 204
        assert [process.next()["name"], process.next()["name"]] == ["second", "third"]
        assert process.end() == 130


def test_a_device_that_was_quiet_and_one_that_is_let_in_later(
    ann: Vedette, server: RealServer, home: Path, device: FakeDevice
) -> None:
    ann("devices", "accept", MAC)
    with following(server, home) as process:
        assert device.client().post(ALERT, json=[alert("of the first", at=now())]).status_code == 204
        assert process.next()["name"] == "of the first"
        late = FakeDevice(server, {"mac": "02:00:00:00:00:07"})
        late.request()
        assert ann("devices", "accept", "--all-pending").status == 0
        assert late.client().post(ALERT, json=[alert("of the second", at=now())]).status_code == 204
        assert process.next()["name"] == "of the second"
        assert process.end() == 130


def test_it_ends_when_the_login_does(ann: Vedette, server: RealServer, home: Path, device: FakeDevice) -> None:
    ann("devices", "accept", MAC)
    with following(server, home) as process:
        client = device.client()
        client.post(ALERT, json=[alert("seen", at=now())])
        process.next()
        assert ann("logout").status == 0
        client.post(ALERT, json=[alert("not seen", at=now())])
        assert process.process.wait(DEADLINE_S) == 3
        process._reader.join(DEADLINE_S)
