"""The JSON and CSV of the audit log: paths, keys and codes of the compatible API (docs/compatibility.md)."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from vedette.errors import Invalid
from vedette.server.audit import service, store
from vedette.server.audit.service import Entry
from vedette.server.caller import Caller
from vedette.server.http import page_of, paged, services, user_route
from vedette.server.openapi.operation import (
    PAGED,
    Answer,
    Order,
    Parameter,
    Seconds,
    Time,
    operation,
    paged_list,
    words,
)
from vedette.wire.outgoing import timestamp

PREFIX: Final = "/api/management/v1/auditlogs"
MAX_EXPORT: Final = 100_000  # entries in one file
EXPORT: Final = 20_000  # when the client does not say
MAX_TEXT: Final = 512  # characters of a filter
COLUMNS: Final = (
    "time", "action", "actor_type", "actor_id", "actor_email",
    "object_type", "object_id", "object_name", "change",
)  # fmt: skip
SEPARATORS: Final = (",", ";", "\t", "|")


class ActorAnswer(TypedDict):
    """Who did it."""

    id: str
    type: str
    email: NotRequired[str]


class EntryAnswer(TypedDict):
    """A change. `object` has an `id` and a `type`, and what is told of such a thing under the name of its type."""

    actor: ActorAnswer
    time: Time
    action: str
    object: dict[str, Any]
    change: NotRequired[str]


_FILTERS: Final = (
    *(
        Parameter(name, "Only such entries.", Annotated[str, msgspec.Meta(max_length=MAX_TEXT)])
        for name in sorted(store.FILTERS)
        if not name.startswith("created_")
    ),
    Parameter("created_after", "Only those of this time or later.", Seconds),
    Parameter("created_before", "Only those of this time or earlier.", Seconds),
    Parameter("sort", "`asc`: the oldest first.", Order),
)


@operation("List the audit log, the newest first", query=(*PAGED, *_FILTERS), answers=paged_list(EntryAnswer))
async def list_entries(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    found = await service.entries(
        services(request),
        caller.scope,
        _filters(request),
        ascending=_ascending(request),
        limit=page.size,
        offset=page.offset,
    )
    return paged(request, page, [_dump(each) for each in found.items], found.total)


@operation(
    "Fetch the audit log as CSV",
    query=(
        *_FILTERS,
        Parameter("limit", "How many entries at most.", Annotated[int, msgspec.Meta(ge=1, le=MAX_EXPORT)]),
        Parameter("format_separator", "What stands between two values.", Annotated[str, words(SEPARATORS)]),
        Parameter("ignore", f"Columns to leave out, separated by commas: {', '.join(COLUMNS)}.", list[str]),
    ),
    answers=Answer(str, "text/csv", headers=("Content-Disposition",)),
)
async def export(request: Request, caller: Caller) -> Response:
    """The same as CSV (RFC 4180), streamed, for spreadsheets."""
    separator = request.query_params.get("format_separator") or ","
    if separator not in SEPARATORS:
        raise Invalid("format_separator must be a comma, a semicolon, a tab or |")
    ignored = {name for each in request.query_params.getlist("ignore") for name in each.split(",")}
    columns = tuple(name for name in COLUMNS if name not in ignored)
    pieces = service.every(
        services(request),
        caller.scope,
        _filters(request),
        ascending=_ascending(request),
        limit=_limit(request),
    )
    first: Sequence[Entry] = await anext(pieces, [])  # an error is still an error answer here

    async def lines() -> AsyncIterator[bytes]:
        yield _csv([columns], separator)
        yield _csv([_row(each, columns) for each in first], separator)
        async for piece in pieces:
            yield _csv([_row(each, columns) for each in piece], separator)

    headers = {"Content-Disposition": 'attachment; filename="audit-log.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(lines(), media_type="text/csv", headers=headers)


def _filters(request: Request) -> dict[str, object]:
    """What the query asks for; empty values count as not given."""
    found: dict[str, object] = {}
    for name in store.FILTERS:
        text = request.query_params.get(name, "")
        if not text:
            continue
        if len(text) > MAX_TEXT or "\0" in text:
            raise Invalid(f"invalid {name} query: at most {MAX_TEXT} characters, and no NUL")
        if name.startswith("created_"):
            if not (text.isascii() and text.isdigit() and len(text) < 12):
                raise Invalid(f"invalid {name} query: {text[:100]!r} is not a unix time in seconds")
            # The last second counts as a whole.
            found[name] = int(text) * 1_000_000 + (999_999 if name == "created_before" else 0)
        else:
            found[name] = text.lower() if name == "actor_email" else text
    return found


def _ascending(request: Request) -> bool:
    order = request.query_params.get("sort") or "desc"
    if order not in {"asc", "desc"}:
        raise Invalid("sort must be asc or desc")
    return order == "asc"


def _limit(request: Request) -> int:
    text = request.query_params.get("limit") or str(EXPORT)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_EXPORT):
        raise Invalid(f"limit must be 1 to {MAX_EXPORT}")
    return int(text)


def _dump(entry: Entry) -> EntryAnswer:
    actor: ActorAnswer = {"id": entry.actor.id, "type": entry.actor.type}
    if entry.actor.email:
        actor["email"] = entry.actor.email
    thing = entry.object
    out: EntryAnswer = {
        "actor": actor,
        "time": timestamp(entry.at),
        "action": entry.action,
        "object": {"id": thing.id, "type": thing.type, thing.type: thing.detail},
    }
    if entry.change:
        out["change"] = entry.change
    return out


def _row(entry: Entry, columns: Sequence[str]) -> list[str]:
    cells = {
        "time": timestamp(entry.at),
        "action": entry.action,
        "actor_type": entry.actor.type,
        "actor_id": entry.actor.id,
        "actor_email": entry.actor.email,
        "object_type": entry.object.type,
        "object_id": entry.object.id,
        "object_name": entry.object.name,
        "change": entry.change,
    }
    return [_harmless(cells[name]) for name in columns]


def _harmless(text: str) -> str:
    """No cell that a spreadsheet would take for a formula. Source: OWASP, "CSV Injection"."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def _csv(rows: Sequence[Sequence[str]], separator: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode("utf-8", "replace")


ROUTES: Final = [
    user_route(f"{PREFIX}/logs", {"GET": list_entries}),
    user_route(f"{PREFIX}/logs/export", {"GET": export}),
]
