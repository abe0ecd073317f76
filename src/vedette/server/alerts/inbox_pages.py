"""The inbox: everything that is wrong now with the devices one sees."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.access.permissions import SEE_PROBLEMS
from vedette.server.alerts import inbox, service
from vedette.server.alerts.inbox import MAX_TEXT, Wanted
from vedette.server.caller import Caller
from vedette.server.http.routes import services
from vedette.server.web.pages import page
from vedette.server.web.paging import link, page_number, pages
from vedette.server.web.routes import page_route

PATH: Final = "/problems"
PER_PAGE: Final = 50


async def _list(request: Request, caller: Caller) -> Response:
    asked = {name: request.query_params.get(name, "").strip()[:MAX_TEXT] for name in ("level", "type", "group", "q")}
    try:
        level = service.level(asked["level"]) if asked["level"] else None
    except Invalid:  # a wrong address shows everything
        level, asked["level"] = None, ""
    number = page_number(request)
    use = services(request)
    wanted = Wanted(level=level, kind=asked["type"], group=asked["group"], text=asked["q"])
    found = await inbox.problems(use, caller, wanted, number, PER_PAGE)
    levels = [each for each in reversed(service.SEVERITY) if each in found.levels]
    return page(
        request,
        "alerts/inbox.html",
        now=use.clock.now(),
        email=caller.email,
        asked=asked,
        problems=found.items,
        total=found.total,
        levels=[(each, found.levels[each], link(PATH, **asked | {"level": each})) for each in levels],
        kinds=[(each, number, link(PATH, **asked | {"type": each})) for each, number in sorted(found.kinds.items())],
        any_level=link(PATH, **asked | {"level": ""}),
        any_kind=link(PATH, **asked | {"type": ""}),
        any_group=link(PATH, **asked | {"group": ""}),
        narrowed=any(asked.values()),
        pages=pages(PATH, number=number, size=PER_PAGE, total=found.total, **asked),
    )


ROUTES: Final = [page_route(PATH, {"GET": _list}, needs=SEE_PROBLEMS)]
