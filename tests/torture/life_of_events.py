"""The hard life of a log whose lines belong together: each event comes once, and whole.

An event ends where the next one begins, where its file ends, and when time says so; here time is told by hand.
"""

from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import rule
from life_of_a_log import ByteReader, HardLife, as_read, shown

from vedette.agent.follow.events import Rule
from vedette.agent.follow.file import FileSource
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.position import Position
from vedette.agent.loop import Loop

NEVER_S = 30.0
"""The time limit of an event: no loop runs here, so it is not reached."""


class EventReader(ByteReader):
    """One check of events on one path; an event is shown as its lines."""

    def __init__(self, path: Path, position: Position | None) -> None:
        self.loop = Loop()
        self.inotify = Inotify(self.loop)
        self.source = FileSource(str(path), self.loop, self.inotify, 30, lambda source: None, Rule(timeout_s=NEVER_S))
        self.source.subscribe("log_a", position)

    def drain(self) -> list[str]:
        out: list[str] = []
        while True:
            for read in self.source.step():
                events = (read.block.line(start) for start in read.block.starts())
                out += ("\n".join(map(shown, event.split(b"\n"))) for event in events)
            if not self.source.more:
                return out

    def time_is_over(self) -> None:
        """Nobody has continued an event for so long that it has ended."""
        for cursor in self.source.cursors:
            for each in cursor.generations:
                each.end_event()


class EventfulLife(HardLife):
    """What is `written` are events, of which the last one may not have ended."""

    def __init__(self) -> None:
        self.open = False  # is there an event that a line can continue?
        super().__init__()

    @rule(lines=st.integers(1, 3), start=st.sampled_from([b"  at %d", b"\tat %d"]))
    def go_on(self, lines: int, start: bytes) -> None:
        for _ in range(lines):
            self._line(start)

    @rule()
    def time_passes(self) -> None:
        """Committed at once: where it is not, a crash lets the event go on."""
        self.read()
        assert isinstance(self.reader, EventReader)
        self.reader.time_is_over()
        self.read()
        self.commit()
        self.open = False

    def _handle(self) -> None:
        """What is held back in a file that nobody finds again is not promised."""
        self.time_passes()

    def _wrote(self, line: bytes) -> None:
        text = as_read(line)
        if self.open and (text == "b''" or text.startswith(("b' ", "b'\\t"))):
            self.written[-1] += f"\n{text}"
        else:
            self.written.append(text)
        self.open = True

    def _unfinished(self) -> None:
        super()._unfinished()
        self.open = False

    def _new_reader(self, place: Position | None) -> EventReader:
        return EventReader(self.log, place)
