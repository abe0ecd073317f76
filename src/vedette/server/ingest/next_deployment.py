"""Is there something to install? Every device asks all day long, and the answer is nearly always no."""

from typing import Final
from urllib.parse import parse_qsl

from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.deployments import device_api, polls
from vedette.server.deployments.device_api import InstructionAnswer, PollBody, PollV2Body
from vedette.server.deployments.values import Poll
from vedette.server.http.answers import json_response
from vedette.server.http.proxies import origin_of
from vedette.server.ingest.device_path import Call
from vedette.server.openapi.operation import Answer, Parameter, operation
from vedette.server.services import Services

MAX_FIELDS: Final = 32
_ANSWERS: Final = {200: InstructionAnswer, 204: Answer(description="There is nothing to install.")}


@operation("Ask what to install (older clients)", body=PollBody, answers=_ANSWERS)
async def post_v1(services: Services, call: Call) -> int | Response:
    """Older clients."""
    return await _answer(services, call, device_api.parse_poll(call.body))


@operation(
    "Ask what to install, by a query",
    query=(Parameter("device_type", "What kind of device it is."), Parameter("artifact_name", "What is installed.")),
    answers=_ANSWERS,
)
async def get_v1(services: Services, call: Call) -> int | Response:
    """What newer clients do where there is no v2."""
    try:
        asked = dict(parse_qsl(call.scope["query_string"].decode("latin-1"), max_num_fields=MAX_FIELDS))
    except ValueError as exc:
        raise Invalid(f"there are more than {MAX_FIELDS} query parameters") from exc
    poll = device_api.poll_of(PollBody(asked.get("device_type", ""), asked.get("artifact_name", "")))
    return await _answer(services, call, poll)


@operation("Ask what to install", body=PollV2Body, answers=_ANSWERS)
async def post_v2(services: Services, call: Call) -> int | Response:
    """Newer clients."""
    poll, with_map = device_api.parse_poll_v2(call.body)
    return await _answer(services, call, poll, with_map=with_map)


async def _answer(services: Services, call: Call, poll: Poll, *, with_map: bool = False) -> int | Response:
    told = await polls.next_deployment(services, call.device, poll)
    if told is None:
        return 204
    link, expires = services.links.make(call.device, told.deployment, poll.device_type, services.clock.now())
    answer: InstructionAnswer = device_api.dump(told, poll, call.device.device, _base(services, call) + link, expires)
    if with_map and told.control_map is not None:
        answer["update_control_map"] = told.control_map
    return json_response(answer)


def _base(services: Services, call: Call) -> str:
    """How the device reaches this server: as the settings say, else as it does now."""
    settings = services.settings
    if settings.public_url:
        return settings.base_url
    return origin_of(call.scope, settings.proxies) or settings.base_url
