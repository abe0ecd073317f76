"""The inbox: everything that is wrong now with the devices one sees."""

from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.model import durations
from vedette.server.access.permissions import ACKNOWLEDGE, SEE_PROBLEMS
from vedette.server.alerts import acknowledging, inbox, service
from vedette.server.alerts.inbox import MAX_TEXT, Wanted
from vedette.server.caller import Caller
from vedette.server.http.routes import services
from vedette.server.web.pages import page
from vedette.server.web.paging import link, page_number, pages
from vedette.server.web.routes import form_of, local_path, page_route, see_other

PATH: Final = "/problems"
PER_PAGE: Final = 50


async def _list(request: Request, caller: Caller) -> Response:
    names = ("level", "type", "group", "q", "taken")
    asked = {name: request.query_params.get(name, "").strip()[:MAX_TEXT] for name in names}
    try:
        level = service.level(asked["level"]) if asked["level"] else None
    except Invalid:  # a wrong address shows everything
        level, asked["level"] = None, ""
    taken = {"yes": True, "no": False}.get(asked["taken"])
    number = page_number(request)
    use = services(request)
    wanted = Wanted(level=level, kind=asked["type"], group=asked["group"], text=asked["q"], acknowledged=taken)
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
        taken=[
            (label, found.taken.get(value, 0), word, link(PATH, **asked | {"taken": word}))
            for label, value, word in (("Nobody's yet", False, "no"), ("Acknowledged", True, "yes"))
        ],
        anybody=link(PATH, **asked | {"taken": ""}),
        acknowledges=lambda device: caller.rights.reach(ACKNOWLEDGE, device.group),
        max_note=acknowledging.MAX_NOTE,
        any_level=link(PATH, **asked | {"level": ""}),
        any_kind=link(PATH, **asked | {"type": ""}),
        any_group=link(PATH, **asked | {"group": ""}),
        narrowed=any(asked.values()),
        pages=pages(PATH, number=number, size=PER_PAGE, total=found.total, **asked),
    )


async def _acknowledge(request: Request, caller: Caller) -> Response:
    form = await form_of(request)
    use, path = services(request), request.path_params
    if form.get("action") == "withdraw":
        await acknowledging.withdraw(use, caller, path["device"], path["alert"])
    else:
        for_s = durations.parse(form.get("for", "0") or "0")
        until = use.clock.now() + timedelta(seconds=for_s) if for_s else None
        await acknowledging.acknowledge(use, caller, path["device"], path["alert"], form.get("note", ""), until)
    return see_other(local_path(form.get("back", ""), PATH))


ROUTES: Final = [
    page_route(PATH, {"GET": _list}, needs=SEE_PROBLEMS),
    page_route("/devices/{device}/problems/{alert}/acknowledgement", {"POST": _acknowledge}, needs=ACKNOWLEDGE),
]
