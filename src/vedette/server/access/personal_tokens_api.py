"""The JSON of personal access tokens (docs/compatibility.md)."""

from typing import Annotated, Final, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.server.access import personal_tokens
from vedette.server.access.personal_tokens import PersonalToken
from vedette.server.caller import Caller
from vedette.server.http import decode, json_response, services, user_route
from vedette.server.openapi.operation import TOKEN, Time, bounds, operation
from vedette.wire.outgoing import timestamp

PREFIX: Final = "/api/management/v1/useradm/settings/tokens"


class NewToken(msgspec.Struct):
    """A token to be made."""

    name: Annotated[str, bounds(minLength=1)]
    expires_in: Annotated[int, bounds(minimum=0, maximum=personal_tokens.MAX_LIFETIME_S)] | None = None  # seconds


class TokenAnswer(TypedDict):
    """A personal access token, without itself."""

    id: str
    name: str
    created_ts: Time
    last_used: NotRequired[Time]
    expiration_date: NotRequired[Time]


@operation("List one's personal access tokens", answers=list[TokenAnswer])
async def list_tokens(request: Request, caller: Caller) -> Response:
    return json_response([_dump(each) for each in await personal_tokens.tokens(services(request), caller)])


@operation("Make a personal access token, shown only here", body=NewToken, answers=TOKEN, errors=(409, 422))
async def add_token(request: Request, caller: Caller) -> Response:
    new = await decode(request, NewToken)
    token = await personal_tokens.create(services(request), caller, new.name, new.expires_in or 0)
    return Response(token.encode(), headers={"Content-Type": "application/jwt", "Cache-Control": "no-store"})


@operation("Withdraw a personal access token", answers={204: None})
async def remove_token(request: Request, caller: Caller) -> Response:
    await personal_tokens.remove(services(request), caller, request.path_params["id"])
    return Response(status_code=204)


def _dump(token: PersonalToken) -> TokenAnswer:
    out: TokenAnswer = {"id": token.id, "name": token.name, "created_ts": timestamp(token.created_at)}
    if token.used_at is not None:
        out["last_used"] = timestamp(token.used_at)
    if token.expires_at is not None:
        out["expiration_date"] = timestamp(token.expires_at)
    return out


ROUTES: Final = [
    user_route(PREFIX, {"GET": list_tokens, "POST": add_token}),
    user_route(f"{PREFIX}/{{id}}", {"DELETE": remove_token}),
]
