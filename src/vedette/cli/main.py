"""Reads the command line, runs one command, says how it ended."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from vedette.cli import COMMANDS
from vedette.cli.client import TIMEOUT_S
from vedette.cli.command import Command, Context, Tree, positive, seconds
from vedette.cli.errors import FAILED, OK, USAGE, status_of
from vedette.cli.output import Output, silence
from vedette.errors import Unauthenticated, VedetteError

ENDS: Final = """\
exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 not logged in, 4 not found, 5 server not reachable,
6 there is a difference (--exit-code)"""


def main(argv: Sequence[str]) -> int:
    """Run the command that `argv` begins with, one of `COMMANDS`; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if any("\udc80" <= char <= "\udcff" for word in argv for char in word):
        print("vedette: what was typed is not UTF-8", file=sys.stderr)
        return USAGE
    options = parse(argv)
    context = Context(options, Output(as_json=options.json, environ=os.environ), os.environ)
    try:
        options.command.run(context)
    except VedetteError as exc:
        again = isinstance(exc, Unauthenticated) and "client" in vars(context)
        context.out.note(f"{exc}; to log in again: vedette login {context.server}" if again else str(exc))
        return status_of(exc)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        silence()
        return FAILED
    finally:
        if "client" in vars(context):
            context.client.close()
    return OK


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """What was typed. Ends the program when it is wrong, or asks for help."""
    top, leaves = parsers(argv[:1])
    for words in (1, 2):
        leaf = leaves.get(tuple(argv[:words]))
        if leaf is not None:  # with options before, between and behind the other arguments, as people type them
            return leaf.parse_intermixed_args(argv[words:])
    return top.parse_args(argv)


Leaves = dict[tuple[str, ...], argparse.ArgumentParser]


def parsers(names: Sequence[str] = tuple(COMMANDS)) -> tuple[argparse.ArgumentParser, Leaves]:
    """The command line of these commands, and of each command alone; only their modules are loaded."""
    leaves: Leaves = {}
    top = argparse.ArgumentParser(prog="vedette", allow_abbrev=False)
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        tree = tree_of(name)
        node = tree[name]
        if isinstance(node, Command):
            leaves[(name,)] = _add(commands, name, node)
            continue
        described = COMMANDS[name][1]
        inner = commands.add_parser(
            name,
            help=described,
            description=described[:1].upper() + described[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=_examples([next(iter(each.examples)) for each in node.values()]),
            allow_abbrev=False,
        ).add_subparsers(metavar="ACTION", required=True)
        for action, command in node.items():
            leaves[(name, action)] = _add(inner, action, command)
    return top, leaves


def tree_of(name: str) -> Tree:
    """The commands of the module that has the command `name`."""
    tree: Tree = import_module(f"vedette.cli.commands.{COMMANDS[name][0]}").TREE
    return tree


def _add(commands: Any, name: str, command: Command) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=command.help,
        description=command.help[:1].upper() + command.help[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n\n".join(filter(None, [command.notes, _examples(command.examples), ENDS])),
        allow_abbrev=False,
    )
    for argument in command.arguments:
        made.add_argument(*argument.names, **_described(argument.options))
    if command.paged:
        made.add_argument("--limit", type=positive, metavar="N", help="show at most N; without, all, up to 10000")
    else:
        made.set_defaults(limit=None)
    if command.asks:
        made.add_argument("--yes", action="store_true", help="do not ask whether it is meant")
    common = made.add_argument_group("for every command")
    common.add_argument("--json", action="store_true", help="print JSON, for scripts")
    common.add_argument("--server", metavar="URL", help="another server than that of the last login (VEDETTE_SERVER)")
    common.add_argument("--ca", metavar="FILE", help="trust the certificates in this PEM file only (VEDETTE_CA)")
    common.add_argument(
        "--timeout", type=seconds, default=TIMEOUT_S, metavar="S", help="seconds the server has to answer (30)"
    )
    common.add_argument(
        "--plain-http", action="store_true", help="send the token over http:// to another machine, for all to read"
    )
    made.set_defaults(command=command)
    return made


def _described(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.replace("%", "%%") if name == "help" else value for name, value in options.items()}


def _examples(examples: Sequence[str]) -> str:
    return "\n".join(["examples:", *(f"  {each}" for each in examples)])
