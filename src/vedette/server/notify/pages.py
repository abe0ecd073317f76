"""One alert with its piece of the log and who was told of it; and the settings: whether alerts are mailed."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.model import Details
from vedette.server.access import tenants
from vedette.server.access.permissions import ANYBODY, MANAGE_DEVICES, SEE_ALERTS, SWITCH_ALERTS
from vedette.server.alerts import excerpt
from vedette.server.alerts import service as alerts
from vedette.server.caller import Caller
from vedette.server.devices import service as devices
from vedette.server.http.routes import services
from vedette.server.notify import service
from vedette.server.web.pages import page
from vedette.server.web.routes import form_of, page_route, see_other


async def _alert(request: Request, caller: Caller) -> Response:
    use, path = services(request), request.path_params
    stored = await alerts.alert(use, caller.scope, path["device"], path["alert"])
    details = stored.alert.subject.details or Details()
    return page(
        request,
        "notify/alert.html",
        now=use.clock.now(),
        email=caller.email,
        device=await devices.device(use, caller.scope, stored.device),
        stored=stored,
        alert=stored.alert,
        still_open=await alerts.is_open(use, caller.scope, stored.device, stored.id),
        details=details,
        lines=excerpt.lines(details),
        told=await service.told(use, caller, stored.device, stored.id),
    )


async def _settings(request: Request, caller: Caller) -> Response:
    use = services(request)
    return page(
        request,
        "notify/settings.html",
        now=use.clock.now(),
        email=caller.email,
        enabled=await alerts.email_enabled(use, caller.scope),
        smtp=bool(use.settings.smtp),
        tenant=await tenants.own_tenant(use, caller.scope),
        server=use.settings.base_url,
        switches=caller.may(SWITCH_ALERTS),
        connects=caller.rights.reach(MANAGE_DEVICES, None),
    )


async def _switch(request: Request, caller: Caller) -> Response:
    wanted = (await form_of(request)).get("enabled", "")
    if wanted not in {"on", "off"}:
        raise Invalid("alert e-mails are turned on or off")
    await alerts.set_email_enabled(services(request), caller, wanted == "on")
    return see_other("/settings")


ROUTES: Final = [
    page_route("/devices/{device}/alerts/{alert}", {"GET": _alert}, needs=SEE_ALERTS),
    page_route("/settings", {"GET": _settings}, needs=ANYBODY),
    page_route("/settings/alert-email", {"POST": _switch}, needs=SWITCH_ALERTS),
]
