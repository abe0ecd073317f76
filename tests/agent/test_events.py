"""Lines that belong together are judged together, once, whatever happens in the middle of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_device import Device

from vedette.agent.follow.events import MAX_EVENT_BYTES, MAX_EVENT_LINES, Assembler, Rule, rule
from vedette.agent.follow.file import FileSource
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.lines import Block
from vedette.agent.follow.position import Position
from vedette.agent.loop import Loop
from vedette.agent.match.fields import Field
from vedette.errors import Invalid
from vedette.model import Line

TRACE = "panic\n  at a\n  at b\n"


def append(path: Path, text: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(text if isinstance(text, bytes) else text.encode())


def events_of(block: Block) -> list[bytes]:
    return [block.line(start) for start in block.starts()]


class Reader:
    """One check that reads events, stepped by hand. `timeout_s` is never reached unless the loop runs."""

    def __init__(self, path: Path, rule: Rule, position: Position | None = None) -> None:
        self.loop = Loop()
        self.inotify = Inotify(self.loop)
        self.source = FileSource(str(path), self.loop, self.inotify, 30, lambda source: self.loop.stop(), rule)
        self.source.subscribe("k", position)

    def drain(self) -> list[str]:
        out: list[str] = []
        while True:
            for read in self.source.step():
                out += (event.decode() for event in events_of(read.block))
            if not self.source.more:
                return out

    def until(self, count: int) -> list[str]:
        out = self.drain()
        end = self.loop.clock.elapsed() + 20
        while len(out) < count:
            assert self.loop.clock.elapsed() < end, out
            self.loop.call_later(1, self.loop.stop)
            self.loop.run()
            out += self.drain()
        return out

    def close(self) -> Position | None:
        position = self.source.position("k")
        self.source.close()
        self.inotify.close()
        self.loop.close()
        return position


def test_what_is_indented_continues() -> None:
    assembler = Assembler(Rule())
    assert assembler.feed(b"one\n  a\n") == (b"", ())
    assert assembler.feed(b"\n\tb\ntwo\nthree\n") == (b"one\n  a\n\n\tb\ntwo\n", (0, 12))
    assert assembler.flush() == (b"three\n", (0,))
    assert assembler.flush() == (b"", ())


@given(st.lists(st.sampled_from([b"x\n", b" y\n", b"\n"])), st.data())
def test_it_does_not_matter_how_lines_arrive(lines: list[bytes], data: st.DataObject) -> None:
    def cut(pieces: list[list[bytes]]) -> list[bytes]:
        assembler, out = Assembler(Rule()), []
        for piece in [*(assembler.feed(b"".join(each)) for each in pieces), assembler.flush()]:
            events, starts = piece
            out += [events[a:b] for a, b in zip(starts, [*starts[1:], len(events)], strict=False)]
        assert assembler.held == 0
        return out

    at = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=4)))
    pieces = [lines[a:b] for a, b in zip([0, *at], [*at, len(lines)], strict=True)]
    assert cut(pieces) == cut([lines])
    assert b"".join(cut(pieces)) == b"".join(lines)


@pytest.mark.parametrize("line", [b" \n", b" " * 2000 + b"\n"])
def test_an_event_without_end_takes_no_memory(line: bytes) -> None:
    assembler = Assembler(Rule())
    out = 0
    for _ in range(3 * MAX_EVENT_LINES):
        out += len(assembler.feed(line)[0])
        assert assembler.held <= min(MAX_EVENT_BYTES, MAX_EVENT_LINES * len(line))
    assert out + assembler.held == 3 * MAX_EVENT_LINES * len(line)


def test_context_is_lines_and_the_event_is_whole() -> None:
    block = Block(data=b"a\nb\r\n c\nd\n e\n", first=7, context=b"z\n", events=(0, 2, 8))
    assert block.line(2) == b"b\n c"
    assert block.at(2) == Line(8, "b\n c")
    assert block.before(2, 30) == (Line(6, "z"), Line(7, "a"))
    assert block.after(2, 30) == (Line(10, "d"), Line(11, " e"))
    assert block.after(8, 30) == ()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"LOG_MULTILINE": "yes"}, "indent"),
        ({"LOG_MULTILINE": "indent", "LOG_MULTILINE_START": "x"}, "exclude"),
        ({"LOG_MULTILINE_START": "("}, "LOG_MULTILINE_START"),
        ({"LOG_MULTILINE_TIMEOUT": "2"}, "needs"),
        ({"LOG_MULTILINE": "indent", "LOG_MULTILINE_TIMEOUT": "nan"}, "seconds"),
        ({"LOG_MULTILINE": "indent", "LOG_MULTILINE_TIMEOUT": "31"}, "seconds"),
    ],
)
def test_slips_are_told(values: dict[str, str], word: str) -> None:
    with pytest.raises(Invalid, match=word):
        rule(values)


@pytest.mark.parametrize("cut", range(len(TRACE) + 1))
def test_a_restart_in_the_middle_of_an_event(tmp_path: Path, cut: int) -> None:
    """Wherever the file ends when the daemon stops, each event is heard once and whole."""
    log = tmp_path / "app.log"
    long = b"x" * 300 + b"\n " + b"\0" * 40_000 + b"y\n"  # the reader does not keep all of it
    append(log, b"before\n" + long + TRACE[:cut].encode())
    reader = Reader(log, Rule(timeout_s=30))
    first = reader.drain()
    position = reader.close()
    append(log, TRACE[cut:] + "after\n")
    reader = Reader(log, Rule(timeout_s=30), position)
    append(log, "end\n")
    second = reader.drain()
    reader.close()
    assert first + second == ["before", "x" * 300 + "\n " + second_part(), "panic\n  at a\n  at b", "after"]


def second_part() -> str:
    return "\0" * (16 * 1024 - 1)


def test_rotation_ends_an_event_and_time_does(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, TRACE)
    reader = Reader(log, Rule(timeout_s=30))
    assert reader.drain() == []
    log.rename(tmp_path / "app.log.1")
    append(log, "new\n more\n")
    assert reader.drain() == [TRACE.rstrip("\n")]
    position = reader.close()
    reader = Reader(log, Rule(timeout_s=0.05), position)
    assert reader.until(1) == ["new\n more"]
    append(log, " late\n")
    assert reader.until(1) == [" late"]
    reader.close()


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('{"message": "a\\nb"}', "a\nb"),
        ('{"a": {"message": 1}}', None),
        ('{"message": 4.5}', "4.5"),
        ('{"message": true}', "true"),
        ('{"message": {"x": [1, "\u00e4"]}}', '{"x":[1,"\u00e4"]}'),
        ('{"message": "\\ud800"}', "?"),
        ("panic: no JSON", "panic: no JSON"),
        ('["message"]', '["message"]'),
        ('{"message": "cut', '{"message": "cut'),
        ("[" * 16000, "[" * 16000),
        ('{"message": ' + "9" * 5000 + "}", '{"message": ' + "9" * 5000 + "}"),
    ],
)
def test_a_field_of_json(line: str, value: str | None) -> None:
    assert Field("message").of(line.encode()) == (None if value is None else value.encode())


def test_a_path_into_json() -> None:
    line = json.dumps({"a.b": {"c": 1}, "a": {"b": {"d": 2}, "l": [{"x": 3}]}}).encode()
    assert [Field(path).of(line) for path in ("a.b.c", "a.b.d", "a.l.0.x", "a.l.1.x")] == [b"1", b"2", b"3", None]
    with pytest.raises(Invalid):
        Field.parse("a..b")
    assert Field.parse("") is None


def details(alert: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = alert["subject"]["details"]
    return found


def test_the_daemon_hears_events_and_fields(device: Device, tmp_path: Path) -> None:
    """Beside a check of single lines on the same file, over a power cut in the middle of an event."""
    log, lines = tmp_path / "app.log", tmp_path / "app.json"
    device.check("trace", r"(?s)^panic.*at b", log, LOG_MULTILINE="indent", LOG_MULTILINE_TIMEOUT="0.2")
    device.check("line", r"^panic", log)
    device.check("other", r"at c", log, LOG_MULTILINE_START=r"^\w", LOG_MULTILINE_TIMEOUT="30")
    device.check("json", "^disk full$", lines, LOG_JSON_FIELD="log.message")
    device.check(
        "shell", r"a\n b", "@printf 'a\\n b\\n'; sleep 600", LOG_MULTILINE="indent", LOG_MULTILINE_TIMEOUT="0.1"
    )
    device.start()
    append(log, "ok\npanic\n  at a\n")
    append(lines, '{"log": {"message": "all is well"}, "x": "disk full"}\n{"log": {"message": "disk full"}}\n')
    assert details(device.wait_for(1, "json")[0])["line_matching"]["line_number"] == 2
    assert details(device.wait_for(1, "shell")[0])["line_matching"]["data"] == "a\n b"
    device.wait_for(1, "line")
    device.kill()
    append(log, "  at b\n  at c\nnext\n")
    device.start()
    for name in ("other", "trace"):
        matching = details(device.wait_for(1, name)[0])["line_matching"]
        if name == "other":  # its time was not over
            assert matching == {"line_number": 2, "data": "panic\n  at a\n  at b\n  at c"}
    assert device.levels("line") == ["CRITICAL"]
