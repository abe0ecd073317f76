"""The real child with its pipes, as the daemon starts it."""

import json
import select
import subprocess
import sys
import threading

from fake_server import ALERT, AUTH, Asked, FakeServer, Reply, pending
from sandbox_device import Device, names

DEADLINE_S = 20.0


def test_it_stays_for_a_burst_and_ends_with_its_input(device: Device, server: FakeServer) -> None:
    arrived = threading.Semaphore(0)

    def answer(_asked: Asked) -> Reply:
        arrived.release()
        return Reply()

    server.on[ALERT] = answer
    device.owe("a")
    process = device.start()
    assert process.stdin is not None
    assert arrived.acquire(timeout=DEADLINE_S)
    for name in ("b", "c"):
        device.owe(name)
        process.stdin.write(b"!")
        assert arrived.acquire(timeout=DEADLINE_S)
    output, _ = process.communicate(timeout=DEADLINE_S)  # closes its input
    assert process.returncode == 0
    assert not output or json.loads(output).keys() == {"ask_in_s"}, "nothing to wait for but the next deployment"
    assert names(server) == ["a", "b", "c"]
    assert len({asked.connection for asked in server.asked}) == 1
    assert device.counts().owed == 0


def test_it_says_how_long_it_must_wait(device: Device, server: FakeServer) -> None:
    server.on[AUTH] = pending
    output, errors = device.start().communicate(timeout=DEADLINE_S)
    assert 2 <= json.loads(output.splitlines()[-1])["retry_in_s"] <= 5
    assert b"has not accepted this device: 401 dev auth: unauthorized" in errors
    assert device.paths.key.stat().st_mode & 0o777 == 0o600


def test_one_delivers_at_a_time(device: Device, server: FakeServer) -> None:
    """The child of a daemon that was killed is still sending when the next daemon starts its own."""
    asked, go_on = threading.Event(), threading.Event()

    def answer(_asked: Asked) -> Reply:
        asked.set()
        assert go_on.wait(DEADLINE_S)
        return Reply()

    server.on[ALERT] = answer
    device.owe("a")
    first = device.start()
    assert asked.wait(DEADLINE_S)
    second = device.start()
    assert second.stdout is not None
    assert second.stderr is not None
    assert not select.select([second.stdout, second.stderr], [], [], 0.3)[0], "it did not wait for the first"
    go_on.set()
    for process in (first, second):
        process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0
    assert names(server) == ["a"]


def test_killed_in_the_middle_nothing_is_lost(device: Device, server: FakeServer) -> None:
    """The server has stored the batch, the device never heard of it: it comes again with the same ids."""
    asked, go_on = threading.Event(), threading.Event()

    def answer(_asked: Asked) -> Reply:
        asked.set()
        assert go_on.wait(DEADLINE_S)
        return Reply()

    server.on[ALERT] = answer
    device.owe("a", "b")
    process = device.start()
    assert asked.wait(DEADLINE_S)
    process.kill()
    process.wait()
    go_on.set()
    assert device.deliver() is None
    first, second = (one.json for one in server.to(ALERT))
    assert first == second
    assert device.counts().owed == 0


def test_it_needs_no_cryptography_while_its_token_is_good() -> None:
    """Importing it would take longer than everything else between a log line and the server."""
    code = "import sys, vedette.agent.uplink.__main__; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "http.client" in loaded
    assert not {"cryptography", "logging", "subprocess", "urllib.request", "argparse", "asyncio"} & set(loaded)


def test_wrong_arguments_are_refused() -> None:
    done = subprocess.run([sys.executable, "-m", "vedette.agent.uplink", "--rot", "x"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")
