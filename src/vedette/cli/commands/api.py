"""Any call of the API, for what has no command of its own."""

import json
import sys
from typing import Any, Final

from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.errors import Usage

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
MAX_BODY: Final = 1024 * 1024  # bytes; the server takes no more


def api(context: Context) -> None:
    options = context.options
    if not options.path.startswith("/") or options.path.startswith("//") or not _plain(options.path):
        raise Usage(
            "the path begins with one / and is written as in an address, such as /api/management/v1/inventory/devices"
        )
    body: Any = None
    if options.body:
        try:
            body = json.loads(sys.stdin.buffer.read(MAX_BODY + 1))
        except (ValueError, RecursionError):
            raise Usage("standard input has no JSON of at most 1 MiB") from None
    answer = context.client.call(options.method, options.path, body=body, headers={"Accept": "*/*"})
    if not answer.body:
        context.out.done(f"{answer.status}", {"status": answer.status})
    elif answer.headers.get_content_type() == "application/json":
        context.out.value(answer.json())
    else:
        for line in answer.body.decode("utf-8", "replace").splitlines():
            context.out.text(line)


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


TREE: Final[Tree] = {
    "api": Command(
        help="make a call of the API and print the answer",
        run=api,
        arguments=(
            arg("method", choices=METHODS, help="HTTP method"),
            arg("path", metavar="PATH", help="path with query, escaped as in an address"),
            arg("--body", action="store_true", help="send standard input, JSON"),
        ),
        examples=(
            "vedette api GET '/api/management/v1/inventory/devices?per_page=1'",
            "vedette api POST /api/management/v2/inventory/filters/search --body < search.json",
        ),
    )
}
