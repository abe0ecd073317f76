"""Pages for who has forgotten a password, or follows the link of a mail. A link alone does nothing: mail programs
open them by themselves, so what counts is a button."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.access import password_reset
from vedette.server.http.routes import require_same_origin, services
from vedette.server.web.pages import page
from vedette.server.web.routes import form_of, public_page_route

ASKED: Final = "If this is the address of a user, a mail with a link is on its way. The link works for an hour."


async def _ask(request: Request) -> Response:
    return _show(request, "ask")


async def _asked(request: Request) -> Response:
    require_same_origin(request)
    form = await form_of(request)
    password_reset.start(services(request), "password", form.get("email", ""), _address(request))
    return _show(request, "done", title="Look into your mailbox", text=ASKED)


async def _new(request: Request) -> Response:
    return _show(request, "new", secret=request.query_params.get("secret", "")[:256])


async def _set(request: Request) -> Response:
    require_same_origin(request)
    form = await form_of(request)
    secret = form.get("secret", "")[:256]
    try:
        await password_reset.complete_password(services(request), secret, form.get("password", ""), _address(request))
    except Invalid as error:
        return _show(request, "new", secret=secret, problem=str(error), status=400)
    text = "Your new password is set. Whoever was signed in with the old one is signed out."
    return _show(request, "done", title="All set", text=text)


async def _verify(request: Request) -> Response:
    return _show(request, "verify", secret=request.query_params.get("secret", "")[:256])


async def _verified(request: Request) -> Response:
    require_same_origin(request)
    form = await form_of(request)
    await password_reset.complete_address(services(request), form.get("secret", "")[:256], _address(request))
    return _show(request, "done", title="Thank you", text="Your address is confirmed.")


def _show(
    request: Request,
    step: str,
    *,
    title: str = "",
    text: str = "",
    secret: str = "",
    problem: str = "",
    status: int = 200,
) -> Response:
    return page(
        request,
        "access/password.html",
        now=services(request).clock.now(),
        status=status,
        headers={"Referrer-Policy": "no-referrer"},  # the address of the page holds the secret
        step=step,
        title=title,
        text=text,
        secret=secret,
        problem=problem,
    )


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


ROUTES: Final = [
    public_page_route("/password", {"GET": _ask, "POST": _asked}),
    public_page_route("/password/new", {"GET": _new, "POST": _set}),
    public_page_route("/verify-email", {"GET": _verify, "POST": _verified}),
]
