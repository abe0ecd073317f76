"""Bytes become lines, however they arrive, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.follow.lines import MAX_CONTEXT, MAX_CONTEXT_LINE, MAX_LINE, Block, Context, Splitter, finished, text
from vedette.model import Line


def lines_of(data: bytes) -> list[bytes]:
    return [finished(line) for line in data.split(b"\n")[:-1]]


def split(*pieces: bytes) -> list[bytes]:
    splitter = Splitter()
    return [line for piece in pieces for line in lines_of(splitter.feed(piece))]


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ((b"one\ntwo\n",), [b"one", b"two"]),
        ((b"o", b"n", b"e\n"), [b"one"]),
        ((b"one\r\ntwo\r", b"\n"), [b"one", b"two"]),
        ((b"\n\n",), [b"", b""]),
        ((b"no end",), []),
        ((b"\0\0\0", b"\0one\n"), [b"one"]),
        ((b"\0\0\n",), [b""]),
        ((b"a\0b\n",), [b"a\0b"]),
        ((b"", b"a\n", b""), [b"a"]),
    ],
)
def test_lines_end_with_their_newline(pieces: tuple[bytes, ...], lines: list[bytes]) -> None:
    assert split(*pieces) == lines


@given(st.lists(st.binary(max_size=30)), st.data())
def test_it_does_not_matter_how_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"\n".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    splitter = Splitter()
    assert [line for piece in pieces for line in lines_of(splitter.feed(piece))] == split(whole)
    assert splitter.pending == len(whole) - (whole.rfind(b"\n") + 1)


@pytest.mark.parametrize("piece", [100, 64 * 1024])
def test_a_line_without_end_takes_no_memory(piece: int) -> None:
    splitter = Splitter()
    for _ in range(10 * MAX_LINE // piece + 1):
        assert splitter.feed(b"x" * piece) == b""
        assert len(splitter._rest) <= MAX_LINE + 1
    assert lines_of(splitter.feed(b"x\nnext\n")) == [b"x" * MAX_LINE, b"next"]


def test_a_hole_of_nuls_does_not_fill_the_line() -> None:
    splitter = Splitter()
    for _ in range(100):
        splitter.feed(b"\0" * 4096)
        assert len(splitter._rest) <= 1
    assert splitter.pending == 409_600
    assert lines_of(splitter.feed(b"text\n")) == [b"text"]


def test_flush_gives_the_line_that_will_never_end() -> None:
    splitter = Splitter()
    splitter.feed(b"a\nb")
    assert splitter.flush() == b"b\n"
    assert splitter.flush() == b""
    assert splitter.feed(b"c\n") == b"c\n"


def test_neighbours_reach_back_over_reads() -> None:
    context = Context(3)
    context.add(b"1\n2\n3\n4\n")
    context.add(b"5\r\n")
    block = Block(data=b"6\n7\n8\n9\n", first=6, context=context.data)
    assert block.before(2, 3) == (Line(4, "4"), Line(5, "5"), Line(6, "6"))
    assert block.before(6, 2) == (Line(7, "7"), Line(8, "8"))
    assert block.before(0, 0) == ()
    assert block.at(2) == Line(7, "7")
    assert block.after(2, 1) == (Line(8, "8"),)
    assert block.after(6, 30) == ()


@given(st.lists(st.binary(max_size=5), min_size=1), st.integers(0, 6), st.data())
def test_neighbours_are_the_lines_around(parts: list[bytes], count: int, data: st.DataObject) -> None:
    raw = b"\n".join(parts) + b"\n"
    lines = [text(line) for line in lines_of(raw)]
    index = data.draw(st.integers(0, len(lines) - 1))
    start = len(b"".join(line + b"\n" for line in raw.split(b"\n")[:index]))
    block = Block(data=raw, first=1, context=b"")
    assert [text(line) for line in block.lines] == lines
    numbered = [Line(number, line) for number, line in enumerate(lines, 1)]
    assert block.at(start) == numbered[index]
    assert block.before(start, count) == tuple(numbered[max(0, index - count) : index])
    assert block.after(start, count) == tuple(numbered[index + 1 : index + 1 + count])


def test_what_people_read_is_text() -> None:
    assert text(b"a\xff\0b") == "a\ufffd\ufffdb"
    long = Block(data=b"x" * MAX_LINE + b"\ny\n" + b"x" * MAX_LINE + b"\n", first=1, context=b"")
    assert [len(line.data) for line in (*long.before(MAX_LINE + 1, 1), *long.after(MAX_LINE + 1, 1))] == [
        MAX_CONTEXT_LINE
    ] * 2


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 6))
def test_however_lines_come_the_same_neighbours_are_kept(counts: list[int], size: int) -> None:
    context, number = Context(size), 0
    for count in counts:
        context.add(b"".join(b"%d\n" % (number + i) for i in range(count)))
        number += count
    block = Block(data=b"x\n", first=number, context=context.data)
    wanted = tuple(Line(each, str(each)) for each in range(max(0, number - size), number))
    assert block.before(0, size) == wanted
    assert context.data == b"".join(b"%d\n" % line.number for line in wanted)


def test_long_neighbours_take_no_more_memory_than_is_shown() -> None:
    context = Context(30)
    for _ in range(40):
        context.add(b"\0" + b"x" * (MAX_CONTEXT_LINE - 1) + b"y\r" + b"z" * 100_000 + b"\n")
        assert len(context.data) <= MAX_CONTEXT
    block = Block(data=b"x\n", first=41, context=context.data)
    assert block.before(0, 2) == tuple(Line(number, "x" * (MAX_CONTEXT_LINE - 1) + "y") for number in (39, 40))
