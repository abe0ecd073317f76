"""A signal as text, in the form that `dbus-monitor` prints, so that patterns made by looking at its output work.

The line that names the signal has no time in it. Source: dbus-monitor(1), and its output.
"""

from collections.abc import Iterator
from typing import Any, Final

from vedette.agent.bus.connection import Signal

MAX_CHARACTERS: Final = 64 * 1024
"""A text is cut there: whatever sends such signals may not hold up the other checks."""
_INDENT: Final = "   "
_NAMES: Final = {
    "y": "byte", "b": "boolean", "n": "int16", "q": "uint16", "i": "int32", "u": "uint32", "x": "int64",
    "t": "uint64", "d": "double", "h": "file descriptor", "s": "string", "o": "object path", "g": "signature",
}  # fmt: skip


def text(signal: Signal) -> str:
    """One line that names the signal, then its arguments, nested values further to the right."""
    head = (
        f"signal sender={signal.sender} -> destination={signal.destination or '(null destination)'}"
        f" serial={signal.serial} path={signal.path}; interface={signal.interface}; member={signal.member}"
    )
    lines, size = [head], len(head)
    if signal.body is None:
        return f"{head}\n{_INDENT}({signal.size} bytes, too large to be looked at)"
    for line in _values(signal.signature, signal.body, 1):
        lines.append(line)
        size += len(line) + 1
        if size > MAX_CHARACTERS:
            break
    return "\n".join(lines)[:MAX_CHARACTERS]


def _values(signature: str, values: tuple[Any, ...], depth: int) -> Iterator[str]:
    for kind, value in zip(_split(signature), values, strict=True):
        yield from _value(kind, value, depth)


def _value(kind: str, value: Any, depth: int) -> Iterator[str]:
    """The lines of one value; the first begins at `depth`."""
    indent = _INDENT * depth
    if kind == "v":
        inner = _value(value[0], value[1], depth + 1)
        yield f"{indent}variant {next(inner)}"
        yield from inner
    elif kind == "ay":
        yield from _bytes(bytes(value), depth)
    elif kind.startswith("a{"):
        key, entry = _split(kind[2:-1])
        yield f"{indent}array ["
        for name, each in value.items():
            yield f"{indent}{_INDENT}dict entry("
            yield from _value(key, name, depth + 2)
            yield from _value(entry, each, depth + 2)
            yield f"{indent}{_INDENT})"
        yield f"{indent}]"
    elif kind.startswith("a"):
        yield f"{indent}array ["
        for each in value:
            yield from _value(kind[1:], each, depth + 1)
        yield f"{indent}]"
    elif kind.startswith("("):
        yield f"{indent}struct {{"
        yield from _values(kind[1:-1], value, depth + 1)
        yield f"{indent}}}"
    elif kind in "sog":
        yield f'{indent}{_NAMES[kind]} "{value}"'
    elif kind == "b":
        yield f"{indent}boolean {'true' if value else 'false'}"
    elif kind == "d":
        yield f"{indent}double {value:g}"
    else:
        yield f"{indent}{_NAMES[kind]} {value}"


def _bytes(value: bytes, depth: int) -> Iterator[str]:
    indent = _INDENT * depth
    end = " + \\0" if len(value) > 1 and value.endswith(b"\0") else ""
    bare = value[:-1] if end else value
    if bare and all(0x20 <= each < 0x7F for each in bare):
        yield f'{indent}array of bytes "{bare.decode()}"{end}'
        return
    yield f"{indent}array of bytes ["
    for start in range(0, len(value), 16):
        yield f"{indent}{_INDENT}{value[start : start + 16].hex(' ')}"
    yield f"{indent}]"


def _split(signature: str) -> list[str]:
    """The complete types that a signature names one after the other: "sa{sv}(ii)" is "s", "a{sv}", "(ii)"."""
    found, start, depth = [], 0, 0
    for position, char in enumerate(signature):
        depth += (char in "({") - (char in ")}")
        if depth == 0 and char != "a":
            found.append(signature[start : position + 1])
            start = position + 1
    return found
