"""The list of devices, and letting them in. The page of one device is made by `alerts`, which knows what is wrong."""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Conflict, Invalid
from vedette.server.access import tenants
from vedette.server.access.permissions import MANAGE_DEVICES, SEE_DEVICES
from vedette.server.caller import Caller
from vedette.server.devices import service
from vedette.server.devices.service import DeviceQuery
from vedette.server.http.routes import services
from vedette.server.web.pages import page
from vedette.server.web.paging import link, page_number, pages
from vedette.server.web.routes import form_of, local_path, page_route, see_other

PER_PAGE: Final = 25
MAX_SEARCH: Final = 200  # characters


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at the fleet."""

    key: str  # as in the address
    label: str
    nothing: str  # what it means that nothing is shown


VIEWS: Final = (
    View("", "All", "No device has connected yet."),
    View("issues", "Devices with issues", "No device has an open alert. All is well."),
    View("offline", "Offline", "Every accepted device has checked in during the last day."),
    View("pending", "Pending", "No device is waiting to be accepted."),
)


def query(view: str, *, text: str = "", group: str = "", page: int = 1, per_page: int = PER_PAGE) -> DeviceQuery:
    """What a view asks the service for."""
    return DeviceQuery(
        status="pending" if view == "pending" else None,
        issues=view == "issues",
        offline=view == "offline",
        group=group or None,
        text=text,
        page=page,
        per_page=per_page,
    )


async def _list(request: Request, caller: Caller) -> Response:
    asked = request.query_params
    view = next((each for each in VIEWS if each.key == asked.get("show", "")), VIEWS[0])
    text, group = asked.get("q", "").strip()[:MAX_SEARCH], asked.get("group", "")[:MAX_SEARCH]
    number = page_number(request)
    use = services(request)
    shown = await service.list_devices(use, caller, query(view.key, text=text, group=group, page=number))
    totals = {view.key: shown.total} if not (text or group) else {}
    for key in ("issues", "pending"):
        if key not in totals:
            totals[key] = (await service.list_devices(use, caller, query(key, per_page=0))).total
    tenant = None
    if not (shown.total or text or group or view.key) and caller.rights.reach(MANAGE_DEVICES, None):
        tenant = await tenants.own_tenant(use, caller.scope)
    return page(
        request,
        "devices/list.html",
        now=use.clock.now(),
        email=caller.email,
        view=view,
        views=[(each, link("/devices", show=each.key, q=text, group=group)) for each in VIEWS],
        totals=totals,
        devices=shown.items,
        offline_after=service.OFFLINE_AFTER,
        pages=pages("/devices", number=number, size=PER_PAGE, total=shown.total, show=view.key, q=text, group=group),
        text=text,
        group=group,
        tenant=tenant,
        server=use.settings.base_url,
        manages=lambda device: caller.rights.reach(MANAGE_DEVICES, device.group),
    )


async def _decide(request: Request, caller: Caller) -> Response:
    """Accept or reject a device: the key named in the form, or else the only one that waits."""
    form = await form_of(request)
    status = form.get("status", "")
    if status not in {"accepted", "rejected"}:
        raise Invalid("a device is accepted or rejected")
    use, device_id = services(request), request.path_params["device"]
    auth = form.get("auth", "")
    if not auth:
        device = await service.device(use, caller.scope, device_id)
        waiting = [each.id for each in device.auth_sets if each.status == "pending"]
        if len(waiting) != 1:
            raise Conflict("This device shows several keys, or none that waits; open the device and choose there.")
        auth = waiting[0]
    await service.set_auth_status(use, caller, device_id, auth, status)
    return see_other(local_path(form.get("back", "")))


ROUTES: Final = [
    page_route("/devices", {"GET": _list}, needs=SEE_DEVICES),
    page_route("/devices/{device}/status", {"POST": _decide}, needs=MANAGE_DEVICES),
]
