"""The JSON of saved filters: paths, keys and codes of the compatible API (docs/compatibility.md)."""

from typing import Annotated, Any, Final, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.server.caller import Caller
from vedette.server.devices import filters, search, service
from vedette.server.devices.filters import SavedFilter
from vedette.server.devices.inventory_api import V2, DeviceAnswer, FilterBody, dump_device
from vedette.server.devices.search import Cut, Predicate
from vedette.server.http import decode, json_response, page_of, paged, services, user_route
from vedette.server.openapi.operation import PAGED, Answer, bounds, operation, paged_list


class SavedFilterBody(msgspec.Struct):
    """A filter to be saved."""

    name: Annotated[str, bounds(minLength=1, maxLength=filters.MAX_NAME)]
    terms: Annotated[list[FilterBody], bounds(minItems=1)]


class TermAnswer(TypedDict):
    """One condition of a filter."""

    scope: str
    attribute: str
    type: str
    value: Any


class FilterAnswer(TypedDict):
    """A saved filter: conditions, and-ed."""

    id: str
    name: str
    terms: list[TermAnswer]


@operation("List saved filters", query=PAGED, answers=paged_list(FilterAnswer))
async def list_filters(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    found = await filters.filters(services(request), caller.scope, page.size, page.offset)
    return paged(request, page, [_dump(each) for each in found.items], found.total)


@operation(
    "Save a filter, which is a dynamic group",
    body=SavedFilterBody,
    answers={201: Answer(headers=("Location",))},
    errors=(409, 422),
)
async def add_filter(request: Request, caller: Caller) -> Response:
    body = await decode(request, SavedFilterBody)
    filter_id = await filters.create(services(request), caller, body.name, _terms(body))
    return Response(status_code=201, headers={"Location": f"{V2}/filters/{filter_id}"})


@operation("Show a saved filter", answers=FilterAnswer)
async def get_filter(request: Request, caller: Caller) -> Response:
    return json_response(_dump(await filters.one(services(request), caller.scope, request.path_params["id"])))


@operation("Replace a saved filter", body=SavedFilterBody, answers={204: None}, errors=(409, 422))
async def put_filter(request: Request, caller: Caller) -> Response:
    body = await decode(request, SavedFilterBody)
    await filters.change(services(request), caller, request.path_params["id"], body.name, _terms(body))
    return Response(status_code=204)


@operation("Remove a saved filter", answers={204: None})
async def delete_filter(request: Request, caller: Caller) -> Response:
    await filters.remove(services(request), caller, request.path_params["id"])
    return Response(status_code=204)


@operation("List the devices that meet a saved filter", query=PAGED, answers=paged_list(DeviceAnswer))
async def members(request: Request, caller: Caller) -> Response:
    """The devices that meet a saved filter, of those that the caller sees."""
    use, page = services(request), page_of(request)
    saved = await filters.one(use, caller.scope, request.path_params["id"])
    cut = Cut(limit=page.size, offset=page.offset)
    found = await service.devices(use, caller, search.of_predicates(saved.terms), cut)
    return paged(request, page, [dump_device(each) for each in found.items], found.total)


def _terms(body: SavedFilterBody) -> list[Predicate]:
    return [
        Predicate(scope=each.scope, attribute=each.attribute, type=each.type, value=each.value) for each in body.terms
    ]


def _dump(value: SavedFilter) -> FilterAnswer:
    terms: list[TermAnswer] = [
        {"scope": each.scope, "attribute": each.attribute, "type": each.type, "value": each.value}
        for each in value.terms
    ]
    return {"id": value.id, "name": value.name, "terms": terms}


ROUTES: Final = [
    user_route(f"{V2}/filters", {"GET": list_filters, "POST": add_filter}),
    user_route(f"{V2}/filters/{{id}}", {"GET": get_filter, "PUT": put_filter, "DELETE": delete_filter}),
    user_route(f"{V2}/filters/{{id}}/search", {"GET": members}),
]
