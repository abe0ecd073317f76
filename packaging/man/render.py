"""Fills in what man pages say from the programs themselves: the version, the commands, what `create` takes.

`python packaging/man/render.py DIR [VERSION]` writes all pages into DIR.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vedette import __version__
from vedette.agent.control import COMMANDS
from vedette.agent.control_subsystems import SUBSYSTEMS
from vedette.cli import COMMANDS as CLIENT

PAGES: Final = sorted(Path(__file__).parent.glob("*.[18]"))
ESCAPES: Final = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}


def page(source: Path, version: str = __version__) -> str:
    """The man page, ready for roff."""
    text = source.read_text()
    for mark, lines in (("COMMANDS", _commands), ("CREATE", _create), ("CLIENT", _client)):
        text = text.replace(f'.\\" @{mark}@\n', "".join(f"{line}\n" for line in lines()))
    return text.replace("@VERSION@", version)


def _commands() -> Iterator[str]:
    for name, command in COMMANDS.items():
        yield ".TP"
        yield rf"\fB{_roff(name)}\fR {_roff(command.arguments)}".rstrip()
        yield _sentence(command.summary)
        if command.details:
            yield ".IP"
            yield ".nf"
            yield from (_line(each) for each in command.details.strip("\n").splitlines())
            yield ".fi"


def _create() -> Iterator[str]:
    yield "What stands behind"
    yield ".BR create ,"
    yield "by subsystem:"
    for name, subsystem in SUBSYSTEMS.items():
        yield ".TP"
        yield rf"\fB{_roff(name)}\fR {_roff(subsystem.arguments)}"


def _client() -> Iterator[str]:
    for name, (_, text) in CLIENT.items():
        yield ".TP"
        yield rf"\fB{_roff(name)}\fR"
        yield _sentence(text)


def _sentence(text: str) -> str:
    return _line(text[:1].upper() + text[1:].rstrip(".") + ".")


def _line(text: str) -> str:
    """A line of text: a dot or an apostrophe at its beginning is no request."""
    return (r"\&" if text.startswith((".", "'")) else "") + _roff(text)


def _roff(text: str) -> str:
    """With these escapes, what a terminal shows can be copied into a shell."""
    return text.translate({ord(char): escape for char, escape in ESCAPES.items()})


if __name__ == "__main__":
    directory, *version = sys.argv[1:]
    Path(directory).mkdir(parents=True, exist_ok=True)
    for each in PAGES:
        Path(directory, each.name).write_text(page(each, *version))
