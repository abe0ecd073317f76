"""The JSON of forgotten passwords and of verifying an address (docs/compatibility.md)."""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.server.access import password_reset
from vedette.server.http import decode, public_route, services
from vedette.server.openapi.operation import operation

AUTH: Final = "/api/management/v1/useradm/auth"


class Address(msgspec.Struct):
    """Whom the mail is for."""

    email: str


class NewPassword(msgspec.Struct):
    """The secret of the mail, under one of the two names that clients use, and what the password shall be."""

    password: str
    secret: str = ""
    secret_hash: str = ""


class Secret(msgspec.Struct):
    """The secret of the mail, under one of the two names that clients use."""

    secret: str = ""
    secret_hash: str = ""


@operation("Mail a link to choose another password", body=Address, answers={202: None}, errors=(429,))
async def start_password(request: Request) -> Response:
    return await _start(request, "password")


@operation("Mail a link that verifies an address", body=Address, answers={202: None}, errors=(429,))
async def start_address(request: Request) -> Response:
    return await _start(request, "address")


async def _start(request: Request, purpose: password_reset.Purpose) -> Response:
    email = (await decode(request, Address)).email
    password_reset.start(services(request), purpose, email, _address(request))
    return Response(status_code=202)


@operation("Choose another password by the mail", body=NewPassword, answers={202: None}, errors=(422, 429))
async def complete_password(request: Request) -> Response:
    new = await decode(request, NewPassword)
    secret = new.secret or new.secret_hash
    await password_reset.complete_password(services(request), secret, new.password, _address(request))
    return Response(status_code=202)


@operation("Verify an address by the mail", body=Secret, answers={204: None}, errors=(429,))
async def complete_address(request: Request) -> Response:
    given = await decode(request, Secret)
    await password_reset.complete_address(services(request), given.secret or given.secret_hash, _address(request))
    return Response(status_code=204)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


ROUTES: Final = [
    public_route(f"{AUTH}/password-reset/start", {"POST": start_password}),
    public_route(f"{AUTH}/password-reset/complete", {"POST": complete_password}),
    public_route(f"{AUTH}/verify-email/start", {"POST": start_address}),
    public_route(f"{AUTH}/verify-email/complete", {"POST": complete_address}),
]
