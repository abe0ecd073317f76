"""The device's side of deployments, but for the question that all devices ask all day: that is in `ingest`.

Source of paths and keys: docs/compatibility.md.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.db import DeviceScope
from vedette.server.deployments import links, reports
from vedette.server.deployments.values import REPORTED, Instruction, LogMessage, Poll
from vedette.server.devices import sessions
from vedette.server.http import decode, json_response, public_route, services
from vedette.server.http.body import parse
from vedette.server.http.ranges import sliced
from vedette.server.http.routes import bearer
from vedette.server.openapi.operation import Answer, Parameter, Time, bounds, operation, words
from vedette.wire.outgoing import timestamp

V1: Final = "/api/devices/v1/deployments/device/deployments"
V2: Final = "/api/devices/v2/deployments/device/deployments"
MEDIA: Final = "application/vnd.mender-artifact"
MAX_NAME: Final = 256  # characters of a device type or artifact name
MAX_LEVEL: Final = 50


class PollBody(msgspec.Struct):
    """What a device is; what else it provides does not count for what there is to install."""

    device_type: Annotated[str, bounds(minLength=1, maxLength=MAX_NAME)] = ""
    artifact_name: Annotated[str, bounds(minLength=1, maxLength=MAX_NAME)] = ""


class PollV2Body(msgspec.Struct):
    """The same, as newer clients say it."""

    device_provides: PollBody
    update_control_map: bool = False


class ProgressBody(msgspec.Struct):
    """How far a device is."""

    status: Annotated[str, words(REPORTED)]
    substate: str = ""


class MessageBody(msgspec.Struct):
    """A line of a log."""

    timestamp: datetime
    level: str
    message: str


class LogBody(msgspec.Struct):
    """What a device did."""

    messages: list[MessageBody]


class SourceAnswer(TypedDict):
    """Where an artifact is fetched, and until when; no token is sent there."""

    uri: str
    expire: Time


class ArtifactAnswer(TypedDict):
    """What is to be installed."""

    id: str
    artifact_name: str
    source: SourceAnswer
    device_types_compatible: list[str]


class InstructionAnswer(TypedDict):
    """A deployment for this device."""

    id: str
    artifact: ArtifactAnswer
    update_control_map: NotRequired[Mapping[str, Any]]


class ControlMapAnswer(TypedDict):
    """How the device is to go about it."""

    update_control_map: dict[str, Any]


# --- asking ----------------------------------------------------------------------------------------------------------


def poll_of(body: PollBody) -> Poll:
    """What a device says it is. Raises Invalid."""
    for name in ("device_type", "artifact_name"):
        value = getattr(body, name)
        if not 1 <= len(value) <= MAX_NAME or "\0" in value:
            raise Invalid(f"{name}: give 1 to {MAX_NAME} characters")
    return Poll(device_type=body.device_type, artifact_name=body.artifact_name)


def parse_poll(body: bytes) -> Poll:
    return poll_of(parse(body, PollBody))


def parse_poll_v2(body: bytes) -> tuple[Poll, bool]:
    """And whether the device knows update control maps."""
    asked: PollV2Body = parse(body, PollV2Body)
    return poll_of(asked.device_provides), asked.update_control_map


def dump(told: Instruction, poll: Poll, device: str, uri: str, expires: datetime) -> InstructionAnswer:
    """What a device is told to install."""
    return {
        "id": told.deployment,
        "artifact": {
            "id": told.deployment + device,
            "artifact_name": told.artifact_name,
            "source": {"uri": uri, "expire": timestamp(expires)},
            "device_types_compatible": [poll.device_type],
        },
    }


# --- saying ----------------------------------------------------------------------------------------------------------


@operation("Say how far a deployment is", body=ProgressBody, answers={204: None}, errors=(409, 422), by="device")
async def put_status(request: Request) -> Response:
    device = await _device(request)
    body = await decode(request, ProgressBody)
    await reports.report_status(
        services(request), device, request.path_params["deployment"], body.status, body.substate
    )
    return Response(status_code=204)


@operation("Say what went wrong", body=LogBody, answers={204: None}, by="device")
async def put_log(request: Request) -> Response:
    device = await _device(request)
    messages = [_message(each) for each in (await decode(request, LogBody)).messages]
    if not messages:
        raise Invalid("messages: give at least one")
    await reports.keep_log(services(request), device, request.path_params["deployment"], messages)
    return Response(status_code=204)


@operation("Ask how to go about a deployment", answers=ControlMapAnswer, by="device")
async def get_control_map(request: Request) -> Response:
    device = await _device(request)
    found = await reports.control_map(services(request), device, request.path_params["deployment"])
    answer: ControlMapAnswer = {"update_control_map": found}
    return json_response(answer)


async def _device(request: Request) -> DeviceScope:
    return await sessions.device(services(request), bearer(request.headers.get("authorization")))


def _message(body: MessageBody) -> LogMessage:
    if not 1 <= len(body.level) <= MAX_LEVEL:
        raise Invalid(f"messages: a level has 1 to {MAX_LEVEL} characters")
    at = body.timestamp if body.timestamp.tzinfo else body.timestamp.replace(tzinfo=UTC)
    return LogMessage(at=at, level=body.level, text=body.message)


_ARTIFACT: Final = Answer(Any, MEDIA, headers=("ETag", "Content-Disposition"))


# --- fetching --------------------------------------------------------------------------------------------------------


@operation(
    "Fetch an artifact by a signed link",
    query=tuple(Parameter(name, "Of the link.") for name in links.PARAMETERS),
    headers=(Parameter("Range", "A part of it.", str, "header"),),
    answers={200: _ARTIFACT, 206: _ARTIFACT},
    errors=(403, 416),
)
async def download(request: Request) -> Response:
    """For whoever has the link: clients send no token here."""
    use, path = services(request), request.path_params
    escaped = request.scope["raw_path"].decode("ascii", "replace")
    tenant = use.links.check(escaped, request.query_params, use.clock.now())
    content = await reports.download(use, DeviceScope(tenant, path["device"]), path["deployment"], path["device_type"])
    headers = {
        "Content-Disposition": 'attachment; filename="artifact.mender"',
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "Cache-Control": "no-store",
    }
    return sliced(request, content, MEDIA, headers)


ROUTES: Final = [
    public_route(f"{V1}/{{deployment}}/status", {"PUT": put_status}),
    public_route(f"{V1}/{{deployment}}/log", {"PUT": put_log}),
    public_route(f"{V2}/{{deployment}}/update_control_map", {"GET": get_control_map}),
    public_route(f"{links.PATH}/{{deployment}}/{{device_type:path}}/{{device}}", {"GET": download}),
]
