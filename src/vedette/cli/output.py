"""What commands print: tables and sentences for people, JSON for scripts. Nothing from outside steers the terminal."""

import json
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

Column = Callable[[Any], object]
Columns = Mapping[str, Column]

MISSING: Final = "-"
MIN_LAST: Final = 20  # columns that the last cell of a line keeps on a narrow terminal
RED: Final = frozenset({"CRITICAL", "CRITICAL_FLAPPING", "failure", "rejected"})
YELLOW: Final = frozenset({"WARNING", "UNKNOWN", "pending", "aborted"})
_SECRET: Final = re.compile(r"pass|secret|token|credential|private|psk|key$", re.IGNORECASE)
GREEN: Final = frozenset({"OK", "accepted", "success"})


def key(*names: str) -> Column:
    """The value that stands there, however deep; None where nothing does."""

    def find(item: Any) -> object:
        for name in names:
            item = item.get(name) if isinstance(item, dict) else None
        return item

    return find


def moment(*names: str) -> Column:
    """A time of the API to the second."""
    found = key(*names)

    def find(item: Any) -> object:
        text = found(item)
        if not isinstance(text, str) or len(text) < 20:
            return text
        return text[:10] + " " + text[11:19] + ("Z" if text.endswith("Z") else "")

    return find


def attribute(scope: str, name: str) -> Column:
    """The value of an attribute of a device of the inventory."""

    def find(item: Any) -> object:
        for each in item.get("attributes", ()):
            if (each.get("scope"), each.get("name")) == (scope, name):
                return each.get("value")
        return None

    return find


def plain(value: object) -> str:
    """A value as text in one line, in which nothing can move the cursor, change colours or reverse the writing."""
    match value:
        case None | "":
            return MISSING
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(plain, value)) or MISSING
        case dict():
            return ", ".join(f"{plain(name)}={plain(each)}" for name, each in value.items()) or MISSING
        case _:
            return harmless(str(value))


def harmless(text: str) -> str:
    """`text` with everything written out that a terminal would obey."""
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def counted(number: int, thing: str) -> str:
    """`1 device`, `2 devices`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def hidden(name: str, value: str) -> str:
    """A setting for people, whose terminals and logs others read too: what sounds like a secret is not shown."""
    return "(hidden)" if value and _SECRET.search(name) else value


class Output:
    """Where a command prints.

    Args:
        as_json: print JSON and nothing else.
        environ: NO_COLOR and TERM are obeyed.
    """

    def __init__(
        self, *, as_json: bool, environ: Mapping[str, str], out: TextIO | None = None, err: TextIO | None = None
    ) -> None:
        self.as_json = as_json
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self.to_terminal = self._out.isatty()
        self._colours = self.to_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"

    def value(self, value: object) -> None:
        """A JSON document. Only ASCII: no character in it means anything to a terminal."""
        self._print(json.dumps(value, indent=2))

    def line(self, value: object) -> None:
        """A JSON document in one line, at once."""
        self._print(json.dumps(value))

    def text(self, text: str) -> None:
        """A line for people."""
        self._print(harmless(text))

    def note(self, text: str) -> None:
        """A line beside the result."""
        print(f"vedette: {harmless(text)}", file=self._err, flush=True)

    def done(self, sentence: str, result: object) -> None:
        """That something was done: the sentence for people, what came of it for scripts."""
        if self.as_json:
            self.value(result)
        else:
            self.text(sentence)

    def record(self, item: object, fields: Columns) -> None:
        """One thing: its fields below one another."""
        if self.as_json:
            self.value(item)
            return
        width = max(map(len, fields), default=0)
        for name, column in fields.items():
            self._print(f"{name:{width}}  {self._coloured(plain(column(item)))}")

    def table(self, items: Sequence[Any], columns: Columns) -> None:
        """Many things: a line each, below the names of the columns."""
        if self.as_json:
            self.value(items)
        else:
            self.rows(columns, ([plain(column(item)) for column in columns.values()] for item in items))

    def rows(self, names: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
        """Aligned lines. On a terminal the last cell is cut where the line ends."""
        lines = [list(names), *map(list, rows)]
        widths = [max(map(_width, cells)) for cells in zip(*lines, strict=True)]
        room = max(shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * len(widths[:-1]), MIN_LAST)
        for line in lines:
            if self.to_terminal:
                line[-1] = _cut(line[-1], room)
            padded = [
                self._coloured(cell) + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)
            ]
            self._print("  ".join(padded).rstrip())

    def _coloured(self, text: str) -> str:
        if not self._colours:
            return text
        code = 31 if text in RED else 33 if text in YELLOW else 32 if text in GREEN else 0
        return f"\x1b[{code}m{text}\x1b[0m" if code else text

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)


def silence() -> None:
    """Nobody reads any more: let nothing that is still to be written fail at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _width(text: str) -> int:
    """Columns on a terminal. Source: Unicode Standard Annex 11."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while _width(text) >= width:
        text = text[:-1]
    return text + "…"
