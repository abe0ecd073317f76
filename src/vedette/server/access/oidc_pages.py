"""To the identity provider and back."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from vedette.errors import Denied, NotFound, Unauthenticated
from vedette.server.access import oidc
from vedette.server.access.pages import is_https, signed_in
from vedette.server.http.routes import public_route, services
from vedette.server.openapi.operation import Answer, operation
from vedette.server.web.pages import PAGE_HEADERS
from vedette.server.web.routes import local_path, public_page_route

COOKIE: Final = "oidc"
COOKIE_AGE_S: Final = 900


async def _go(request: Request) -> Response:
    _require(request)
    secret, back = oidc.begin(), local_path(request.query_params.get("next", ""))
    response = RedirectResponse(await oidc.login_url(services(request), secret), 303, PAGE_HEADERS)
    kept = f"{secret}.{urlsafe_b64encode(back.encode()).decode()}"
    # Not strict: the browser has to bring it when the provider's page sends it back.
    response.set_cookie(
        COOKIE, kept, max_age=COOKIE_AGE_S, path="/oidc", secure=is_https(request), httponly=True, samesite="lax"
    )
    return response


@operation("Go to the identity provider", answers={303: Answer(headers=("Location",))}, errors=(404,))
async def start(request: Request) -> Response:
    """Where clients send a browser after a login was answered with the id of the provider."""
    if request.path_params["id"] != oidc.provider_id(services(request).settings.oidc_issuer):
        raise NotFound
    return await _go(request)


async def _back(request: Request) -> Response:
    _require(request)
    secret, _, back = request.cookies.get(COOKIE, "").partition(".")
    query = request.query_params
    address = request.client.host if request.client else ""
    try:
        token = await oidc.finish(services(request), secret, query.get("state", ""), query.get("code", ""), address)
    except Unauthenticated as error:  # to a page that says so, not to the login and round again
        raise Denied(str(error)) from error
    response = signed_in(request, token, _path(back))
    response.delete_cookie(COOKIE, path="/oidc", secure=is_https(request), httponly=True, samesite="lax")
    return response


def _require(request: Request) -> None:
    if not services(request).settings.oidc_issuer:
        raise NotFound


def _path(encoded: str) -> str:
    try:
        return local_path(urlsafe_b64decode(encoded).decode())
    except ValueError:
        return local_path("")


ROUTES: Final = [
    public_page_route("/oidc/login", {"GET": _go}),
    public_route("/api/management/v1/useradm/oidc/{id}/start", {"GET": start}),
    public_page_route(oidc.CALLBACK, {"GET": _back}),
]
