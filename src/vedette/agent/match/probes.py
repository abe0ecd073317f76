"""Where in a block of log is a pattern worth asking about? Probes: byte expressions that are quick to search for.

Each pattern gets a few probes of which every line that it matches holds at least one: a *needle*, the rarest text
that every match must hold, or else the outline of the whole pattern. Probes see bytes: whole blocks, lines of any
length, any encoding, any line end. They never reach over a newline. A pattern that nothing is known of has none.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from vedette.agent.match.pattern import lines_with
from vedette.agent.match.probe import Probe
from vedette.agent.match.syntax import (
    ASCII,
    BAD,
    CASELESS_ALIENS,
    Anything,
    Char,
    Choice,
    Class,
    Node,
    Repeat,
    Series,
    parse,
)

MAX_NEEDLE: Final = 24
MAX_CHOICES: Final = 16
"""More texts than this, one of which must be there, are an outline's business."""
GOOD_NEEDLE: Final = 3
"""Bytes of a needle that is surely rarer than an outline; a shorter one is taken when there is no outline."""
MAX_OUTLINE: Final = 2000
OUTLINE_REPEAT: Final = 8
COMMON_BYTES: Final = 200
"""A needle that is found once in so many bytes of the sample is in about every second line: no use."""

# One character outside ASCII takes 2 to 4 bytes; bytes that are no UTF-8 stand for one in groups of 1 to 3.
_WIDE: Final = rb"\x80-\xff"


_ALIENS: Final = tuple(Probe(char.encode(), caseless=False) for char in CASELESS_ALIENS)


def choose(pattern: str, sample: bytes = b"", *, avoid: frozenset[Probe] = frozenset()) -> tuple[Probe, ...]:
    """The probes of a pattern: those that are rarest in `sample`; none when it must be asked about every line.

    Args:
        pattern: a valid Perl-compatible pattern.
        sample: some of the log that is to be searched.
        avoid: probes that were found everywhere.
    """
    node = parse(pattern)
    if node is None:
        return ()
    lower = sample.lower()
    best: tuple[tuple[int, int], frozenset[Probe]] | None = None
    for needles in _needles(node):
        if needles & avoid:
            continue
        found = sum((lower if each.caseless else sample).count(each.text) for each in needles)
        shortest = min(len(each.text) for each in needles)
        rank = (found, -min(shortest, 8))
        if best is None or rank < best[0]:
            best = rank, needles
    if best is not None and best[0][0] * COMMON_BYTES > max(len(sample), 4096):
        best = None
    if best is None or min(len(each.text) for each in best[1]) < GOOD_NEEDLE:
        outline = _outline_of(node)
        if outline is not None and outline not in avoid and not _everywhere(outline, sample):
            return (outline,)
    if best is None:
        return ()
    aliens = _ALIENS if any(each.caseless and set(each.text) & set(b"ks") for each in best[1]) else ()
    return (*sorted(best[1]), *aliens)


def _everywhere(outline: Probe, sample: bytes) -> bool:
    return bool(sample) and (lines_with(outline.text, sample) or 0) * COMMON_BYTES > max(len(sample), 4096)


def _needles(node: Node) -> Iterator[frozenset[Probe]]:
    """Sets of texts; every match holds one of each set."""
    if isinstance(node, Char):
        yield from _run([node])
    elif isinstance(node, Choice):
        yield from _needles_of_choice(node)
    elif isinstance(node, Repeat):
        if node.least:
            yield from _needles(node.part)
    elif isinstance(node, Series):
        run: list[Char] = []
        for part in node.parts:
            if isinstance(part, Char) and _plain(part):
                if run and run[-1].caseless != part.caseless:
                    yield from _run(run)
                    run = []
                run.append(part)
                continue
            if isinstance(part, Repeat) and isinstance(part.part, Char) and part.least and _plain(part.part):
                char = part.part
                if run and run[-1].caseless != char.caseless:
                    yield from _run(run)
                    run = []
                run += [char] * min(part.least, MAX_NEEDLE)
                if part.least != part.most or part.least > MAX_NEEDLE:  # more may follow, the last one is the same
                    yield from _run(run)
                    run = [char]
                continue
            yield from _run(run)
            run = []
            yield from _needles(part)
        yield from _run(run)


