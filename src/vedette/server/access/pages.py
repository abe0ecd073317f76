"""Signing in and out."""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from vedette.errors import TooMany, Unauthenticated, VedetteError
from vedette.server.access import service
from vedette.server.access.permissions import ANYBODY
from vedette.server.access.second_factor import CodeNeeded, WrongCode
from vedette.server.caller import Caller
from vedette.server.http.routes import COOKIE, caller_of, require_same_origin, services
from vedette.server.web.pages import page
from vedette.server.web.routes import form_of, local_path, page_route, public_page_route, see_other

COOKIE_AGE_S: Final = 7 * 86_400  # as long as the token inside
CODE: Final = "This account also asks for a code. Give the password again, and the code that your app shows now."
WRONG_CODE: Final = "The code was not right, or was used already. Wait for the next one and try again."
BY_PROVIDER: Final = "This account has no password here: sign in by the button of your identity provider."
WRONG: Final = "That e-mail address and password do not belong together. Check both and try again."


async def _home(request: Request) -> Response:
    return RedirectResponse("/devices", 302)


async def _form(request: Request) -> Response:
    back = local_path(request.query_params.get("next", ""))
    try:
        await caller_of(request, ANYBODY)
    except VedetteError:
        return _login_page(request, address="", back=back)
    return see_other(back)


def _login_page(
    request: Request, *, address: str, back: str, problem: str = "", code: bool = False, status: int = 200
) -> Response:
    return page(
        request,
        "access/login.html",
        now=services(request).clock.now(),
        status=status,
        address=address,
        back=back,
        problem=problem,
        code=code,
        mails=bool(services(request).settings.smtp),
        provider=services(request).settings.oidc_name if services(request).settings.oidc_issuer else "",
    )


async def _login(request: Request) -> Response:
    require_same_origin(request)
    form = await form_of(request)
    address, back = form.get("email", "").strip()[:256], local_path(form.get("next", ""))
    client = request.client.host if request.client else ""
    try:
        token = await service.login(
            services(request), address, form.get("password", ""), client, code=form.get("code", "")
        )
    except TooMany as error:
        response = _login_page(request, address=address, back=back, problem=str(error), status=429)
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
        return response
    except CodeNeeded as error:
        problem = WRONG_CODE if isinstance(error, WrongCode) else CODE
        return _login_page(request, address=address, back=back, problem=problem, code=True, status=401)
    except service.ByProvider:
        return _login_page(request, address=address, back=back, problem=BY_PROVIDER, status=401)
    except Unauthenticated:
        return _login_page(request, address=address, back=back, problem=WRONG, code=bool(form.get("code")), status=401)
    return signed_in(request, token, back)


def signed_in(request: Request, token: str, back: str) -> Response:
    """On to the page `back`, with a cookie that holds the token of a new session."""
    response = see_other(back)
    response.set_cookie(
        COOKIE, token, max_age=COOKIE_AGE_S, path="/", secure=is_https(request), httponly=True, samesite="strict"
    )
    return response


async def _logout(request: Request, caller: Caller) -> Response:
    await service.logout(services(request), caller)
    response = see_other("/login")
    response.delete_cookie(COOKIE, path="/", secure=is_https(request), httponly=True, samesite="strict")
    return response


def is_https(request: Request) -> bool:
    """Whether people reach this server by https, themselves or through a proxy."""
    return request.url.scheme == "https" or services(request).settings.base_url.startswith("https:")


ROUTES: Final = [
    public_page_route("/", {"GET": _home}),
    public_page_route("/login", {"GET": _form, "POST": _login}),
    page_route("/logout", {"POST": _logout}, needs=ANYBODY),
]
