"""The JSON of logging in, users and the tenant: paths, keys and codes of the compatible API (docs/compatibility.md)."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Annotated, Final, Literal, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid, Unauthenticated
from vedette.server.access import oidc, password_reset, service
from vedette.server.access.permissions import ANYBODY
from vedette.server.access.roles import ADMIN
from vedette.server.access.service import User
from vedette.server.caller import Caller
from vedette.server.http import decode, decode_or_none, json_response, public_route, services, user_route
from vedette.server.openapi.operation import JWT, Answer, Parameter, Seconds, Time, operation, words
from vedette.wire.outgoing import timestamp

USERADM: Final = "/api/management/v1/useradm"
V2: Final = "/api/management/v2/useradm"


class LoginBody(msgspec.Struct):
    """What may come with a login; some clients send nothing."""

    no_expiry: bool | None = None
    token2fa: str | None = None


class NewUser(msgspec.Struct):
    """A user to be made; without a password, he is mailed a link to choose one."""

    email: str
    password: str | None = None
    roles: list[str] | None = None
    send_reset_password: bool | None = None


class UserUpdate(msgspec.Struct):
    """What should become different."""

    email: str | None = None
    password: str | None = None
    current_password: str | None = None
    roles: list[str] | None = None


class PasswordUpdate(msgspec.Struct):
    """Another password for oneself."""

    password: str
    current_password: str | None = None


class UserAnswer(TypedDict):
    """A user."""

    id: str
    email: str
    created_ts: Time
    updated_ts: Time
    verified: bool
    tfa_status: Annotated[str, words(("disabled", "unverified", "enabled"))]
    roles: Sequence[str]
    login_ts: NotRequired[Time]


class UserLimit(TypedDict):
    """How many users there are and may be; 0: any number."""

    count: int
    max: int


class LimitsAnswer(TypedDict):
    """What is limited."""

    users: UserLimit


class PlanAnswer(TypedDict):
    """What can be done with this server, in the words that clients know."""

    name: Literal["enterprise"]
    display_name: str
    features: dict[str, bool]


class PlanLimits(TypedDict):
    """-1: there is no limit."""

    devices: int
    users: int
    audit_logs_days: int


class PlanBinding(TypedDict):
    """The plan of the tenant."""

    plan: PlanAnswer
    limits: PlanLimits


_PLAN: Final[PlanAnswer] = {
    "name": "enterprise",
    "display_name": "Enterprise",
    "features": {
        "rbac": True,
        "audit_logs": True,
        "dynamic_groups": True,
        "terminal": False,
        "file_transfer": False,
        "configuration": True,
        "monitoring": True,
        "reporting": False,
    },
}


class ByProviderAnswer(TypedDict):
    """Whoever it is logs in by an identity provider: at `.../useradm/oidc/{id}/start`, in a browser."""

    id: str
    kind: Literal["sso/oidc"]


@operation(
    "Log in: the token of a session",
    body=LoginBody,
    body_required=False,
    answers=Answer(str, JWT, description="A token, as it is; or where to log in.", json=ByProviderAnswer),
    errors=(429,),
    by="password",
)
async def login(request: Request) -> Response:
    email, password = _basic(request.headers.get("authorization", ""))
    body = await decode_or_none(request, LoginBody)
    address = request.client.host if request.client else ""
    no_expiry, code = bool(body and body.no_expiry), (body and body.token2fa) or ""
    use = services(request)
    try:
        token = await service.login(use, email, password, address, code=code, no_expiry=no_expiry)
    except service.ByProvider:
        there: ByProviderAnswer = {"id": oidc.provider_id(use.settings.oidc_issuer), "kind": "sso/oidc"}
        return json_response(there)
    # Clients compare the type as a whole, so it has no charset.
    return Response(token.encode(), headers={"Content-Type": "application/jwt", "Cache-Control": "no-store"})


@operation("Log out: the token dies", answers={202: None})
async def logout(request: Request, caller: Caller) -> Response:
    await service.logout(services(request), caller)
    return Response(status_code=202)


@operation(
    "List users",
    query=(
        Parameter("id", "Only these.", list[str]),
        Parameter("email", "Only those with these addresses.", list[str]),
        Parameter("created_after", "Only those made at this time or later.", Seconds),
        Parameter("created_before", "Only those made at this time or earlier.", Seconds),
        Parameter("updated_after", "Only those changed at this time or later.", Seconds),
        Parameter("updated_before", "Only those changed at this time or earlier.", Seconds),
    ),
    answers=list[UserAnswer],
)
async def list_users(request: Request, caller: Caller) -> Response:
    ids, emails = request.query_params.getlist("id"), [each.lower() for each in request.query_params.getlist("email")]
    created_after, created_before = _seconds(request, "created_after"), _seconds(request, "created_before")
    updated_after, updated_before = _seconds(request, "updated_after"), _seconds(request, "updated_before")
    return json_response(
        [
            _dump(user)
            for user in await service.users(services(request), caller)
            if (not ids or user.id in ids)
            and (not emails or user.email in emails)
            and (created_after is None or user.created_at.timestamp() >= created_after)
            and (created_before is None or user.created_at.timestamp() <= created_before)
            and (updated_after is None or user.updated_at.timestamp() >= updated_after)
            and (updated_before is None or user.updated_at.timestamp() <= updated_before)
        ]
    )


@operation("Add a user", body=NewUser, answers={201: Answer(headers=("Location",))}, errors=(422,))
async def add_user(request: Request, caller: Caller) -> Response:
    new = await decode(request, NewUser)
    if new.password is None and not new.send_reset_password:
        raise Invalid("invalid request body: Object missing required field `password`")
    use, roles = services(request), [ADMIN] if new.roles is None else new.roles
    password = password_reset.nobodys(use) if new.password is None else new.password
    user = await service.create_user(use, caller.scope, new.email, password, roles, by=caller)
    if new.send_reset_password:
        password_reset.invite(use, user.email)
    return Response(status_code=201, headers={"Location": f"{USERADM}/users/{user.id}"})


@operation("Show a user, or oneself as `me`", answers=UserAnswer)
async def get_user(request: Request, caller: Caller) -> Response:
    return json_response(_dump(await service.user(services(request), caller, _whom(request, caller))))


@operation("Change a user, or oneself as `me`", body=UserUpdate, answers={204: None}, errors=(422,))
async def put_user(request: Request, caller: Caller) -> Response:
    body = await decode(request, UserUpdate)
    change = service.UserChange(
        email=body.email,
        password=body.password,
        current_password=body.current_password,
        roles=None if body.roles is None else tuple(body.roles),
    )
    await service.change_user(services(request), caller, _whom(request, caller), change)
    return Response(status_code=204)


@operation("Change one's own password", body=PasswordUpdate, answers={204: None}, errors=(422,))
async def put_own_password(request: Request, caller: Caller) -> Response:
    body = await decode(request, PasswordUpdate)
    change = service.UserChange(password=body.password, current_password=body.current_password)
    await service.change_user(services(request), caller, caller.user_id, change)
    return Response(status_code=204)


@operation("Show how many users there may be", answers=LimitsAnswer)
async def limits(request: Request, caller: Caller) -> Response:
    count = len(await service.users(services(request), caller))
    answer: LimitsAnswer = {"users": {"count": count, "max": 0}}  # 0: there is no limit
    return json_response(answer)


@operation("List the plans there are", answers=list[PlanAnswer])
async def plans(request: Request, caller: Caller) -> Response:
    return json_response([_PLAN])


@operation("Show the plan of the tenant", answers=PlanBinding)
async def plan_binding(request: Request, caller: Caller) -> Response:
    """Everything is there, for everybody; -1 is what clients read as no limit."""
    bound: PlanBinding = {"plan": _PLAN, "limits": {"devices": -1, "users": -1, "audit_logs_days": 365}}
    return json_response(bound)


@operation("Remove a user", answers={204: None}, errors=(422,))
async def delete_user(request: Request, caller: Caller) -> Response:
    await service.remove_user(services(request), caller, _whom(request, caller))
    return Response(status_code=204)


def _basic(header: str) -> tuple[str, str]:
    """E-mail and password of an Authorization header. Source: RFC 7617."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or not encoded:
        raise Unauthenticated("invalid or missing auth header")
    try:
        email, separator, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise Unauthenticated("invalid or missing auth header") from exc
    if not separator:
        raise Unauthenticated("invalid or missing auth header")
    return email, password


