"""The JSON of tenants and of users in several: paths, keys and codes of the compatible API (docs/compatibility.md)."""

from typing import Annotated, Final, Literal, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.server.access import tenant_service, tenants
from vedette.server.access.permissions import ANYBODY
from vedette.server.access.roles import OBSERVER
from vedette.server.access.tenant_service import NewTenant
from vedette.server.access.tenants import Tenant
from vedette.server.access.user_tokens import ADDONS, Addon
from vedette.server.caller import Caller
from vedette.server.http import decode, json_response, page_of, paged, services, user_route
from vedette.server.openapi.operation import PAGED, TOKEN, Answer, Parameter, Time, bounds, operation, paged_list, words
from vedette.wire.outgoing import timestamp

V1: Final = "/api/management/v1/tenantadm"
V2: Final = "/api/management/v2/tenantadm"
USERADM: Final = "/api/management/v1/useradm"


class AdminBody(msgspec.Struct):
    """The first administrator of a new tenant; further keys do not count."""

    email: str
    password: str | None = None


class MemberBody(msgspec.Struct):
    """A user of the service provider who acts in the new tenant too."""

    email: str
    role: str = OBSERVER


class NewTenantBody(msgspec.Struct):
    """A tenant to be made; further keys do not count."""

    name: str
    admin: AdminBody
    users: list[MemberBody] | None = None
    device_limit: Annotated[int, bounds(minimum=0, maximum=tenant_service.MAX_LIMIT)] = 0


class ChildBody(msgspec.Struct):
    """What should become different."""

    name: str | None = None
    device_limit: int | None = None


class AssignBody(msgspec.Struct):
    """Where a user should act too."""

    tenant_ids: Annotated[list[str], bounds(minItems=1, maxItems=tenant_service.MAX_AT_ONCE)]
    role: str = OBSERVER


class TenantAnswer(TypedDict):
    """A tenant."""

    id: str
    name: str
    tenant_token: str
    status: Annotated[str, words(("active", "suspended"))]
    plan: Literal["enterprise"]
    trial: bool
    addons: list[Addon]
    service_provider: bool
    device_limit: int
    created_at: Time
    parent_tenant_id: NotRequired[str]
    device_count: NotRequired[int]


class ExistsAnswer(TypedDict):
    """Whether there is such a user."""

    exists: bool


@operation("Show the tenant one acts in", answers=TenantAnswer)
async def own_tenant(request: Request, caller: Caller) -> Response:
    use = services(request)
    tenant = await tenants.own_tenant(use, caller.scope)
    return json_response(_dump(tenant, await tenant_service.device_count(use, caller)))


@operation("List the tenants of a service provider", query=PAGED, answers=paged_list(TenantAnswer))
async def list_children(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    found = await tenant_service.children(services(request), caller, page.size, page.offset)
    return paged(request, page, [_dump(each) for each in found.items], found.total)


@operation(
    "Add a tenant of a service provider",
    body=NewTenantBody,
    answers={202: Answer(headers=("Location",))},
    errors=(409, 422),
)
async def add_child(request: Request, caller: Caller) -> Response:
    body = await decode(request, NewTenantBody)
    new = NewTenant(
        name=body.name,
        device_limit=body.device_limit,
        admin_email=body.admin.email,
        admin_password=body.admin.password,
        users=[(each.email, each.role) for each in body.users or ()],
    )
    made = await tenant_service.create_child(services(request), caller, new)
    return Response(status_code=202, headers={"Location": f"{V2}/tenants/{made.id}"})


@operation("Show a tenant of a service provider", answers=TenantAnswer)
async def get_child(request: Request, caller: Caller) -> Response:
    use = services(request)
    found = await tenant_service.child(use, caller, request.path_params["id"])
    return json_response(_dump(found))


@operation("Change a tenant of a service provider", body=ChildBody, answers={204: None}, errors=(409, 422))
async def put_child(request: Request, caller: Caller) -> Response:
    body = await decode(request, ChildBody)
    tenant_id = request.path_params["id"]
    await tenant_service.change_child(services(request), caller, tenant_id, body.name, body.device_limit)
    return Response(status_code=204)


@operation("Remove a tenant of a service provider, with everything in it", answers={202: None}, errors=(409, 422))
async def remove_child(request: Request, caller: Caller) -> Response:
    await tenant_service.start_removal(services(request), caller, request.path_params["id"])
    return Response(status_code=202)


@operation("Get a token for another of one's tenants", answers=TOKEN, errors=(422,))
async def token_for(request: Request, caller: Caller) -> Response:
    token = await tenant_service.token_for(services(request), caller, request.path_params["id"])
    return Response(token.encode(), headers={"Content-Type": "application/jwt", "Cache-Control": "no-store"})


@operation("Let a user act in further tenants", body=AssignBody, answers={204: None}, errors=(409, 422))
async def assign(request: Request, caller: Caller) -> Response:
    body = await decode(request, AssignBody)
    await tenant_service.assign(services(request), caller, request.path_params["id"], body.tenant_ids, body.role)
    return Response(status_code=204)


@operation(
    "Ask whether an address belongs to a user",
    query=(Parameter("email", "The address."),),
    answers=ExistsAnswer,
)
async def exists(request: Request, caller: Caller) -> Response:
    email = request.query_params.get("email", "")
    answer: ExistsAnswer = {"exists": await tenant_service.email_known(services(request), email)}
    return json_response(answer)


def _dump(tenant: Tenant, device_count: int | None = None) -> TenantAnswer:
    out: TenantAnswer = {
        "id": tenant.id,
        "name": tenant.name,
        "tenant_token": tenant.token,
        "status": "suspended" if tenant.status == "removing" else tenant.status,
        "plan": "enterprise",
        "trial": False,
        "addons": ADDONS,
        "service_provider": tenant.service_provider,
        "device_limit": tenant.device_limit,  # 0: none
        "created_at": timestamp(tenant.created_at),
    }
    if tenant.parent is not None:
        out["parent_tenant_id"] = tenant.parent
    if device_count is not None:
        out["device_count"] = device_count
    return out


ROUTES: Final = [
    user_route(f"{V1}/user/tenant", {"GET": own_tenant}),
    user_route(f"{V2}/tenants", {"GET": list_children, "POST": add_child}),
    user_route(f"{V2}/tenants/{{id}}", {"GET": get_child}),
    user_route(f"{V2}/tenants/{{id}}/child", {"PUT": put_child}),
    user_route(f"{V2}/tenants/{{id}}/remove/start", {"POST": remove_child}),
    user_route(f"{USERADM}/users/exists", {"GET": exists}),
    user_route(f"{USERADM}/users/tenants/{{id}}/token", {"GET": token_for}, needs=ANYBODY),
    user_route(f"{USERADM}/users/{{id}}/assign", {"POST": assign}),
]
