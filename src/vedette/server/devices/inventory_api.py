"""The JSON of the inventory: paths, keys and codes of the compatible API (docs/compatibility.md)."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid, NotFound
from vedette.server.caller import Caller
from vedette.server.devices import inventory, search, service
from vedette.server.devices.inventory import Reported
from vedette.server.devices.search import Cut, Predicate, Sort
from vedette.server.devices.service import STATUSES, Device
from vedette.server.http import Page, decode, json_response, page_of, paged, services, user_route
from vedette.server.http.paging import MAX_PER_PAGE, PER_PAGE
from vedette.server.openapi.operation import PAGED, Answer, Flag, Parameter, Time, bounds, operation, paged_list, words
from vedette.wire.outgoing import timestamp

V1: Final = "/api/management/v1/inventory"
V2: Final = "/api/management/v2/inventory"
MAX_GROUP_CHANGE: Final = 10_000  # devices in one call


class AttributeBody(msgspec.Struct):
    """An attribute as a device or a person gives it; further keys do not count."""

    name: Annotated[str, bounds(minLength=1, maxLength=inventory.MAX_NAME)]
    value: Any
    description: str | None = None


class GroupBody(msgspec.Struct):
    """The static group a device should be in."""

    group: Annotated[str, bounds(pattern="^[A-Za-z0-9_-]{1,256}$")]


class FilterBody(msgspec.Struct):
    """One predicate of a search."""

    scope: str
    attribute: str
    type: Annotated[str, words(search.OPERATORS)]
    value: Any


class SortBody(msgspec.Struct):
    """What a search is ordered by."""

    scope: str
    attribute: str
    order: Literal["asc", "desc"] = "desc"


class SelectBody(msgspec.Struct):
    """An attribute that is wanted in the answer."""

    scope: str
    attribute: str


class SearchBody(msgspec.Struct):
    """A search; everything is optional."""

    page: Annotated[int, bounds(minimum=1)] = 1
    per_page: Annotated[int, bounds(minimum=1, maximum=MAX_PER_PAGE)] = PER_PAGE
    filters: list[FilterBody] | None = None
    sort: list[SortBody] | None = None
    attributes: list[SelectBody] | None = None
    device_ids: list[str] | None = None
    text: str | None = None


class AttributeAnswer(TypedDict):
    """Something known of a device; `scope` says who said it, `timestamp` is of tags."""

    name: str
    scope: str
    value: Any
    description: NotRequired[str]
    timestamp: NotRequired[Time]


class DeviceAnswer(TypedDict):
    """A device with what is known of it."""

    id: str
    attributes: list[AttributeAnswer]
    updated_ts: Time


class GroupAnswer(TypedDict):
    """The static group a device is in; null: none."""

    group: str | None


class ChangedAnswer(TypedDict):
    """How many devices were changed; nothing if none."""

    matched_count: NotRequired[int]
    updated_count: NotRequired[int]


class AttributeNameAnswer(TypedDict):
    """An attribute, and how many devices have it."""

    name: str
    scope: str
    count: int


class TiersAnswer(TypedDict):
    """Numbers of devices by tier; here all are standard."""

    standard: int
    micro: int
    system: int


class StatisticsAnswer(TypedDict):
    """How many devices there are, by status."""

    devices_by_status: dict[str, TiersAnswer]


_IDS: Final = Annotated[list[str], bounds(minItems=1, maxItems=MAX_GROUP_CHANGE)]
_IF_TAGS: Final = Parameter("If-Match", "Only if the tags are still those of this `ETag`.", str, "header")


# --- users: v1 -------------------------------------------------------------------------------------------------------


@operation(
    "List devices with what is known of them; any other parameter is an attribute (`scope/name`) and its value",
    query=(
        *PAGED,
        Parameter("sort", "An attribute, and perhaps `:asc` or `:desc`; may be repeated.", list[str]),
        Parameter("has_group", "Only those in a group, or in none.", Flag),
        Parameter("group", "Only those in this group."),
    ),
    answers=paged_list(DeviceAnswer),
)
async def list_devices(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    wanted: list[Predicate] = []
    has_group: bool | None = None
    sorts: list[Sort] = []
    for name, value in request.query_params.multi_items():
        match name:
            case "page" | "per_page":
                pass
            case "sort":
                sorts.append(search.parse_sort(value))
            case "has_group":
                has_group = _boolean(value, name)
            case "group":
                wanted.append(Predicate(scope="system", attribute="group", type="$eq", value=value))
            case _:
                scope, separator, attribute = name.partition("/")
                if not separator:
                    scope, attribute = "inventory", name
                wanted.append(search.either_kind(scope, attribute, value.removeprefix("eq:")))
    order, params = search.order_by(sorts)
    cut = Cut(limit=page.size, offset=page.offset, order=order, params=params)
    where = search.of_predicates(wanted, has_group=has_group)
    found = await service.devices(services(request), caller, where, cut)
    return paged(request, page, [dump_device(each) for each in found.items], found.total)


@operation("Show a device with what is known of it", answers=Answer(DeviceAnswer, headers=("ETag",)))
async def get_device(request: Request, caller: Caller) -> Response:
    use, device_id = services(request), request.path_params["id"]
    device = await service.device(use, caller.scope, device_id)
    etag = await inventory.tags_etag(use, caller.scope, device_id)
    return json_response(dump_device(device), headers={} if etag is None else {"ETag": etag})


@operation("Forget what a device has said of itself", answers={204: None})
async def clear_device(request: Request, caller: Caller) -> Response:
    await inventory.clear(services(request), caller, request.path_params["id"])
    return Response(status_code=204)


@operation(
    "Set the tags of a device: PUT replaces, PATCH adds",
    body=list[AttributeBody],
    headers=(_IF_TAGS,),
    answers={200: None},
    errors=(412,),
)
async def set_tags(request: Request, caller: Caller) -> Response:
    given = [reported(each) for each in await decode(request, list[AttributeBody])]
    await inventory.set_tags(
        services(request),
        caller,
        request.path_params["id"],
        given,
        replace=request.method == "PUT",
        match=request.headers.get("if-match"),
    )
    return Response(status_code=200)


@operation("Show the group of a device", answers=GroupAnswer)
async def get_group(request: Request, caller: Caller) -> Response:
    device = await service.device(services(request), caller.scope, request.path_params["id"])
    answer: GroupAnswer = {"group": device.group}
    return json_response(answer)


@operation("Put a device into a group", body=GroupBody, answers={204: None})
async def put_group(request: Request, caller: Caller) -> Response:
    body = await decode(request, GroupBody)
    if not await inventory.set_group(services(request), caller, [request.path_params["id"]], body.group):
        raise NotFound("device not found")
    return Response(status_code=204)


@operation("Take a device out of a group", answers={204: None})
async def leave_group(request: Request, caller: Caller) -> Response:
    path = request.path_params
    if not await inventory.leave_group(services(request), caller, path["name"], [path["id"]]):
        raise NotFound("there is no such device in this group")
    return Response(status_code=204)


@operation(
    "List groups",
    query=(Parameter("status", "Only those with devices of it.", Annotated[str, words(STATUSES)]),),
    answers=list[str],
)
async def list_groups(request: Request, caller: Caller) -> Response:
    status = request.query_params.get("status") or None
    if status is not None and status not in STATUSES:
        raise Invalid(f"status must be one of: {', '.join(STATUSES)}")
    return json_response(await inventory.groups(services(request), caller.scope, status))


@operation("List the ids of the devices in a group", query=PAGED, answers=paged_list(str))
async def group_devices(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    cut = Cut(limit=page.size, offset=page.offset)
    found = await service.devices(services(request), caller, _in_group(request.path_params["name"]), cut)
    if not found.total:
        raise NotFound("group not found")
    return paged(request, page, [each.id for each in found.items], found.total)


@operation("Put devices into a group", body=_IDS, answers=ChangedAnswer)
async def join_group(request: Request, caller: Caller) -> Response:
    ids = await _ids(request)
    return _changed(await inventory.set_group(services(request), caller, ids, request.path_params["name"]))


@operation("Take devices out of a group", body=_IDS, answers=ChangedAnswer)
async def remove_from_group(request: Request, caller: Caller) -> Response:
    return await _empty(request, caller, await _ids(request))


@operation("Take all devices out of a group, which is then gone", answers=ChangedAnswer)
async def delete_group(request: Request, caller: Caller) -> Response:
    return await _empty(request, caller, None)


async def _empty(request: Request, caller: Caller, ids: Collection[str] | None) -> Response:
    """Take these devices, or all, out of the group of the path."""
    return _changed(await inventory.leave_group(services(request), caller, request.path_params["name"], ids))


def _changed(count: int) -> Response:
    answer: ChangedAnswer = {"matched_count": count, "updated_count": count} if count else {}
    return json_response(answer)


# --- users: v2 -------------------------------------------------------------------------------------------------------


@operation(
    "Search devices by what is known of them",
    body=SearchBody,
    answers=Answer(list[DeviceAnswer], headers=("X-Total-Count",)),
)
async def search_devices(request: Request, caller: Caller) -> Response:
    body = await decode(request, SearchBody)
    if body.page < 1 or not 1 <= body.per_page <= MAX_PER_PAGE:
        raise Invalid(f"page must be 1 or more, per_page 1 to {MAX_PER_PAGE}")
    page = Page(min(body.page, 10**9), body.per_page)
    wanted = [
        Predicate(scope=each.scope, attribute=each.attribute, type=each.type, value=each.value)
        for each in body.filters or ()
    ]
    sorts = [
        Sort(scope=each.scope, attribute=each.attribute, descending=each.order == "desc") for each in body.sort or ()
    ]
    order, params = search.order_by(sorts)
    where = search.of_predicates(wanted, ids=body.device_ids or (), text=(body.text or "").strip())
    cut = Cut(limit=page.size, offset=page.offset, order=order, params=params)
    found = await service.devices(services(request), caller, where, cut)
    selected = {(each.scope, each.attribute) for each in body.attributes or ()} | {("system", "updated_ts")}
    items = [dump_device(each, selected if body.attributes else None) for each in found.items]
    return json_response(items, headers={"X-Total-Count": str(found.total)})


@operation("List the attributes there are", answers=list[AttributeNameAnswer])
async def attribute_names(request: Request, caller: Caller) -> Response:
    return json_response(await inventory.names(services(request), caller))


@operation("Show how many devices there are", answers=StatisticsAnswer)
async def statistics(request: Request, caller: Caller) -> Response:
    use = services(request)
    answer: StatisticsAnswer = {
        "devices_by_status": {
            status: {"standard": await service.count(use, caller.scope, status), "micro": 0, "system": 0}
            for status in ("accepted", "pending")
        }
    }
    return json_response(answer)


def reported(body: AttributeBody) -> Reported:
    """Raises Invalid."""
    return Reported(name=body.name, value=body.value, description=body.description)


def _in_group(name: str) -> search.Where:
    return search.of_predicates([Predicate(scope="system", attribute="group", type="$eq", value=name)])


async def _ids(request: Request) -> list[str]:
    ids = list(dict.fromkeys(await decode(request, list[str])))
    if not 1 <= len(ids) <= MAX_GROUP_CHANGE:
        raise Invalid(f"give 1 to {MAX_GROUP_CHANGE} device ids")
    return ids


def _boolean(text: str, name: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise Invalid(f"invalid {name} query: {text[:100]!r} is neither true nor false")
    return text.lower() == "true"


def dump_device(device: Device, selected: Collection[tuple[str, str]] | None = None) -> DeviceAnswer:
    """A device as the inventory shows it; with `selected`, only these attributes."""
    attributes: list[AttributeAnswer] = []
    for each in device.attributes:
        if selected is not None and (each.scope, each.name) not in selected:
            continue
        value = timestamp(each.value) if isinstance(each.value, datetime) else each.value
        out: AttributeAnswer = {"name": each.name, "scope": each.scope, "value": value}
        if each.description:
            out["description"] = each.description
        if each.scope == "tags":
            out["timestamp"] = timestamp(each.updated_at)
        attributes.append(out)
    return {"id": device.id, "attributes": attributes, "updated_ts": timestamp(device.updated_at)}


ROUTES: Final = [
    user_route(f"{V1}/devices", {"GET": list_devices}),
    user_route(f"{V1}/devices/{{id}}", {"GET": get_device, "DELETE": clear_device}),
    user_route(f"{V1}/devices/{{id}}/tags", {"PUT": set_tags, "PATCH": set_tags}),
    user_route(f"{V1}/devices/{{id}}/group", {"GET": get_group, "PUT": put_group}),
    user_route(f"{V1}/devices/{{id}}/group/{{name}}", {"DELETE": leave_group}),
    user_route(f"{V1}/groups", {"GET": list_groups}),
    user_route(f"{V1}/groups/{{name}}", {"DELETE": delete_group}),
    user_route(
        f"{V1}/groups/{{name}}/devices", {"GET": group_devices, "PATCH": join_group, "DELETE": remove_from_group}
    ),
    user_route(f"{V2}/filters/search", {"POST": search_devices}),
    user_route(f"{V2}/filters/attributes", {"GET": attribute_names}),
    user_route(f"{V2}/statistics", {"GET": statistics}),
]
