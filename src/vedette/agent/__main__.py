"""`mender-monitord`: the agent daemon, in the foreground."""

import sys  # isort: skip
import vedette.agent.lean  # noqa: F401  # isort: skip  # before all that it makes leaner

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vedette import __version__
from vedette.agent import daemon
from vedette.errors import VedetteError

USAGE: Final = """\
usage: mender-monitord [--root DIR]

Watch what is configured and tell the server of problems, until stopped.

  --root DIR   keep all own files below DIR (also: MENDER_MONITOR_ROOT); watched files are taken as written
  --version    print the version
  --help       print this
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parsed by hand: argparse would stay in memory for as long as the device runs."""
    todo = list(sys.argv[1:] if argv is None else argv)
    root: Path | None = None
    while todo:
        option = todo.pop(0)
        name, equals, value = option.partition("=")
        if option in ("--help", "-h"):
            print(USAGE, end="")
            return 0
        if option in ("--version", "-V"):
            print(f"mender-monitord {__version__}")
            return 0
        if name != "--root":
            return _wrong(f"unknown argument {option!r}")
        if not equals:
            if not todo:
                return _wrong("--root needs a directory")
            value = todo.pop(0)
        if not value:
            return _wrong("--root needs a directory")
        root = Path(value)
    try:
        return daemon.run(root)
    except VedetteError as exc:
        print(f"mender-monitord: {exc}", file=sys.stderr)
        return 1


def _wrong(sentence: str) -> int:
    print(f"mender-monitord: {sentence}; see mender-monitord --help", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
