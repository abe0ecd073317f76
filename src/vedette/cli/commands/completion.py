"""Completion for bash, written from the commands there are."""

from typing import Final

from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.completion import script


def completion(context: Context) -> None:
    print(script(), end="")


TREE: Final[Tree] = {
    "completion": Command(
        help="print what bash needs to complete these commands",
        run=completion,
        arguments=(arg("shell", choices=("bash",), help="the shell"),),
        examples=("vedette completion bash", "source <(vedette completion bash)"),
    )
}
