"""`systemctl` and `service`, for systems without a bus or without systemd: run, timed, understood."""

import os
from collections.abc import Callable, Sequence
from typing import Final

from vedette.agent import log
from vedette.agent.host import Host
from vedette.agent.loop import Loop, Timer
from vedette.agent.process import Process
from vedette.agent.units.unit import PROPERTIES, Unit, from_properties

RUN_S: Final = 30.0
"""Longest that one of these programs may take."""
MAX_OUTPUT: Final = 256 * 1024
_SYSTEM_PATHS: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")

OnDone = Callable[[int | None, str], None]  # exit code, None when it did not end by itself; what it printed


def find(name: str) -> str | None:
    """A program by its name: on PATH, else where systems keep theirs."""
    for directory in (*os.get_exec_path(), *_SYSTEM_PATHS):
        path = os.path.join(directory, name)  # noqa: PTH118 -- no pathlib object for each of 100 polls
        if directory and os.access(path, os.X_OK):
            return os.path.abspath(path)  # noqa: PTH100
    return None


class Run:
    """One run of a program; `on_done` is called once, unless it is cancelled."""

    def __init__(self, loop: Loop, host: Host, argv: Sequence[str], on_done: OnDone) -> None:
        self._on_done, self._output = on_done, b""
        self._process: Process | None = None
        self._timer = loop.call_later(RUN_S, self._too_long)
        path = find(argv[0])
        if path is None:
            loop.call_soon(lambda: self._done(None, f"there is no program {argv[0]!r}"))
            return
        try:
            self._process = host.run(argv[0], (path, *argv[1:]), self._on_output, self._on_end, errors_are_output=True)
        except OSError as exc:
            sentence = f"{path} cannot be started: {exc.strerror}"
            loop.call_soon(lambda: self._done(None, sentence))

    def cancel(self) -> None:
        """Nothing more is heard of it."""
        self._on_done = _nobody
        self._timer.cancel()
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _on_output(self, data: bytes) -> None:
        self._output = (self._output + data)[-MAX_OUTPUT:]

    def _on_end(self, code: int) -> None:
        self._process = None
        self._done(code, self._output.decode(errors="replace"))

    def _too_long(self) -> None:
        done = self._on_done
        self.cancel()
        done(None, f"it took longer than {RUN_S:g} s")

    def _done(self, code: int | None, output: str) -> None:
        self._timer.cancel()
        self._on_done(code, output)


class Systemctl:
    """`systemctl show`, again and again for all units that are watched, one process for all of them."""

    def __init__(self, loop: Loop, host: Host, every_s: float, see: Callable[[Unit], None]) -> None:
        self._loop, self._host, self._every_s, self._see = loop, host, every_s, see
        self._names: Sequence[str] = ()
        self._run: Run | None = None
        self._timer: Timer | None = None
        self._complaints = log.Limited(burst=1, interval_s=3600, clock=loop.clock)

    def watch(self, names: Sequence[str]) -> None:
        """Look at these from now on, and at once; none: rest."""
        self._names = names
        self.close()
        if names:
            self._look()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._run is not None:
            self._run.cancel()
            self._run = None

    def _look(self) -> None:
        argv = ("systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", *self._names)
        self._run = Run(self._loop, self._host, argv, self._on_shown)

    def _on_shown(self, code: int | None, output: str) -> None:
        self._run = None
        self._timer = self._loop.call_later(self._every_s, self._look)
        units = list(parse(self._names, output)) if code is not None else []
        if not units:
            last = (output.strip().splitlines() or [f"exit code {code}"])[-1]
            self._complaints.write(log.WARN, f"systemctl does not tell about services: {last}")
        for unit in units:
            self._see(unit)


def parse(names: Sequence[str], shown: str) -> list[Unit]:
    """What `systemctl show` printed about `names`: a paragraph for each, in their order. Empty when it is not that."""
    paragraphs = [each for each in shown.strip().split("\n\n") if each.strip()]
    if len(paragraphs) != len(names):
        return []
    found = []
    for name, paragraph in zip(names, paragraphs, strict=True):
        values: dict[str, object] = dict(line.partition("=")[::2] for line in paragraph.splitlines())
        if "ActiveState" not in values:
            return []
        for number in ("Job", "InactiveEnterTimestampMonotonic"):
            text = str(values.get(number, ""))
            values[number] = int(text) if text.isascii() and text.isdigit() else 0
        found.append(from_properties(name, values))
    return found


def system_state(loop: Loop, host: Host, answer: Callable[[str], None]) -> Run:
    """What `systemctl` says of the whole: "running", "stopping", "starting" ...; "" when it does not say."""

    def done(code: int | None, output: str) -> None:
        name, _, value = output.strip().partition("=")
        answer(value if code == 0 and name == "SystemState" else "")

    return Run(loop, host, ("systemctl", "show", "--property=SystemState"), done)


def _nobody(_code: int | None, _output: str) -> None:
    """Its answer came too late."""
