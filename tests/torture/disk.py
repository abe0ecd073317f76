"""What is on the disk after a crash: pure functions of what was written and flushed before it."""

import random
from collections.abc import Iterable
from typing import Literal

from recorder import Delete, Event, Mark, Sync, Truncate, Write

Cut = Literal["kill", "power", "torn"]
"""kill: the process died, the kernel lives on, so all is there. power: only what was flushed is there. torn: that, and
any part of the rest in any order, down to sectors."""

SECTOR = 512


def after(events: Iterable[Event], cut: Cut, chance: random.Random) -> dict[str, bytes]:
    """Files by name, as a program that starts after the crash finds them."""
    safe: dict[str, bytes] = {}
    loose: dict[str, list[Write | Truncate]] = {}
    gone: dict[str, tuple[bytes, list[Write | Truncate]]] = {}  # deleted, but not for certain yet
    for event in events:
        match event:
            case Mark():
                pass
            case Sync(name):
                safe[name] = _done(safe.get(name, b""), loose.pop(name, []))
                gone = {}
            case Delete(name):
                gone[name] = (safe.pop(name, b""), loose.pop(name, []))
            case Write(name) | Truncate(name):
                loose.setdefault(name, []).append(event)
    if cut == "kill":
        return safe | {name: _done(safe.get(name, b""), steps) for name, steps in loose.items()}
    if cut == "power":
        return {name: content for name, (content, _) in gone.items()} | safe
    back = {name: _some(content, steps, chance) for name, (content, steps) in gone.items() if chance.random() < 0.5}
    return back | safe | {name: _some(safe.get(name, b""), steps, chance) for name, steps in loose.items()}


def _done(content: bytes, steps: Iterable[Write | Truncate]) -> bytes:
    out = bytearray(content)
    for step in steps:
        if isinstance(step, Truncate):
            del out[step.size :]
        else:
            out.extend(b"\0" * (step.offset - len(out)))
            out[step.offset : step.offset + len(step.data)] = step.data
    return bytes(out)


def _some(content: bytes, steps: Iterable[Write | Truncate], chance: random.Random) -> bytes:
    """Each sector of each write is there or not; what was never written reads as zeros."""
    kept: list[Write | Truncate] = []
    for step in steps:
        if isinstance(step, Truncate):
            if chance.random() < 0.5:
                kept.append(step)
            continue
        kept += (
            Write(step.name, step.offset + start, step.data[start : start + SECTOR])
            for start in range(0, len(step.data), SECTOR)
            if chance.random() < 0.5
        )
    return _done(content, kept)
