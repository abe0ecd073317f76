"""The settings that a tenant has: for now, whether alerts are mailed."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.access import service as access
from vedette.server.access.roles import ADMIN
from vedette.server.alerts import service as alerts
from vedette.server.caller import Caller
from vedette.server.http.routes import services
from vedette.server.web.pages import page
from vedette.server.web.routes import form_of, page_route, see_other


async def _settings(request: Request, caller: Caller) -> Response:
    use = services(request)
    return page(
        request,
        "notify/settings.html",
        now=use.clock.now(),
        email=caller.email,
        enabled=await alerts.email_enabled(use, caller.scope),
        smtp=bool(use.settings.smtp),
        tenant=await access.own_tenant(use, caller.scope),
        server=use.settings.base_url,
        admin=ADMIN in caller.roles,
    )


async def _switch(request: Request, caller: Caller) -> Response:
    wanted = (await form_of(request)).get("enabled", "")
    if wanted not in {"on", "off"}:
        raise Invalid("alert e-mails are turned on or off")
    await alerts.set_email_enabled(services(request), caller, wanted == "on")
    return see_other("/settings")


ROUTES: Final = [
    page_route("/settings", {"GET": _settings}),
    page_route("/settings/alert-email", {"POST": _switch}),
]
