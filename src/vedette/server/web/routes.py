"""Routes of pages: as the API's, but what is refused is said to a person, and who is not known is asked to sign in."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from vedette.errors import Invalid, TooMany, Unauthenticated, VedetteError
from vedette.server.access.permissions import EVERYTHING, FORBIDDEN, Call
from vedette.server.http.answers import refusal
from vedette.server.http.body import FORM_TYPE
from vedette.server.http.routes import PublicHandler, UserHandler, public_route, services, user_route
from vedette.server.web.pages import PAGE_HEADERS, environment, page

MAX_FIELDS: Final = 32
_LOCAL: Final = re.compile(r"/(?!/)[^\\\x00-\x20\x7f]*")
TITLES: Final[Mapping[int, str]] = {
    400: "That did not work",
    403: "Not allowed",
    404: "Not found",
    409: "Something has changed",
    413: "Too large",
    429: "Too many attempts",
    503: "Not available now",
}
TEXTS: Final[Mapping[int, str]] = {
    404: "There is no such page, or it is not yours to see.",
    500: "Vedette failed to make this page. The log of the server says why, under the request below.",
    503: "Vedette cannot answer at the moment. Try again in a few seconds.",
}


def page_route(path: str, handlers: Mapping[str, UserHandler], *, needs: Call = EVERYTHING) -> Route:
    """A page for users who are logged in and may make the call `needs`; others are sent to the login and come back.

    Args:
        needs: of `access.permissions`; who does not say it makes a page for administrators.
    """
    return user_route(path, handlers, needs=needs, refused=_refused, consumes=FORM_TYPE)


def public_page_route(path: str, handlers: Mapping[str, PublicHandler]) -> Route:
    """A page for anybody."""
    return public_route(path, handlers, refused=_refused, consumes=FORM_TYPE)


async def form_of(request: Request, max_fields: int = MAX_FIELDS) -> dict[str, str]:
    """The fields of a form; of a repeated field the last. What is not UTF-8 becomes U+FFFD.

    Raises:
        Invalid: too many fields.
        TooLarge: more than the server reads.
    """
    text = (await request.body()).decode("ascii", "replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=max_fields))
    except ValueError as exc:
        raise Invalid(f"this form has at most {max_fields} fields") from exc


def see_other(path: str) -> Response:
    """After a change: look at `path`. Reloading that page repeats nothing."""
    return RedirectResponse(path, 303, PAGE_HEADERS)


def local_path(text: str, otherwise: str = "/devices") -> str:
    """`text` if it is a path on this server, so that nobody can be led elsewhere by a link to us."""
    return text if _LOCAL.fullmatch(text) and text.isprintable() else otherwise


def here(request: Request) -> str:
    """The path and query of this page."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


async def _refused(request: Request, error: VedetteError) -> Response:
    if isinstance(error, Unauthenticated):
        return _sign_in(request)
    plain = refusal(error, request.scope["request_id"])  # also logs what has to be logged
    status = plain.status_code
    headers = {"Retry-After": plain.headers["Retry-After"]} if "Retry-After" in plain.headers else {}
    text = TEXTS.get(status, str(error))
    forbidden = str(error) == FORBIDDEN
    if forbidden:
        text = "Your roles do not allow this. Somebody who manages users here can give you others."
    if isinstance(error, TooMany):
        text = f"{text[:1].upper()}{text[1:]}"
    return page(
        request,
        "web/message.html",
        now=services(request).clock.now(),
        status=status,
        headers=headers,
        title=TITLES.get(status, "Something went wrong"),
        text=text,
        settings=forbidden,
        request_id=request.scope["request_id"] if status >= 500 else "",
    )


def no_such_page(request: Request) -> Response:
    """For people at an address that there is not."""
    return page(
        request,
        "web/message.html",
        now=services(request).clock.now(),
        status=404,
        title=TITLES[404],
        text=TEXTS[404],
        settings=False,
        request_id="",
    )


def _sign_in(request: Request) -> Response:
    if request.headers.get("hx-request") == "true":  # a region of a page that is open: leave it as a whole
        back = local_path(_path_of(request.headers.get("hx-current-url", "")))
        return Response(status_code=401, headers={**PAGE_HEADERS, "HX-Redirect": login_path(back)})
    if request.method not in {"GET", "HEAD"}:
        return see_other(login_path("/devices"))
    if request.headers.get("sec-fetch-site") == "cross-site":
        text = environment().get_template("web/again.html").render(here=here(request))
        return Response(text, headers=PAGE_HEADERS, media_type="text/html")
    return see_other(login_path(here(request)))


def _path_of(url: str) -> str:
    """Path and query of a URL; empty for what is none."""
    try:
        parts = urlsplit(url)
    except ValueError:  # "http://["
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def login_path(back: str) -> str:
    """The login page that leads to `back`."""
    return "/login" if back in {"/", "/devices"} else f"/login?{urlencode({'next': back})}"
