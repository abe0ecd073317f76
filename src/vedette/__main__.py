"""`vedette`: picks the part that a command belongs to, and loads no other."""

import sys
from collections.abc import Sequence
from typing import Final

from vedette import __version__
from vedette.cli import COMMANDS, command_first

HELP: Final = """\
usage: vedette COMMAND ...

on the machine of the server:
  vedette server    run the management server
  vedette tenant    create and list tenants
  vedette user      create and list users
  vedette backup    copy the server's database into one file; restore puts it back
  vedette feed      import known vulnerabilities, for the check cve of the devices
  vedette migrate   move everything from SQLite to PostgreSQL
  vedette demo      start everything on this machine and watch an alert travel

anywhere, by the API of the server:
{commands}

Every command explains itself with --help. On a device: mender-monitord and mender-monitorctl.

examples:
  vedette demo
  vedette server --listen 127.0.0.1:8080 --data ./data
  echo 'a good password' | vedette user create ann@example.com --tenant default --password-stdin --data ./data
  vedette login http://127.0.0.1:8080 --email ann@example.com
  vedette devices list --status pending
""".format(commands="\n".join(f"  vedette {name:12} {text}" for name, (_, text) in COMMANDS.items()))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    words = command_first(sys.argv[1:] if argv is None else argv)
    match words[:1]:
        case ["server" | "tenant" | "user" | "backup" | "restore" | "migrate" | "feed"]:
            return _server(words)
        case ["demo"]:
            from vedette.demo.__main__ import main as demo

            return demo(words[1:])
        case ["--version" | "version"]:
            print(f"vedette {__version__}")
            return 0
        case ["--help" | "-h" | "help"]:
            print(HELP, end="")
            return 0
        case []:
            print(HELP, end="", file=sys.stderr)
            return 2
        case [command, *_] if command in COMMANDS:
            from vedette.cli.main import main as cli

            return cli(words)
        case _:
            print(f"vedette: there is no command {words[0]!r}; `vedette --help` shows those there are", file=sys.stderr)
            return 2


def _server(words: list[str]) -> int:
    try:
        from vedette.server.commands import main as server
    except ModuleNotFoundError as exc:
        if exc.name is not None and exc.name.startswith("vedette"):
            raise
        print(f"vedette: {exc.name} is missing: the server needs pip install 'vedette[server]'", file=sys.stderr)
        return 1
    return server(words)


if __name__ == "__main__":
    sys.exit(main())
