"""The ASGI application: the hot paths of devices in front, then every slice's own routes."""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from vedette.errors import Unavailable
from vedette.server.access import api as access_api
from vedette.server.access import internal_api as access_internal_api
from vedette.server.access import (
    oidc_pages,
    password_pages,
    password_reset_api,
    personal_tokens_api,
    role_api,
    second_factor_api,
    settings_api,
    tenant_api,
    tenant_service,
)
from vedette.server.access import pages as access_pages
from vedette.server.alerts import api as alerts_api
from vedette.server.alerts import inbox_api, inbox_pages
from vedette.server.alerts import internal_api as alerts_internal_api
from vedette.server.alerts import pages as alerts_pages
from vedette.server.audit import api as audit_api
from vedette.server.audit import internal_api as audit_internal_api
from vedette.server.audit import service as audit
from vedette.server.configuration import api as configuration_api
from vedette.server.configuration import (
    effective_api,
    layer_api,
    layer_pages,
    rollout_api,
    rollout_pages,
    rollout_steps,
)
from vedette.server.configuration import internal_api as configuration_internal_api
from vedette.server.configuration import pages as configuration_pages
from vedette.server.db import SYSTEM, Tx
from vedette.server.deployments import api as deployments_api
from vedette.server.deployments import internal_api as deployments_internal_api
from vedette.server.devices import api as devices_api
from vedette.server.devices import check_ins, leaving
from vedette.server.devices import internal_api as devices_internal_api
from vedette.server.devices import pages as devices_pages
from vedette.server.feed import api as feed_api
from vedette.server.http import public_route, services
from vedette.server.http.answers import problem
from vedette.server.http.asgi import Conventions
from vedette.server.http.compression import Compressed
from vedette.server.http.internal import Local
from vedette.server.http.protocol import Patient
from vedette.server.http.proxies import Proxied
from vedette.server.http.security import Strict
from vedette.server.ingest import HOT_PATHS
from vedette.server.ingest.direct import direct_paths
from vedette.server.notify import api as notify_api
from vedette.server.notify import dispatcher, forgetting, letters
from vedette.server.notify import internal_api as notify_internal_api
from vedette.server.notify import pages as notify_pages
from vedette.server.openapi import pages as openapi_pages
from vedette.server.openapi.document import document, entries
from vedette.server.openapi.operation import operation
from vedette.server.services import Services
from vedette.server.web import assets, live
from vedette.server.web.routes import no_such_page


def make_app(parts: Services) -> ASGIApp:
    """The whole server, ready for uvicorn. Its parts find `parts` in the scope: `http.services(request)`."""
    rest: ASGIApp = Router(routes(), redirect_slashes=False, default=_not_found)
    rest = Strict(Compressed(rest), https=parts.settings.base_url.startswith("https:"))
    if parts.settings.proxies:
        rest = Proxied(rest, parts.settings.proxies)
    return Conventions(_Front(hot_paths(), rest), parts)


def make_internal_app(parts: Services) -> ASGIApp:
    """What other programs of this machine may ask without a token, for the internal listener."""
    return Conventions(Local(Router(internal_routes(), redirect_slashes=False, default=_not_found)), parts)


def internal_routes() -> list[BaseRoute]:
    """Every route of the internal listener."""
    return [
        *HEALTH,
        *audit_internal_api.ROUTES,
        *access_internal_api.ROUTES,
        *devices_internal_api.ROUTES,
        *deployments_internal_api.ROUTES,
        *configuration_internal_api.ROUTES,
        *alerts_internal_api.ROUTES,
        *notify_internal_api.ROUTES,
    ]


def routes() -> list[BaseRoute]:
    """Every route behind the hot paths."""
    return [
        *HEALTH,
        *audit_api.ROUTES,
        *tenant_api.ROUTES,  # before users/{id}
        *access_api.ROUTES,
        *settings_api.ROUTES,
        *personal_tokens_api.ROUTES,
        *second_factor_api.ROUTES,
        *password_reset_api.ROUTES,
        *role_api.ROUTES,
        *devices_api.ROUTES,
        *deployments_api.ROUTES,
        *configuration_api.ROUTES,
        *layer_api.ROUTES,
        *effective_api.ROUTES,
        *rollout_api.ROUTES,
        *feed_api.ROUTES,
        *alerts_api.ROUTES,
        *inbox_api.ROUTES,
        *notify_api.ROUTES,
        *access_pages.ROUTES,
        *password_pages.ROUTES,
        *oidc_pages.ROUTES,
        *devices_pages.ROUTES,
        *configuration_pages.ROUTES,
        *layer_pages.ROUTES,
        *rollout_pages.ROUTES,
        *alerts_pages.ROUTES,
        *inbox_pages.ROUTES,
        *notify_pages.ROUTES,
        *assets.ROUTES,
        *live.ROUTES,
        *openapi_pages.routes(described),
    ]


def described() -> dict[str, Any]:
    """The OpenAPI document of everything that programs may call."""
    return document(entries(routes(), hot_paths()))


def hot_paths() -> Mapping[str, ASGIApp]:
    """What devices call all the time: exact path to application, in front of all else."""
    return HOT_PATHS


def make_protocol(parts: Services) -> type[Patient]:
    """How connections of the public address are read: see `http.direct` for what comes past the application."""

    class Public(Patient):
        direct = direct_paths(parts)

    return Public


def tasks(parts: Services) -> Sequence[Coroutine[Any, Any, None]]:
    """What runs beside the requests as long as the server does; cancelled at its end."""
    return [
        check_ins.write_forever(parts),
        dispatcher.run(parts),
        forgetting.forget_forever(parts),
        leaving.leave_forever(parts),
        letters.run(parts),
        rollout_steps.run(parts),
        audit.forget_forever(parts),
        tenant_service.remove_forever(parts),
    ]


class _Front:
    """One dictionary look-up for what devices call; the router for the rest."""

    def __init__(self, exact: Mapping[str, ASGIApp], rest: ASGIApp) -> None:
        self._exact = exact
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._exact.get(scope["path"], self._rest)(scope, receive, send)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope)
    is_page = not scope["path"].startswith("/api/")
    if is_page and request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        answer = no_such_page(request)
    else:
        answer = problem(404, "no such path", scope["request_id"])
    await answer(scope, receive, send)


@operation("Ask whether the server runs", answers={204: None})
async def _alive(request: Request) -> Response:
    return Response(status_code=204)


@operation("Ask whether the server can work", answers={204: None})
async def _health(request: Request) -> Response:
    """Can the database be asked? 503 when not."""

    async def ask(tx: Tx) -> int:
        count: int = await tx.value("SELECT count(*) FROM (SELECT 1 FROM tenant LIMIT 1) AS found")
        return count

    if await services(request).db.read(SYSTEM, ask) < 1:
        raise Unavailable("there is no tenant yet")
    return Response(status_code=204)


# Clients of the compatible API ask each of its services by name; here they live and die together.
SERVICES: Final = "/api/internal/v1/{service}"
HEALTH: Final = [
    public_route("/alive", {"GET": _alive}),
    public_route("/health", {"GET": _health}),
    public_route(f"{SERVICES}/alive", {"GET": _alive}),
    public_route(f"{SERVICES}/health", {"GET": _health}),
    public_route("/api/v1/health", {"GET": _health}),  # that of its workflows
]
