"""The JSON of second factors (docs/compatibility.md)."""

from base64 import b64encode
from typing import Final, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from vedette.server.access import second_factor, service
from vedette.server.access.second_factor import Proof
from vedette.server.caller import Caller
from vedette.server.http import decode, json_response, services, user_route
from vedette.server.http.body import decode_or_none
from vedette.server.openapi.operation import operation

USERADM: Final = "/api/management/v1/useradm"


class Code(msgspec.Struct):
    """The digits that the app shows."""

    token2fa: str


class ProofBody(msgspec.Struct):
    """That it is oneself, one of the two; not asked of an administrator for somebody else."""

    current_password: str = ""
    token2fa: str = ""


class Picture(TypedDict):
    """A PNG in Base64, to be read by an app."""

    qr: str


@operation("Begin to use a second factor", answers={200: None})
async def enable(request: Request, caller: Caller) -> Response:
    await second_factor.enable(services(request), caller, _whom(request, caller))
    return Response(status_code=200)


@operation(
    "Give a second factor up; one's own with the password or a code",
    body=ProofBody,
    body_required=False,
    answers={200: None},
    errors=(422,),
)
async def disable(request: Request, caller: Caller) -> Response:
    user_id = _whom(request, caller)
    if user_id != caller.user_id:
        service.require_admin(caller)
    body = await decode_or_none(request, ProofBody) or ProofBody()
    proof = Proof(password=body.current_password, code=body.token2fa)
    await second_factor.disable(services(request), caller, user_id, proof)
    return Response(status_code=200)


@operation("Show the secret of the second factor as a QR code", answers=Picture, errors=(400,))
async def picture(request: Request, caller: Caller) -> Response:
    png = await second_factor.picture(services(request), caller)
    answer: Picture = {"qr": b64encode(png).decode()}
    return json_response(answer, headers={"Cache-Control": "no-store"})


@operation("Show that the second factor works", body=Code, answers={202: None})
async def verify(request: Request, caller: Caller) -> Response:
    await second_factor.verify(services(request), caller, (await decode(request, Code)).token2fa)
    return Response(status_code=202)


def _whom(request: Request, caller: Caller) -> str:
    user_id: str = request.path_params["id"]
    return caller.user_id if user_id == "me" else user_id


ROUTES: Final = [
    user_route(f"{USERADM}/users/{{id}}/2fa/enable", {"POST": enable}),
    user_route(f"{USERADM}/users/{{id}}/2fa/disable", {"POST": disable}),
    user_route(f"{USERADM}/2faqr", {"GET": picture}),
    user_route(f"{USERADM}/2faverify", {"PUT": verify}),
]