def _whom(request: Request, caller: Caller) -> str:
    user_id: str = request.path_params["id"]
    return caller.user_id if user_id == "me" else user_id


def _seconds(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Invalid(f"invalid {name} query: {text[:100]!r} is not a unix time in seconds")
    return int(text)


def _dump(user: User) -> UserAnswer:
    out: UserAnswer = {
        "id": user.id,
        "email": user.email,
        "created_ts": timestamp(user.created_at),
        "updated_ts": timestamp(user.updated_at),
        "verified": user.verified,
        "tfa_status": user.second_factor,
        "roles": user.roles,
    }
    if user.login_at is not None:
        out["login_ts"] = timestamp(user.login_at)
    return out


ROUTES: Final = [
    public_route(f"{USERADM}/auth/login", {"POST": login}),
    user_route(f"{USERADM}/auth/logout", {"POST": logout}, needs=ANYBODY),
    user_route(f"{USERADM}/users", {"GET": list_users, "POST": add_user}),
    user_route(f"{USERADM}/users/{{id}}", {"GET": get_user, "PUT": put_user, "DELETE": delete_user}),
    user_route(f"{V2}/users/me", {"PUT": put_own_password}),
    user_route(f"{USERADM}/limits", {"GET": limits}),
    user_route(f"{USERADM}/plans", {"GET": plans}),
    user_route(f"{USERADM}/plan_binding", {"GET": plan_binding}),
]
