"""What is compiled for Hyperscan finds all that the probes would, and nothing for what stands there only for speed."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.agent.match import databases
from vedette.agent.match.finders import FastFinder, PlainFinder
from vedette.agent.match.plan import Plan
from vedette.agent.match.probe import Probe

pytestmark = pytest.mark.skipif(not databases.available(), reason="Hyperscan is not installed")

_TEXT = st.binary(min_size=1, max_size=24).filter(lambda each: b"\n" not in each) | st.text(
    "abc", min_size=1, max_size=12
).map(str.encode)


def compiled(directory: Path, patterns: list[str], sample: bytes) -> FastFinder:
    databases.compile_(directory, patterns, sample, frozenset())
    found = databases.load(directory, patterns)
    assert found is not None
    return found[1]


@settings(max_examples=60, deadline=None)
@given(_TEXT, st.binary(max_size=200), st.lists(_TEXT, max_size=20))
def test_a_part_of_a_text_is_wherever_the_text_is(text: bytes, sample: bytes, lines: list[bytes]) -> None:
    probe = Probe(text, caseless=False)
    part = databases._telling(probe, sample)
    assert part.text in text
    data = b"".join(each + b"\n" for each in [*lines, b"x" + text + b"y", *lines])
    begins = {data.rfind(b"\n", 0, to) for to, _ in PlainFinder((probe,)).find(data, 0, len(data), ())}
    parts = {data.rfind(b"\n", 0, to) for to, _ in PlainFinder((part,)).find(data, 0, len(data), ())}
    assert begins <= parts


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_texts_are_found_wherever_they_are(draw: st.DataObject) -> None:
    """Hyperscan is trusted with texts alone, so every place is compared: short blocks and long, at each edge."""
    alphabet = draw.draw(st.sampled_from([b"ab", b"abcdefgh 0123:|", bytes(range(32, 127))]))
    text = st.lists(st.sampled_from(alphabet), min_size=2, max_size=24).map(bytes)
    texts = draw.draw(st.lists(text, min_size=1, max_size=130, unique_by=bytes.lower))
    probes = [Probe(each.lower(), True) if draw.draw(st.booleans()) else Probe(each, False) for each in texts]
    found = databases.finder(databases._compiled(probes, b""), Plan(probes=tuple(probes), owners=(), loose=()))
    for _ in range(5):
        size = draw.draw(st.sampled_from([8, 16, 31, 33, 63, 65, 70, 71, 200, 1000]))
        block = bytearray(draw.draw(st.binary(min_size=1, max_size=8)) * size)[:size]
        for each in draw.draw(st.lists(st.sampled_from(texts), max_size=4)):
            at = draw.draw(st.sampled_from([0, size // 2, max(size - len(each), 0)]))
            block[at : at + len(each)] = each
        data = bytes(block)
        hits = found.find(data, 0, len(data), ())
        for index, probe in enumerate(probes):
            ends = _every_end(probe.text, data.lower() if probe.caseless else data)
            if len(probes) == 1:  # a part of it is searched
                lines = {data.rfind(b"\n", 0, to) for to in ends}
                assert lines <= {data.rfind(b"\n", 0, to) for to, _ in hits}
            else:
                assert ends == {to for to, which in hits if which == index}, probe


def _every_end(text: bytes, data: bytes) -> set[int]:
    return {at + len(text) for at in range(len(data)) if data.startswith(text, at)}


@pytest.mark.parametrize("count", [1, 2, databases.FEW, 10, databases.MANY - 1, databases.MANY])
def test_every_text_is_found_however_many_there_are(count: int, tmp_path: Path) -> None:
    texts = [f"some text {number:03} of many" for number in range(count)]
    data = b"".join(f"here is {text} indeed\n".encode() for text in texts)
    finder = compiled(tmp_path, texts, b"some text of a log\n" * 100)
    for each in (finder, databases.again(finder)):
        assert {index for _, index in each.find(data, 0, len(data), ())} == set(range(count))


def test_what_stands_there_only_for_speed_is_not_told(tmp_path: Path) -> None:
    finder = compiled(tmp_path, ["one text", "another text", "a third text"], b"")
    data = b"".join(each.text + b"\n" for each in databases._padding(databases.MANY)) * 3 + b"a third text\n"
    assert [index for _, index in finder.find(data, 0, len(data), ())] == [2]
