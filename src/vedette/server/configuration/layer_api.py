"""The JSON of layers: reading and changing them, their versions, what a change would do."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vedette.errors import Invalid, NotFound
from vedette.server.caller import Caller
from vedette.server.configuration import layer_service, preview
from vedette.server.configuration.layer_service import Edit, Saved, Version, Which, merged, replaced
from vedette.server.configuration.layers import DEVICE, GROUP, TENANT, Change
from vedette.server.configuration.waves import Parameters
from vedette.server.http import decode, json_response, page_of, paged, services, user_route
from vedette.server.openapi.operation import PAGED, Answer, Parameter, Time, operation, paged_list, words
from vedette.wire.outgoing import timestamp

PREFIX: Final = "/api/management/v1/vedette/configuration"
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""Of a version."""
Level = Annotated[str, words((TENANT, GROUP, DEVICE))]


class _Body(msgspec.Struct, kw_only=True):
    comment: str = ""
    expected_version: Number | None = None
    rollout: Parameters | None = None
    deploy: bool = True


class SaveBody(_Body, kw_only=True):
    """All that a layer is to say; null: the key is to be absent."""

    values: dict[str, str | None]


class PatchBody(_Body, kw_only=True):
    """What a layer is to say besides what it says, and which keys it is to say nothing of any more."""

    values: dict[str, str | None] = {}
    remove: list[str] = []


class RevertBody(_Body, kw_only=True):
    """Which version is to be taken back."""

    version: Number


class PreviewBody(msgspec.Struct, kw_only=True):
    """One of the three: `values` as PUT takes them, with `merge` as PATCH does, or a version as revert does."""

    values: dict[str, str | None] | None = None
    remove: list[str] = []
    merge: bool = False
    version: Number | None = None


class RolloutRef(TypedDict):
    """A rollout, and how it is."""

    id: str
    state: str


class LayerSummary(TypedDict):
    """A layer in a list."""

    type: Level
    group: NotRequired[str]
    version: int
    keys: int
    devices: int
    updated_ts: NotRequired[Time]
    author: str
    comment: str
    rollout: NotRequired[RolloutRef]


class LayerAnswer(TypedDict):
    """What a layer says now."""

    type: Level
    group: NotRequired[str]
    device: NotRequired[str]
    version: int
    values: Mapping[str, str | None]
    updated_ts: NotRequired[Time]
    author: NotRequired[str]
    comment: NotRequired[str]
    rollout: NotRequired[RolloutRef]


class ChangeAnswer(TypedDict):
    """What becomes of one key; without `before` or `after` it is not in the layer then."""

    key: str
    before: NotRequired[str | None]
    after: NotRequired[str | None]


class VersionAnswer(TypedDict):
    """A version of a layer."""

    version: int
    created_ts: Time
    author: str
    comment: str
    reverted_to: NotRequired[int]
    changes: list[ChangeAnswer]
    values: NotRequired[Mapping[str, str | None]]
    rollout: NotRequired[RolloutRef]


class SavedAnswer(TypedDict):
    """What came of a change."""

    version: int
    changed: bool
    rollout: NotRequired[str]
    deployment: NotRequired[str]


class ShadowAnswer(TypedDict):
    """A key that an inner layer says something of."""

    key: str
    by: Level
    group: NotRequired[str]
    devices: int


class ExampleAnswer(TypedDict):
    """What would change for a device."""

    device: str
    group: NotRequired[str]
    changes: list[ChangeAnswer]


class PreviewAnswer(TypedDict):
    """What a change would do."""

    version: int
    changes: list[ChangeAnswer]
    devices: int
    affected: int
    exact: bool
    shadowed: list[ShadowAnswer]
    sample: list[ExampleAnswer]
    rollout: NotRequired[RolloutRef]


# --- layers ----------------------------------------------------------------------------------------------------------


