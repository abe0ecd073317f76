"""The children that look for the security checks: those that are due together share one.

To start a child costs more than most looks do. So a child is asked one thing after the other while there is something
to ask, and is gone when there is nothing. A look that takes long delays no other one: those that wait get a child of
their own. What reads much has a lane of its own, in which there is one look at a time.

Never are there two looks of one check, for both would keep what they know.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from vedette.agent import bootstrap
from vedette.agent.host import Host
from vedette.agent.loop import Loop, Timer
from vedette.agent.process import Process

PATIENCE_S: Final = 5.0
"""What others wait for a look that takes long."""
GRACE_S: Final = 5.0
"""Beyond its time limit: a scan that keeps to it has that to say what it found."""
MAX_ANSWER: Final = 1 << 20
HEAVY: Final = frozenset({"cve", "integrity", "setuid"})
"""The kinds whose scanners say that they are `heavy`."""

OnAnswer = Callable[[Mapping[str, Any]], None]
OnFailure = Callable[[str, bool], None]
Question = Callable[[], Mapping[str, Any]]


class Look:
    """One that was asked for. Either callback comes once, or none when it was cancelled."""

    __slots__ = ("_lane", "check", "limit_s", "on_answer", "on_failure", "question")

    def __init__(
        self,
        lane: "_Lane",
        check: str,
        question: Question,
        limit_s: float,
        on_answer: OnAnswer,
        on_failure: OnFailure,
    ) -> None:
        self._lane, self.check, self.question, self.limit_s = lane, check, question, limit_s
        self.on_answer, self.on_failure = on_answer, on_failure

    def cancel(self) -> None:
        """Nothing more is heard of it, and it ends as soon as it can."""
        self.on_answer, self.on_failure = _nobody, _nobody
        self._lane.cancel(self)


class Scans:
    """Of one device."""

    def __init__(self, loop: Loop, host: Host) -> None:
        self._light, self._heavy = _Lane(loop, host, patient=False), _Lane(loop, host, patient=True)

    def ask(
        self,
        kind: str,
        check: str,
        question: Question,
        limit_s: float,
        on_answer: OnAnswer,
        on_failure: OnFailure,
    ) -> Look:
        """Have a look when it is its turn. Returns at once, before either of the last two is called.

        Args:
            question: called when it begins; returns what `look` is to know.
            on_answer: called with the answer.
            on_failure: called with how it failed, and whether by a signal, as when the machine goes down.
        """
        lane = self._heavy if kind in HEAVY else self._light
        look = Look(lane, check, question, limit_s, on_answer, on_failure)
        lane.ask(look)
        return look


class _Lane:
    """Looks one after the other, but for those that take long."""

    def __init__(self, loop: Loop, host: Host, *, patient: bool) -> None:
        self.loop, self.host, self.patient = loop, host, patient
        self._waiting: deque[Look] = deque()
        self._children: list[_Child] = []
        self._taking: _Child | None = None  # what waits is for this one

    def ask(self, look: Look) -> None:
        self._waiting.append(look)
        self._go_on()

    def cancel(self, look: Look) -> None:
        if look in self._waiting:
            self._waiting.remove(look)
        for child in self._children:
            if child.look is look:
                child.give_up()

    def is_free(self, child: "_Child") -> None:
        """It has answered, and takes another question or its leave."""
        look = self._next() if child is self._taking else None
        if look is not None:
            child.ask(look)
            return
        child.dismiss()
        if child is self._taking:
            self._taking = None
        self._go_on()

    def is_slow(self, child: "_Child") -> None:
        if child is self._taking and not self.patient:
            self._taking = None
            self._go_on()

    def is_gone(self, child: "_Child") -> None:
        self._children.remove(child)
        if child is self._taking:
            self._taking = None
        self._go_on()

    def _go_on(self) -> None:
        if self._taking is not None or (self.patient and self._children) or (look := self._next()) is None:
            return
        child = _Child(self)
        try:
            child.start()
        except OSError as exc:
            for each in (look, *self._waiting):  # they ask again when they look the next time
                self.loop.call_soon(partial(_cannot_start, each, exc))
            self._waiting.clear()
            return
        self._children.append(child)
        self._taking = child
        child.ask(look)

    def _next(self) -> Look | None:
        """The first that waits and of whose check no other look is going on."""
        busy = {child.check for child in self._children}
        for look in self._waiting:
            if look.check not in busy:
                self._waiting.remove(look)
                return look
        return None


class _Child:
    """One process, and the look it is at."""

    def __init__(self, lane: _Lane) -> None:
        self._lane = lane
        self.look: Look | None = None
        self.check = ""  # that it is at, also when nobody wants to hear of it any more
        self._output = b""
        self._timers: list[Timer] = []

    def start(self) -> None:
        """Raises OSError."""
        arguments = bootstrap.arguments("vedette.agent.security")
        self._process: Process = self._lane.host.start_child("security", arguments, self._on_output, self._on_end)

    def ask(self, look: Look) -> None:
        self.look, self.check = look, look.check
        later = self._lane.loop.call_later
        self._timers = [
            later(PATIENCE_S, lambda: self._lane.is_slow(self)),
            later(look.limit_s + GRACE_S, self._too_long),
        ]
        self._process.send(json.dumps(look.question()).encode() + b"\n")

    def dismiss(self) -> None:
        self._process.close_input()

    def give_up(self) -> None:
        """Stop what it is at; it is gone when it has ended."""
        self._heard()
        self._process.end()

    def _on_output(self, data: bytes) -> None:
        self._output += data
        if b"\n" not in data:
            if len(self._output) > MAX_ANSWER:
                self._fail(f"said more than {MAX_ANSWER} bytes", by_signal=False)
                self._process.end()
            return
        line, self._output = self._output, b""
        look = self._heard()
        self.check = ""
        if look is not None:
            try:
                answer = json.loads(line)
            except ValueError:
                look.on_failure("said what is no answer", False)
            else:
                look.on_answer(answer)
        self._lane.is_free(self)

    def _on_end(self, code: int) -> None:
        how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
        self._fail(how, by_signal=code < 0)
        self._lane.is_gone(self)

    def _too_long(self) -> None:
        if self.look is not None:
            limit = f"{self.look.limit_s:g} s"
            self._fail(
                f"took longer than {limit} and was ended; give it more time, or less to look at", by_signal=False
            )
            self._process.end()

    def _fail(self, how: str, *, by_signal: bool) -> None:
        look = self._heard()
        if look is not None:
            look.on_failure(how, by_signal)

    def _heard(self) -> Look | None:
        look, self.look = self.look, None
        for timer in self._timers:
            timer.cancel()
        return look


def _cannot_start(look: Look, exc: OSError) -> None:
    look.on_failure(f"cannot be started: {exc.strerror}", False)


def _nobody(*_: Any) -> None:
    """Of what was cancelled nobody wants to hear."""
