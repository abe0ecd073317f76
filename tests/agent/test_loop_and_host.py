"""The loop sleeps until there is something; processes end as a group and leave nothing behind."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vedette.agent import host as host_module
from vedette.agent.host import Host, output
from vedette.agent.loop import Loop
from vedette.errors import Unavailable


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    loop.call_later(20, lambda: pytest.fail("nothing happened in time"))
    yield loop
    loop.close()


@pytest.fixture
def host(loop: Loop, tmp_path: Path) -> Iterator[Host]:
    host = Host(loop, tmp_path / "children")
    yield host
    host.kill_now()


def nobody(data: bytes) -> None:
    raise AssertionError(f"unexpected output {data!r}")


def test_timers_come_in_order_and_not_when_cancelled(loop: Loop) -> None:
    said: list[str] = []
    loop.call_later(0.02, lambda: (said.append("second"), loop.stop()))
    loop.call_later(0.01, lambda: said.append("first"))
    loop.call_later(0.005, lambda: said.append("never")).cancel()
    loop.run()
    assert said == ["first", "second"]


def test_a_reader_is_called_until_it_is_removed(loop: Loop) -> None:
    read, write = os.pipe()
    calls: list[bytes] = []

    def on_readable() -> None:
        calls.append(os.read(read, 1))
        if len(calls) == 2:
            loop.remove(read)
            loop.call_soon(lambda: loop.call_soon(loop.stop))

    loop.add_reader(read, on_readable)
    os.write(write, b"abc")
    loop.run()
    assert calls == [b"a", b"b"]
    os.close(read)
    os.close(write)


def test_signals_arrive_in_the_loop(loop: Loop) -> None:
    loop.on_signal(signal.SIGUSR1, loop.stop)
    loop.call_soon(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    loop.run()


def test_with_nothing_to_do_it_sleeps_for_ever() -> None:
    loop = Loop()
    assert loop._sleep_s() == 0.0  # not running: run() would return
    loop._running = True
    assert loop._sleep_s() is None
    loop.call_later(5, loop.stop).cancel()
    assert loop._sleep_s() is None
    loop.close()


def test_output_comes_before_the_end(loop: Loop, host: Host) -> None:
    said: list[object] = []
    host.start_shell("t", "echo out; exit 3", said.append, lambda code: (said.append(code), loop.stop()))
    loop.run()
    assert said == [b"out\n", 3]


def test_a_child_hears_us_until_we_close(loop: Loop, host: Host) -> None:
    said: list[bytes] = []
    code = "import sys; print('up', flush=True); print(len(sys.stdin.buffer.read()))"
    child = host.start_child("t", ["-c", code], said.append, lambda code: loop.stop())

    def hear(data: bytes) -> None:
        said.append(data)
        if b"\n" in data and b"3" not in data:
            child.send(b"xyz")
            child.close_input()

    child._on_output = hear
    loop.run()
    assert b"".join(said) == b"up\n3\n"


def test_paused_output_waits_in_the_pipe(loop: Loop, host: Host) -> None:
    said: list[bytes] = []
    process = host.start_shell("t", "echo a", said.append, lambda code: loop.stop())
    process.pause()
    loop.call_later(0.2, process.resume)
    loop.call_later(0.1, lambda: said.append(b"paused"))
    loop.run()
    assert said == [b"paused", b"a\n"]


def test_kill_takes_the_group_and_returns_at_once(loop: Loop, host: Host) -> None:
    marker = f"{500 + random.random():.9f}"
    process = host.start_shell(
        "t", f"trap '' TERM; sleep {marker} & echo up; sleep {marker}", nobody, lambda code: None
    )
    process._on_output = lambda data: process.kill()
    loop.call_later(0.01, lambda: host.when_idle(loop.stop))
    loop.run()
    until = time.monotonic() + 10  # a signal is sent at once, but dying may take a busy machine a moment
    while any(marker.encode() in cmdline(pid) for pid in pids()):
        assert time.monotonic() < until
        time.sleep(0.01)


def children() -> set[str]:
    """Processes of ours, zombies too."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_no_descriptor_and_no_zombie_stays(loop: Loop, host: Host) -> None:
    before, children_before = descriptors(), children()
    left = 30

    def again(code: int = 0) -> None:
        nonlocal left
        left -= 1
        if left:
            host.start_shell("t", "echo err >&2; echo out; sleep 0 &", lambda data: None, again)
        else:
            loop.stop()

    again()
    loop.run()
    assert descriptors() == before
    assert children() <= children_before
    assert (host._children_file or Path()).read_text() == ""


def test_signals_mean_the_usual_in_what_we_start(loop: Loop, host: Host) -> None:
    """Python ignores SIGPIPE; a shell pipeline that inherits that never ends. Whoever started us may ignore others."""
    said: list[object] = []
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    command = "grep -E 'Sig(Ign|Blk)' /proc/self/status; yes | head -1"
    host.start_shell("t", command, said.append, lambda code: loop.stop())
    loop.run()
    signal.signal(signal.SIGQUIT, before)
    text = b"".join(each for each in said if isinstance(each, bytes)).decode()
    _, blocked, _, ignored, yes = text.split()
    ordinary = (1 << 31) - 1  # the C library keeps two of the signals above for itself
    assert (int(blocked, 16), int(ignored, 16) & ordinary, yes) == (0, 0, "y")


def test_what_cannot_be_started_says_so_and_leaks_nothing(host: Host) -> None:
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        host.run("t", ["/nonexistent"], nobody, lambda code: None)
    assert descriptors() == before


@pytest.mark.parametrize(
    ("script", "why"),
    [("sleep 60", "longer"), ("yes", "more than"), ("exit 3", "exit code 3"), ("exec >&-; sleep 60", "longer")],
)
def test_output_is_bounded_in_time_and_size(script: str, why: str) -> None:
    with pytest.raises(Unavailable, match=why):
        host_module.output(["/bin/sh", "-c", script], timeout_s=0.3, max_bytes=1000)


def test_output_returns_what_was_printed() -> None:
    assert host_module.output(["/bin/echo", "ä"], timeout_s=20, max_bytes=1000) == "ä\n"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def pids() -> list[str]:
    return [each.name for each in Path("/proc").iterdir() if each.name.isdigit()]


def cmdline(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_output_of_a_program_that_never_ends_is_cut() -> None:
    said = output(["/bin/sh", "-c", "while :; do echo line; done"], timeout_s=20, max_bytes=1000, cut=True)
    assert said == ("line\n" * 200)
    with pytest.raises(Unavailable, match="more than 1000 bytes"):
        output(["/bin/sh", "-c", "while :; do echo line; done"], timeout_s=20, max_bytes=1000)