@operation("List layers of the configuration", query=PAGED, answers=paged_list(LayerSummary))
async def get_layers(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    found = await layer_service.layers(services(request), caller, page.size, page.offset)
    items: list[LayerSummary] = []
    for each in found.items:
        newest = each.newest
        item: LayerSummary = {
            "type": newest.which.level,
            "version": newest.number,
            "keys": len(newest.said),
            "devices": each.devices,
            "author": newest.author,
            "comment": newest.comment,
        }
        add(item, group=newest.which.group or None, updated_ts=_time(newest), rollout=_rollout(newest.rollout))
        items.append(item)
    return paged(request, page, items, found.total)


@operation("Show a layer", answers=Answer(LayerAnswer, headers=("ETag",)), errors=(400,))
async def get_layer(request: Request, caller: Caller) -> Response:
    which = _which(request)
    found = await layer_service.layer(services(request), caller, which)
    answer: LayerAnswer = {"type": which.level, "version": found.number, "values": found.said}
    add(
        answer,
        group=which.group or None,
        device=which.name if which.level == DEVICE else None,
        updated_ts=_time(found),
        author=found.author or None,
        comment=found.comment or None,
        rollout=_rollout(found.rollout),
    )
    return json_response(answer, headers={"ETag": f'"{found.number}"'})


_IF_MATCH: Final = (Parameter("If-Match", "The version that the caller has seen.", str, "header"),)
_SAVING: Final[dict[str, Any]] = {
    "headers": _IF_MATCH,
    "answers": Answer(SavedAnswer, headers=("ETag",)),
    "errors": (404, 409, 412),
}


@operation("Change a layer", body=SaveBody, **_SAVING)
async def put_layer(request: Request, caller: Caller) -> Response:
    body = await decode(request, SaveBody)
    return await _save(request, caller, _edit(request, body, replaced(body.values)))


@operation("Change a part of a layer", body=PatchBody, **_SAVING)
async def patch_layer(request: Request, caller: Caller) -> Response:
    body = await decode(request, PatchBody)
    return await _save(request, caller, _edit(request, body, merged(body.values, body.remove)))


async def _save(request: Request, caller: Caller, edit: Edit) -> Response:
    return _saved(await layer_service.save(services(request), caller, _which(request), edit))


@operation("Take back a version of a layer", body=RevertBody, **_SAVING)
async def revert_layer(request: Request, caller: Caller) -> Response:
    body = await decode(request, RevertBody)
    edit = _edit(request, body, replaced({}))
    return _saved(await layer_service.revert(services(request), caller, _which(request), body.version, edit))


@operation("Ask what a change of a layer would do", body=PreviewBody, answers=PreviewAnswer, errors=(404,))
async def preview_layer(request: Request, caller: Caller) -> Response:
    body, which = await decode(request, PreviewBody), _which(request)
    if (body.values is None) == (body.version is None):
        raise Invalid("give either values or a version")
    if body.version is not None:
        make = replaced((await layer_service.version(services(request), caller, which, body.version)).said)
    else:
        assert body.values is not None
        make = merged(body.values, body.remove) if body.merge else replaced(body.values)
    found = await preview.preview(services(request), caller, which, Edit(make=make))
    answer: PreviewAnswer = {
        "version": found.version,
        "changes": dump_changes(found.changes),
        "devices": found.devices,
        "affected": found.affected,
        "exact": found.exact,
        "shadowed": [],
        "sample": [],
    }
    for shadow in found.shadowed:
        item: ShadowAnswer = {"key": shadow.key, "by": shadow.by, "devices": shadow.devices}
        answer["shadowed"].append(add(item, group=shadow.group or None))
    for each in found.sample:
        example: ExampleAnswer = {"device": each.device, "changes": dump_changes(each.changes)}
        answer["sample"].append(add(example, group=each.group))
    return json_response(add(answer, rollout=_rollout(found.under_way)))


@operation("List versions of a layer", query=PAGED, answers=paged_list(VersionAnswer))
async def get_versions(request: Request, caller: Caller) -> Response:
    page = page_of(request)
    found = await layer_service.versions(services(request), caller, _which(request), page.size, page.offset)
    return paged(request, page, [_version(each) for each in found.items], found.total)


@operation(
    "Show a version of a layer",
    path=(Parameter("version", "Its number.", Number, "path"),),
    answers=VersionAnswer,
    errors=(400,),
)
async def get_version(request: Request, caller: Caller) -> Response:
    number = request.path_params["version"]
    if not (number.isascii() and number.isdigit() and len(number) <= 15):
        raise NotFound(f"there is no version {number[:50]!r}")
    found = await layer_service.version(services(request), caller, _which(request), int(number))
    return json_response(add(_version(found), values=found.said))


# --- how it is written -----------------------------------------------------------------------------------------------


def _which(request: Request) -> Which:
    path = request.path_params
    if "name" in path:
        return Which(GROUP, path["name"])
    return Which(DEVICE, path["device"]) if "device" in path else Which(TENANT)


def _edit(request: Request, body: _Body, make: Callable[..., Any]) -> Edit:
    expected = body.expected_version
    match = request.headers.get("if-match", "*").strip()
    if match != "*":
        number = match.removeprefix("W/").strip('"')
        if not (number.isascii() and number.isdigit() and len(number) <= 15):
            raise Invalid("If-Match: give the version, as the ETag says it")
        expected = int(number)
    return Edit(
        make=make,
        comment=body.comment,
        expected=expected,
        parameters=body.rollout or Parameters(),
        deploy=body.deploy,
    )


def _saved(saved: Saved) -> Response:
    return json_response(dump_saved(saved), headers={"ETag": f'"{saved.version}"'})


def dump_saved(saved: Saved) -> SavedAnswer:
    answer: SavedAnswer = {"version": saved.version, "changed": saved.changed}
    add(answer, rollout=saved.rollout, deployment=saved.deployment)
    return answer


def dump_changes(found: Iterable[Change]) -> list[ChangeAnswer]:
    answers: list[ChangeAnswer] = []
    for each in found:
        answer: ChangeAnswer = {"key": each.key}
        if each.had:
            answer["before"] = each.before
        if each.has:
            answer["after"] = each.after
        answers.append(answer)
    return answers


def _version(version: Version) -> VersionAnswer:
    assert version.created_at is not None
    answer: VersionAnswer = {
        "version": version.number,
        "created_ts": timestamp(version.created_at),
        "author": version.author,
        "comment": version.comment,
        "changes": dump_changes(version.changes),
    }
    add(answer, reverted_to=version.reverted_to, rollout=_rollout(version.rollout))
    return answer


def _rollout(found: tuple[str, str] | None) -> RolloutRef | None:
    return None if found is None else {"id": found[0], "state": found[1]}


def _time(version: Version) -> str | None:
    return None if version.created_at is None else timestamp(version.created_at)


def add(answer: Any, **optional: object) -> Any:
    """`answer` with what is there of the rest."""
    answer.update({key: value for key, value in optional.items() if value is not None})
    return answer


def _layer_routes(path: str) -> Sequence[Route]:
    return (
        user_route(path, {"GET": get_layer, "PUT": put_layer, "PATCH": patch_layer}),
        user_route(f"{path}/revert", {"POST": revert_layer}),
        user_route(f"{path}/preview", {"POST": preview_layer}),
        user_route(f"{path}/versions", {"GET": get_versions}),
        user_route(f"{path}/versions/{{version}}", {"GET": get_version}),
    )


ROUTES: Final = [
    user_route(f"{PREFIX}/layers", {"GET": get_layers}),
    *_layer_routes(f"{PREFIX}/layers/tenant"),
    *_layer_routes(f"{PREFIX}/layers/groups/{{name}}"),
    *_layer_routes(f"{PREFIX}/layers/devices/{{device}}"),
]
