"""A block searched at once gives the same answers as its lines, asked one by one."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from log_corpus import LINES, PATTERNS

from vedette.agent.follow.lines import finished
from vedette.agent.match import Engine, Pattern, Undecided, databases, engine, plan
from vedette.agent.match.finders import Finder, PlainFinder
from vedette.agent.match.plan import Plan
from vedette.agent.match.probe import Probe
from vedette.errors import Invalid

KINDS = ("plain", "machine", "fast")
Answer = set[tuple[int, int, bool]]
"""Pattern, start of the line, decided."""


def finder(kind: str, plan: Plan) -> Finder:
    if kind != "fast" or not plan.texts:
        return PlainFinder(plan.probes, machine_from=0 if kind == "machine" else 1 << 30)
    pytest.importorskip("hyperscan")
    return databases.finder(databases._compiled(plan.texts, b""), plan)


def compiled(texts: Sequence[str]) -> list[Pattern]:
    out = []
    for text in texts:
        try:
            out.append(Pattern.compile(text))
        except Invalid:
            continue
    return out


def line_by_line(patterns: Sequence[Pattern], data: bytes) -> Answer:
    out: Answer = set()
    start = 0
    for raw in data.split(b"\n")[:-1]:
        for index, pattern in enumerate(patterns):
            try:
                if pattern.matches(finished(raw)):
                    out.add((index, start, True))
            except Undecided:
                out.add((index, start, False))
        start += len(raw) + 1
    return out


def searched(patterns: Sequence[Pattern], data: bytes, kind: str, sample: bytes = b"") -> Answer:
    made = plan.make([each.text for each in patterns], sample)
    found = Engine(patterns, made, finder(kind, made)).scan(data, set(range(len(patterns))), once=False)
    return {(each.pattern, each.start, not each.undecided) for each in found if each is not None}


def block(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_every_pattern_on_every_line(kind: str) -> None:
    data = block(LINES)
    for text in PATTERNS:
        patterns = compiled([text])
        expected = line_by_line(patterns, data)
        assert searched(compiled([text]), data, kind) == expected, text
        assert searched(compiled([text]), data, kind, sample=data) == expected, text


@pytest.mark.parametrize("kind", KINDS)
def test_all_patterns_at_once(kind: str) -> None:
    data = block([*LINES, *(line.replace(b"\n", b"") + b"\r" for line in LINES)])
    assert searched(compiled(PATTERNS), data, kind) == line_by_line(compiled(PATTERNS), data)


_TOKENS = st.sampled_from(
    [
        *"abAKkxs.^$|()[]*+?-é€ 0\"'", "(?:", "(?i)", "(?=", "(?!", "(?<=", "(?<!", "(?>", "[^", "[a-c", "\\d", "\\w",
        "\\s", "\\b", "\\W", "\\A", "\\Z", "\\K", "\\x{e9}", "\\Q", "\\E", "{2}", "{1,3}", "{2,}", "ab", "key", "(?i:",
        "\\1", "\\R", "\\n", "[[:alpha:]", "\\]", "\\x41", "(?1)", "(?-i)", "(?s)", "\\p{L}", "(?|", "(?#x)", "\\Hk",
    ]
)  # fmt: skip
_PIECES = [
    b"a", b"b", b"A", b"K", b"k", b"x", b"s", b"0", b" ", b"\t", b"\r", b"\0", b"\xff", b"\xc3\xa9", b"\xe2\x84\xaa",
    b"\xc5\xbf", b"\xe2\x82", b"key", b"-", b"\"",
]  # fmt: skip
_LINE = st.one_of(
    st.sampled_from(LINES[:60]),
    st.lists(st.sampled_from(_PIECES), max_size=12).map(b"".join),
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.lists(_TOKENS, max_size=7).map("".join), min_size=1, max_size=4),
    st.lists(_LINE, max_size=12),
    st.sampled_from(KINDS),
)
def test_whatever_the_patterns_and_the_log(texts: list[str], lines: list[bytes], kind: str) -> None:
    data = block(lines)
    assert searched(compiled(texts), data, kind) == line_by_line(compiled(texts), data)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=6),
    st.lists(_LINE, max_size=12),
    st.integers(1, 300),
    st.sampled_from(KINDS),
)
def test_however_it_is_cut_and_whatever_is_hot(texts: list[str], lines: list[bytes], times: int, kind: str) -> None:
    """Long enough for several slices, and for probes that become too hot to be searched."""
    data = block(lines) * times
    old = engine.SLICE_BYTES, engine.QUICK_BYTES
    engine.SLICE_BYTES = engine.QUICK_BYTES = 1000  # type: ignore[misc]
    try:
        patterns = compiled(texts)
        expected = line_by_line(compiled(texts), data)
        assert searched(patterns, data, kind) == expected
        made = plan.make([each.text for each in patterns])
        counter = Engine(compiled(texts), made, finder(kind, made))
        assert counter.count(data, len(data)) == len({start for _, start, decided in expected if decided})
    finally:
        engine.SLICE_BYTES, engine.QUICK_BYTES = old  # type: ignore[misc]


@settings(max_examples=300, deadline=None)
@given(
    st.binary(min_size=1, max_size=20).filter(lambda each: b"\n" not in each)
    | st.text("ab", min_size=1).map(str.encode),
    st.lists(st.binary(max_size=40) | st.text("ab").map(str.encode), max_size=20),
    st.booleans(),
    st.integers(0, 30),
)
def test_machine_code_finds_the_same_places(text: bytes, lines: list[bytes], caseless: bool, start: int) -> None:
    probe = Probe(text.lower() if caseless else text, caseless)
    data = block([*lines, text, *lines, b"x" + text + text])
    end = len(data) - start
    slow, quick = (PlainFinder((probe,), machine_from=size) for size in (1 << 30, 0))
    assert slow.find(data, start, end, ()) == quick.find(data, start, end, ())


@pytest.mark.parametrize("kind", KINDS)
def test_once_is_the_first_of_each(kind: str) -> None:
    data = block([b"no", b"one", b"two", b"one two", b"one"] * 1000)
    patterns = compiled(["one", "t.o", "o$", "never"])
    made = plan.make([each.text for each in patterns])
    found = [each for each in Engine(patterns, made, finder(kind, made)).scan(data, {0, 1, 3}) if each is not None]
    assert sorted((each.pattern, each.start) for each in found) == [(0, 3), (1, 7)]


def test_a_worn_probe_is_told_so_that_another_can_be_chosen() -> None:
    text = "id=[0-9]+x"
    made = plan.make([text])
    searching = Engine(compiled([text]), made)
    data = block([b"id=5"] * 10_000)
    for _ in range(130):
        assert searching.count(data, len(data)) == 0
    assert [each.text for each in searching.worn] == [b"id="]
    other = plan.make([text], avoid=searching.worn)
    assert other.probes
    assert other.probes != made.probes


@settings(max_examples=400, deadline=None)
@given(
    st.lists(_TOKENS, min_size=1, max_size=6).map("".join),
    st.lists(st.lists(st.sampled_from([each for each in _PIECES if each.isascii()]), max_size=12).map(b"".join)),
)
@example("\\Ab", [b"a", b"b", b"ab", b"ba"])
@example("b\\z", [b"b", b"ba", b"ab"])
@example("a(?!\\n)", [b"a", b"ab"])
@example("(?<!\\n)b", [b"b", b"ab"])
@example("a$|b", [b"a", b"b", b"ab"])
@example("(a|ab)(c|bcd)++", [b"abcd", b"abc", b"a", b"bcd"])
@example("a*", [b"", b"a", b"b", b"\0", b"\r"])
@example("[a-z]{2,}b?+b", [b"aab", b"bb", b"ab", b"a\rb", b"xxxb\r"])
def test_many_lines_struck_at_once_are_those_that_match(text: str, lines: list[bytes]) -> None:
    for pattern in compiled([text]):
        struck = pattern.strike(block(lines))
        if struck is not None:
            left, count = struck
            missed = [line for line in lines if not pattern.matches(finished(line))]
            assert (left, count) == (block(missed), len(lines) - len(missed))


def test_lines_that_are_not_looked_at_to_their_end_are_not_struck() -> None:
    (pattern,) = patterns = compiled(["end"])
    lines = [b"the end", b"x" * 20_000 + b" end", b"\0" * 20_000 + b" end", b"end"]
    data = block(lines * 50)
    for _ in range(20):  # becomes hot
        counted = Engine(patterns).count(data, len(data))
        assert counted == 50 * sum(pattern.matches(finished(line)) for line in lines)
    hot = Engine(patterns)
    plenty = block([b"end"] * 100_000)
    assert hot.count(plenty, len(plenty)) == 100_000
    assert hot.count(data, len(data)) == 50 * 3


@pytest.mark.parametrize("text", ["end", "e[mno]d|x", "(?i)END", "e.d", "(e+)+nd$", "é|end"])
def test_what_matches_everywhere_is_counted_line_by_line_or_at_once(text: str) -> None:
    patterns = compiled([text, "other"])
    lines = [b"the end", b"END of all", b"\xc3\xa9 end", b"eend", b"an other", b"end and other", b"nothing", b"end\r"]
    data = block(lines * 20_000)
    expected = 20_000 * sum(any(pattern.matches(finished(line)) for pattern in patterns) for line in lines)
    assert Engine(patterns).count(data, len(data)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_hyperscan_itself_would_miss_is_found(kind: str) -> None:
    """Asked for the outlines of these patterns, release 5.4.12 of its library misses the second in this line."""
    patterns = compiled(["[|:][0-3]{3}[0-3]{3}[a-h]{2}[^|]*", "[ab]a[^|]*  [0-3]{3}", "[0-9]+[^|]*[c-f] [^|]*"])
    data = (
        b"be 12bb||ea |aed:a:0aegbh:d2gge0d3g2c1fe: 3bcg0ea aa:d3e3ggdhbhab d2ggd3hbd2g1 2ed1fe13 hhfd hde3ade\na2a12\n"
    )
    assert searched(patterns, data, kind) == line_by_line(patterns, data)
