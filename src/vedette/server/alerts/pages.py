"""One device with what is wrong on it and its history of alerts; one alert to take away.

The page of one alert is made by `notify`, which knows who was told of it.
"""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.model.security import SECURITY
from vedette.server.access.permissions import MANAGE_DEVICES, SEE_ALERTS
from vedette.server.alerts import excerpt, service
from vedette.server.alerts.service import StoredAlert
from vedette.server.caller import Caller
from vedette.server.configuration import pages as configuration
from vedette.server.devices import service as devices
from vedette.server.http.routes import services
from vedette.server.web.pages import PAGE_HEADERS, page
from vedette.server.web.paging import page_number, pages
from vedette.server.web.routes import page_route
from vedette.wire import outgoing

PER_PAGE: Final = 20
MAX_OPEN: Final = 100  # shown at once; the rest is in the history


async def _device(request: Request, caller: Caller) -> Response:
    use, scope, device_id = services(request), caller.scope, request.path_params["device"]
    number = page_number(request)
    device = await devices.device(use, scope, device_id)
    open_now = await service.open_problems(use, scope, device_id, 1, MAX_OPEN, details=False)
    history = await service.history(use, scope, device_id, number, PER_PAGE, details=False)
    return page(
        request,
        "alerts/device.html",
        now=use.clock.now(),
        email=caller.email,
        manages=caller.rights.reach(MANAGE_DEVICES, device.group),
        device=device,
        offline_after=devices.OFFLINE_AFTER,
        open=open_now.items,
        open_count=open_now.total,
        history=history.items,
        pages=pages(f"/devices/{device_id}", number=number, size=PER_PAGE, total=history.total),
        checks=await service.configuration(use, scope, device_id),
        security=SECURITY,
        configuration=await configuration.card(use, caller, device),
        # What the server writes about a device itself is on the page already.
        attributes=[each for each in device.attributes if each.scope in {"inventory", "tags"}],
    )


async def _stored(request: Request, caller: Caller) -> StoredAlert:
    return await service.alert(
        services(request), caller.scope, request.path_params["device"], request.path_params["alert"]
    )


async def _text(request: Request, caller: Caller) -> Response:
    stored = await _stored(request, caller)
    return _download(excerpt.text(stored.alert, stored.device), "text/plain", f"alert-{stored.id}.txt")


async def _json(request: Request, caller: Caller) -> Response:
    stored = await _stored(request, caller)
    record = {"id": str(stored.id), "device_id": stored.device, **outgoing.alert(stored.alert)}
    text = msgspec.json.format(msgspec.json.encode(record), indent=2).decode()
    return _download(text + "\n", "application/json", f"alert-{stored.id}.json")


def _download(text: str, media_type: str, name: str) -> Response:
    headers = {**PAGE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode("utf-8", "replace"), headers=headers, media_type=media_type)


ROUTES: Final = [
    page_route("/devices/{device}", {"GET": _device}, needs=SEE_ALERTS),
    page_route("/devices/{device}/alerts/{alert}/text", {"GET": _text}, needs=SEE_ALERTS),
    page_route("/devices/{device}/alerts/{alert}/json", {"GET": _json}, needs=SEE_ALERTS),
]
