"""The JSON of roles and permission sets: paths, keys and codes of the compatible API (docs/compatibility.md).

Roles have two forms: permission sets with scopes (v2), and the older permissions with objects (v1). Both are read on
either path, for clients name them the other way round in places; each path writes its own.
"""

from collections.abc import Iterable
from typing import Annotated, Final, Literal, NotRequired, TypedDict
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid, Unacceptable
from vedette.server.access import role_service
from vedette.server.access.permissions import DEVICE_GROUPS, RELEASE_TAGS, Grant, Permission, PermissionSet, Role
from vedette.server.access.permissions_table import PERMISSION_SETS
from vedette.server.caller import Caller
from vedette.server.http import decode, json_response, page_of, paged, services, user_route
from vedette.server.openapi.operation import PAGED, Answer, bounds, operation, paged_list, words

V1: Final = "/api/management/v1/useradm"
V2: Final = "/api/management/v2/useradm"


_ACTIONS: Final = {
    each: name
    for name, each in (
        ("ReadDevices", "VIEW_DEVICE"),
        ("ManageDevices", "MANAGE_DEVICE"),
        ("DeployToDevices", "CREATE_DEPLOYMENT"),
        ("ConnectToDevices", "REMOTE_TERMINAL"),
        ("SuperUser", "any"),
    )
}


class ScopeBody(msgspec.Struct):
    """What a permission set is narrowed to."""

    type: Annotated[str, words((DEVICE_GROUPS, RELEASE_TAGS))]
    value: list[str]


class GrantBody(msgspec.Struct):
    """A permission set of a role."""

    name: str
    scope: ScopeBody | None = None


class ObjectBody(msgspec.Struct):
    """What a permission of the older form is about."""

    type: str
    value: str = ""


class PermissionBody(msgspec.Struct):
    """A permission of the older form."""

    action: Annotated[str, words(("http", *_ACTIONS))]
    object: ObjectBody


class RoleBody(msgspec.Struct):
    """A role, in one of its forms or both."""

    name: Annotated[str, bounds(minLength=1, maxLength=role_service.MAX_NAME)] | None = None
    description: Annotated[str, bounds(maxLength=role_service.MAX_DESCRIPTION)] = ""
    permission_sets_with_scope: list[GrantBody] | None = None
    permissions: list[PermissionBody] | None = None


class ScopeAnswer(TypedDict):
    """What a permission set is narrowed to."""

    type: Literal["DeviceGroups", "ReleaseTags"]
    value: list[str]


class GrantAnswer(TypedDict):
    """A permission set of a role."""

    name: str
    scope: NotRequired[ScopeAnswer]


class ObjectAnswer(TypedDict):
    """What a permission of the older form is about."""

    type: str
    value: str


class PermissionAnswer(TypedDict):
    """A permission of the older form."""

    action: str
    object: ObjectAnswer


class RoleAnswer(TypedDict):
    """A role: permission sets on paths of v2; permissions on those of v1, and for what has no other form."""

    name: str
    description: str
    permission_sets_with_scope: NotRequired[list[GrantAnswer]]
    permissions: NotRequired[list[PermissionAnswer]]


class PermissionSetAnswer(TypedDict):
    """What can be allowed under one name."""

    name: str
    action: str
    object: str
    description: str
    permissions: list[PermissionAnswer]
    supported_scope_types: list[str]


