"""Who was told of an alert, as JSON. Our own: the compatible API has nothing like it."""

from typing import Final, NotRequired, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from vedette.server.caller import Caller
from vedette.server.http import json_response, services, user_route
from vedette.server.notify import service
from vedette.server.notify.service import Delivery
from vedette.server.openapi.operation import Time, operation
from vedette.wire.outgoing import timestamp

PREFIX: Final = "/api/management/v1/vedette"


class DeliveryAnswer(TypedDict):
    """What became of an alert for one person, and why."""

    user_id: str
    channel: str
    address: str
    state: str
    reason: str
    attempts: int
    created_ts: Time
    next_try_ts: NotRequired[Time]
    ended_ts: NotRequired[Time]


@operation("Show who was told of an alert, and who not, and why", answers=list[DeliveryAnswer])
async def _deliveries(request: Request, caller: Caller) -> Response:
    path = request.path_params
    told = await service.told(services(request), caller, path["device"], path["alert"])
    return json_response([_dump(each) for each in told.deliveries])


def _dump(delivery: Delivery) -> DeliveryAnswer:
    out: DeliveryAnswer = {
        "user_id": delivery.user,
        "channel": delivery.channel,
        "address": delivery.address,
        "state": delivery.state,
        "reason": delivery.reason,
        "attempts": delivery.attempts,
        "created_ts": timestamp(delivery.created_at),
    }
    if delivery.ended_at is None:
        out["next_try_ts"] = timestamp(delivery.due_at)
    else:
        out["ended_ts"] = timestamp(delivery.ended_at)
    return out


ROUTES: Final = [user_route(PREFIX + "/devices/{device}/alerts/{alert}/deliveries", {"GET": _deliveries})]
