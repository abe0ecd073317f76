"""What other programs of this machine do with deployments; behind the internal listener, without a token."""

from typing import Any, Final
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.access.internal_api import internal_caller
from vedette.server.db import Tx
from vedette.server.deployments import service
from vedette.server.deployments.service import NewConfiguration
from vedette.server.http import decode, public_route, services
from vedette.server.http.body import parse
from vedette.server.times import micros

MAX_CALLED: Final = 4096  # characters


class ConfigurationBody(msgspec.Struct):
    """A configuration to be deployed: an object, or the same as text."""

    name: str
    configuration: Any
    retries: int = 0


async def deploy_configuration(request: Request) -> Response:
    use, path = services(request), request.path_params
    caller = internal_caller(path["tenant"])
    body = await decode(request, ConfigurationBody)
    if not 1 <= len(body.name) <= MAX_CALLED or "\0" in body.name:
        raise Invalid(f"name: give 1 to {MAX_CALLED} characters")
    new = NewConfiguration(
        id=_uuid(path["deployment"]),
        device=path["device"],
        configuration=_text(body.configuration),
        called=body.name,
        retries=body.retries,
    )

    async def work(tx: Tx) -> None:
        await service.create(tx, caller.scope.tenant, new, micros(use.clock.now()))

    await use.db.write(caller.scope, work)
    return Response(status_code=201, headers={"Location": f"./deployments/{new.id}"})


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise Invalid(f"{text[:50]!r} is no UUID") from None


def _text(given: Any) -> str:
    """A configuration as JSON text. Raises Invalid."""
    values = parse(given.encode() if isinstance(given, str) else msgspec.json.encode(given), dict[str, str])
    return msgspec.json.encode(values).decode()


ROUTES: Final = [
    public_route(
        "/api/internal/v1/deployments/tenants/{tenant}/configuration/deployments/{deployment}/devices/{device}",
        {"POST": deploy_configuration},
    ),
]