def _needles_of_choice(node: Choice) -> Iterator[frozenset[Probe]]:
    """One of each branch: the set whose shortest text is longest."""
    union: set[Probe] = set()
    for branch in node.branches:
        best = max(_needles(branch), key=lambda each: min(len(probe.text) for probe in each), default=None)
        if best is None:
            return
        union |= best
        if len(union) > MAX_CHOICES:
            return
    yield frozenset(union)


def _plain(char: Char) -> bool:
    """Is it always the same bytes, but for the case of ASCII letters?"""
    return char.char not in ("\n", BAD) and (char.char.isascii() or not char.caseless)


def _run(run: Sequence[Char]) -> Iterator[frozenset[Probe]]:
    if not run or not all(_plain(each) for each in run):
        return
    text = "".join(each.char for each in run).encode(errors="replace")
    caseless = run[0].caseless and any(each.char.isalpha() for each in run)
    if caseless:
        text = text.lower()
    if len(text) <= MAX_NEEDLE:
        yield frozenset((Probe(text, caseless),))
        return
    for start in range(0, len(text) - MAX_NEEDLE + 1, MAX_NEEDLE // 2):
        yield frozenset((Probe(text[start : start + MAX_NEEDLE], caseless),))


def _outline_of(node: Node) -> Probe | None:
    parts = list(node.parts) if isinstance(node, Series) else [node]
    while parts and _least(parts[-1]) == 0:  # what may be missing says nothing at an end, and multiplies the places
        parts.pop()
    while parts and _least(parts[0]) == 0:
        del parts[0]
    for end in (0, -1):
        if parts and isinstance(last := parts[end], Repeat):
            parts[end] = Repeat(last.part, min(last.least, OUTLINE_REPEAT), min(last.least, OUTLINE_REPEAT))
    if sum(map(_least, parts)) < 2:
        return None  # in nearly every line
    text = b"".join(map(_outline, parts))
    return Probe(text, caseless=False, outline=True) if len(text) <= MAX_OUTLINE else None


def _least(node: Node) -> int:
    """Fewest characters that it can match."""
    if isinstance(node, Char | Class):
        return 1
    if isinstance(node, Repeat):
        return node.least * _least(node.part)
    if isinstance(node, Series):
        return sum(map(_least, node.parts))
    if isinstance(node, Choice):
        return min(map(_least, node.branches))
    return 0


def _outline(node: Node) -> bytes:
    """An expression for bytes that finds at least what `node` matches within a line."""
    if isinstance(node, Anything):
        return rb"[^\n]*"
    if isinstance(node, Char | Class):
        return _one(node)
    if isinstance(node, Repeat):
        return _repeated(node)
    if isinstance(node, Choice):
        return b"(?:" + b"|".join(map(_outline, node.branches)) + b")"
    return b"".join(map(_outline, node.parts))


def _one(node: Char | Class) -> bytes:
    if isinstance(node, Class):
        return _class(node) + (b"{1,4}" if node.wide else b"")
    if node.char == BAD:
        return b"[" + _WIDE + b"]{1,4}"
    if not node.char.isascii():
        if node.caseless:
            return _class(Class(frozenset("kKsS"), wide=True)) + b"{1,4}"
        return b"".join(b"\\x%02x" % byte for byte in node.char.encode(errors="replace"))
    if node.caseless and node.char.isalpha():
        wide = node.char in "kKsS"
        both = Class(frozenset((node.char.lower(), node.char.upper())), wide)
        return _class(both) + (b"{1,4}" if wide else b"")
    return b"\\x%02x" % ord(node.char)


def _class(node: Class) -> bytes:
    if node.members >= ASCII - {"\n"} and node.wide:
        return rb"[^\n]"
    members = b"".join(b"\\x%02x" % ord(each) for each in sorted(node.members) if each != "\n")
    text = members + (_WIDE if node.wide else b"")
    return b"[" + text + b"]" if text else rb"[^\n]"


def _repeated(node: Repeat) -> bytes:
    part, least, most = node.part, node.least, node.most
    if isinstance(part, Class) and part.wide:
        inner, most = _class(part), None if most is None else most * 4
    else:
        inner = b"(?:" + _outline(part) + b")"
    least = min(least, OUTLINE_REPEAT)
    if most is None or most > 4 * OUTLINE_REPEAT:
        return inner + (b"*" if least == 0 else b"+" if least == 1 else b"{%d,}" % least)
    return inner + b"{%d,%d}" % (least, max(least, most))
