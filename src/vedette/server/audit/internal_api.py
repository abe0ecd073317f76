"""What other programs of this machine write into the audit log; behind the internal listener, without a token."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.audit import service
from vedette.server.audit.service import Actor, Entry, Thing
from vedette.server.http import decode, public_route, services

MAX_WORD: Final = 64  # characters of an action or type
MAX_NAME: Final = 1024  # of an id, an address, a name
MAX_DETAIL: Final = 64 * 1024  # bytes of JSON


class ActorBody(msgspec.Struct):
    """Who has done it."""

    id: str
    type: str
    email: str = ""


class EntryBody(msgspec.Struct):
    """An entry as the log shows it; further keys do not count."""

    actor: ActorBody
    action: str
    object: dict[str, Any]  # `id`, `type`, and what is told of such a thing under the name of its type
    time: datetime | None = None  # now
    change: str = ""


async def add(request: Request) -> Response:
    use, body = services(request), await decode(request, EntryBody)
    kind, thing_id = body.object.get("type"), body.object.get("id")
    if not isinstance(kind, str) or not isinstance(thing_id, str):
        raise Invalid("object: give a type and an id")
    detail = body.object.get(kind, {})
    if not isinstance(detail, dict) or len(msgspec.json.encode(detail)) > MAX_DETAIL:
        raise Invalid(f"object.{kind[:MAX_WORD]}: give an object of at most {MAX_DETAIL} bytes")
    name = next((each for each in (detail.get("name"), detail.get("email")) if isinstance(each, str)), "")
    for text in (body.action, body.actor.type, kind):
        if not 1 <= len(text) <= MAX_WORD or not text.isprintable():
            raise Invalid(f"action and types: give 1 to {MAX_WORD} printable characters")
    for text in (body.actor.id, body.actor.email, thing_id, name):
        if len(text) > MAX_NAME or "\0" in text:
            raise Invalid(f"ids and names: give at most {MAX_NAME} characters, without NUL")
    at = body.time or use.clock.now()
    entry = Entry(
        at=at if at.tzinfo else at.replace(tzinfo=UTC),
        action=body.action,
        actor=Actor(body.actor.type, body.actor.id, body.actor.email.lower()),
        object=Thing(kind, thing_id, name, detail),
        change=body.change,
    )
    await service.take_over(use, request.path_params["tenant"], entry)
    return Response(status_code=201)


ROUTES: Final = [public_route("/api/internal/v1/auditlogs/tenants/{tenant}/logs", {"POST": add})]
