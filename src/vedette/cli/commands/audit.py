"""The audit log: who changed what, and when."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vedette.cli.command import Command, Context, Tree, arg
from vedette.cli.errors import Usage
from vedette.cli.output import Columns, key, moment
from vedette.errors import Unavailable

LOGS: Final = "/api/management/v1/auditlogs/logs"
MAX_EXPORT: Final = 100_000  # entries in one file


def list_entries(context: Context) -> None:
    columns: Columns = {
        "TIME": moment("time"),
        "WHO": lambda item: item["actor"].get("email") or item["actor"]["id"],
        "ACTION": key("action"),
        "WHAT": key("object", "type"),
        "OBJECT": _object,
    }
    context.out.table(context.listed(LOGS, _filters(context)), columns)


def export(context: Context) -> None:
    """Streamed: the file is complete, or not there."""
    options = context.options
    if context.out.as_json:
        raise Usage("what is exported is CSV; `vedette audit list --json` gives JSON")
    query = [*_filters(context), ("limit", min(options.limit or MAX_EXPORT, MAX_EXPORT))]
    if options.out is None and context.out.to_terminal:
        text = context.client.call("GET", f"{LOGS}/export", query, headers={"Accept": "text/csv"}).body
        for line in text.decode("utf-8", "replace").splitlines():
            context.out.text(line)
        return
    pieces = context.client.stream(f"{LOGS}/export", query, accept="text/csv")
    if options.out is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    file = Path(options.out)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with part.open("xb") as opened:
            opened.writelines(pieces)
        part.replace(file)
    except OSError as exc:
        raise Unavailable(f"--out {file}: it cannot be written: {exc.strerror or exc}") from exc
    finally:
        part.unlink(missing_ok=True)


def _filters(context: Context) -> list[tuple[str, object | None]]:
    options = context.options
    return [
        ("created_after", None if options.after is None else _seconds(options.after)),
        ("created_before", None if options.before is None else _seconds(options.before)),
        ("actor_email", options.user),
        ("object_type", options.type),
        ("object_id", options.object),
        ("sort", options.sort),
    ]


def _seconds(text: str) -> int:
    """A time, or a day, as unix seconds."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"{text!r} is not a time like 2026-11-23 or 2026-11-23T08:00:00Z") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def _object(item: dict[str, Any]) -> object:
    thing = item["object"]
    detail = thing.get(thing["type"])
    named = (
        next((detail[name] for name in ("email", "name") if detail.get(name)), None)
        if isinstance(detail, dict)
        else None
    )
    return named or thing["id"]


_FILTERS: Final = (
    arg("--after", metavar="TIME", help="since this time or day (UTC), like 2026-11-23 or 2026-11-23T08:00:00Z"),
    arg("--before", metavar="TIME", help="until this time"),
    arg("--user", metavar="ADDRESS", help="only what this user did"),
    arg("--type", metavar="TYPE", help="only about: user, device, deployment, tenant, ..."),
    arg("--object", metavar="ID", help="only about this"),
    arg("--sort", choices=("asc", "desc"), help="by time; newest first without"),
)

TREE: Final[Tree] = {
    "audit": {
        "list": Command(
            help="list entries of the audit log",
            run=list_entries,
            paged=True,
            arguments=_FILTERS,
            examples=(
                "vedette audit list --limit 20",
                "vedette audit list --user ann@example.com --type device --json",
            ),
        ),
        "export": Command(
            help="write entries of the audit log as CSV, up to 100000",
            run=export,
            paged=True,
            arguments=(*_FILTERS, arg("--out", metavar="FILE", help="file to write; without, standard output")),
            examples=("vedette audit export --after 2026-11-01 --out audit.csv",),
        ),
    }
}