@operation("List roles", query=PAGED, answers=paged_list(RoleAnswer))
async def list_roles(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    found = await role_service.roles(services(request), caller.scope)
    shown = found[page.offset : page.offset + page.size]
    dump = _older if request.url.path.startswith(V1) else _dump
    if "page" not in request.query_params and "per_page" not in request.query_params:
        return json_response([dump(each) for each in found])  # a client that does not page wants them all
    return paged(request, page, [dump(each) for each in shown], len(found))


@operation("Add a role", body=RoleBody, answers={201: Answer(headers=("Location",))}, errors=(409, 422))
async def add_role(request: Request, caller: Caller) -> Response:
    body = await decode(request, RoleBody)
    if body.name is None:
        raise Invalid("invalid request body: Object missing required field `name`")
    await role_service.create(services(request), caller, _role(body, body.name))
    return Response(status_code=201, headers={"Location": f"{request.url.path}/{quote(body.name)}"})


@operation("Show a role", answers=RoleAnswer)
async def get_role(request: Request, caller: Caller) -> Response:
    role = await role_service.role(services(request), caller.scope, request.path_params["name"])
    return json_response(_older(role) if request.url.path.startswith(V1) else _dump(role))


@operation("Replace a role", body=RoleBody, answers={204: None}, errors=(409, 422))
async def put_role(request: Request, caller: Caller) -> Response:
    body, name = await decode(request, RoleBody), request.path_params["name"]
    if body.name not in {None, name}:
        raise Unacceptable("the name of a role cannot be changed; make another role")
    await role_service.change(services(request), caller, _role(body, name))
    return Response(status_code=204)


@operation("Remove a role", answers={204: None}, errors=(409, 422))
async def delete_role(request: Request, caller: Caller) -> Response:
    await role_service.remove(services(request), caller, request.path_params["name"])
    return Response(status_code=204)


@operation("List what can be allowed", answers=list[PermissionSetAnswer])
async def permission_sets(request: Request, caller: Caller) -> Response:
    return json_response([_dump_set(each) for each in PERMISSION_SETS.values()])


# --- the form with permission sets -----------------------------------------------------------------------------------


def _role(body: RoleBody, name: str) -> Role:
    grants = [_grant(each) for each in body.permission_sets_with_scope or ()]
    older, rules = _from_older(body.permissions or ())
    return Role(name=name, description=body.description, grants=(*grants, *older), rules=tuple(rules))


def _grant(body: GrantBody) -> Grant:
    if body.scope is None:
        return Grant(body.name)
    values = frozenset(body.scope.value)
    match body.scope.type:
        case "DeviceGroups":
            return Grant(body.name, groups=values)
        case "ReleaseTags":
            return Grant(body.name, tags=values)
        case other:
            raise Unacceptable(f"there is no scope type {other[:40]!r}, only {DEVICE_GROUPS}, {RELEASE_TAGS}")


def _dump(role: Role) -> RoleAnswer:
    sets: list[GrantAnswer] = []
    for each in role.grants:
        grant: GrantAnswer = {"name": each.set}
        if each.groups is not None:
            grant["scope"] = {"type": DEVICE_GROUPS, "value": sorted(each.groups)}
        elif each.tags is not None:
            grant["scope"] = {"type": RELEASE_TAGS, "value": sorted(each.tags)}
        sets.append(grant)
    out: RoleAnswer = {"name": role.name, "description": role.description, "permission_sets_with_scope": sets}
    if role.rules:
        out["permissions"] = [_dump_rule(each) for each in role.rules]  # they have no other form
    return out


def _dump_set(value: PermissionSet) -> PermissionSetAnswer:
    return {
        "name": value.name,
        "action": value.action,
        "object": value.object,
        "description": value.description,
        "permissions": [_dump_rule(each) for each in value.permissions],
        "supported_scope_types": list(value.scopes),
    }


# --- the older form --------------------------------------------------------------------------------------------------


def _from_older(permissions: Iterable[PermissionBody]) -> tuple[list[Grant], list[Permission]]:
    """The same in our words: what is about devices as permission sets, what is about paths as it is."""
    groups: dict[str, set[str] | None] = {}
    rules = []
    for each in permissions:
        kind, value = each.object.type, each.object.value
        if each.action == "http":
            rules.append(Permission(kind, value))
            continue
        name = _ACTIONS.get(each.action)
        if name is None:
            raise Unacceptable(f"there is no action {each.action[:40]!r}, only http, {', '.join(_ACTIONS)}")
        if kind == "any":
            groups[name] = None
        elif kind == "DEVICE_GROUP" and name != "SuperUser":
            known = groups.setdefault(name, set())
            if known is not None:
                known.add(value)
        else:
            raise Unacceptable(f"a permission {each.action} is for DEVICE_GROUP or any, not for {kind[:40]!r}")
    grants = [Grant(name, None if names is None else frozenset(names)) for name, names in groups.items()]
    return grants, rules


def _older(role: Role) -> RoleAnswer:
    permissions: list[PermissionAnswer] = []
    for grant in role.grants:
        known = PERMISSION_SETS[grant.set]
        if known.action not in _ACTIONS:
            permissions += [_dump_rule(each) for each in known.permissions]
        elif grant.groups is None:
            permissions.append({"action": known.action, "object": {"type": "any", "value": "any"}})
        else:
            permissions += [
                {"action": known.action, "object": {"type": "DEVICE_GROUP", "value": group}}
                for group in sorted(grant.groups)
            ]
    permissions += [_dump_rule(each) for each in role.rules]
    return {"name": role.name, "description": role.description, "permissions": permissions}


def _dump_rule(rule: Permission) -> PermissionAnswer:
    return {"action": "http", "object": {"type": rule.method, "value": rule.path}}


ROUTES: Final = [
    *(user_route(f"{version}/roles", {"GET": list_roles, "POST": add_role}) for version in (V1, V2)),
    *(
        user_route(f"{version}/roles/{{name}}", {"GET": get_role, "PUT": put_role, "DELETE": delete_role})
        for version in (V1, V2)
    ),
    user_route(f"{V2}/permission_sets", {"GET": permission_sets}),
    user_route(f"{V1}/permission_sets", {"GET": permission_sets}),
]
