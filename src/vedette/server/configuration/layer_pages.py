"""The layers of the configuration, for people: what each says, changing it, and what a change would do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Changed, Conflict, Invalid
from vedette.server.access.permissions import Call
from vedette.server.caller import Caller
from vedette.server.configuration import layer_form, layer_service, rollouts
from vedette.server.configuration.effective import MAX_KEYS
from vedette.server.configuration.layer_service import SEE_LAYERS, Edit, Version, Which, replaced
from vedette.server.configuration.layers import GROUP, TENANT, Said
from vedette.server.configuration.preview import Preview, preview
from vedette.server.configuration.waves import Parameters
from vedette.server.devices import inventory
from vedette.server.http.routes import services
from vedette.server.web.pages import page
from vedette.server.web.paging import page_number, pages
from vedette.server.web.routes import form_of, page_route, see_other

CHANGE_LAYERS: Final[Call] = ("PUT", "/api/management/v1/vedette/configuration/layers")
SPARE_ROWS: Final = 3
MAX_LISTED: Final = 500
PER_PAGE: Final = 10
RECENT: Final = 10
MAX_SHADOWS: Final = 20


async def _overview(request: Request, caller: Caller) -> Response:
    use = services(request)
    found = await layer_service.layers(use, caller, MAX_LISTED, 0)
    written = {each.newest.which.group for each in found.items}
    groups = [each for each in await inventory.groups(use, caller.scope) if each not in written]
    recent = await rollouts.rollouts(use, caller, None, None, RECENT, 0)
    return page(
        request,
        "configuration/layers.html",
        now=use.clock.now(),
        email=caller.email,
        layers=found.items,
        tenant_written="" in written,
        groups=groups[:MAX_LISTED],
        rollouts=recent.items,
        may=partial(_reach, caller),
    )


async def _layer(request: Request, caller: Caller) -> Response:
    use, which, number = services(request), _which(request), page_number(request)
    newest = await layer_service.layer(use, caller, which)
    history: Sequence[Version] = ()
    total = 0
    if which.level == GROUP or caller.scope.groups is None:
        listed = await layer_service.versions(use, caller, which, PER_PAGE, (number - 1) * PER_PAGE)
        history, total = listed.items, listed.total
    group = which.group
    under_way = await rollouts.rollouts(use, caller, None, group, RECENT, 0) if history else None
    return page(
        request,
        "configuration/layer.html",
        now=use.clock.now(),
        email=caller.email,
        which=which,
        base=_base(which),
        newest=newest,
        history=history,
        pages=pages(_base(which), number=number, size=PER_PAGE, total=total),
        rollouts=() if under_way is None else under_way.items,
        may_change=_reach(caller, group),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What the editor shows."""

    said: Said
    seen: int  # the version that it began with
    comment: str = ""
    form: Mapping[str, str] | None = None  # what was typed of the rollout
    preview: Preview | None = None
    wrong: Sequence[str] = ()


async def _edit(request: Request, caller: Caller) -> Response:
    use, which = services(request), _which(request)
    layer_service.require_changeable(caller, which)
    now = await layer_service.layer(use, caller, which)
    older = request.query_params.get("version", "")
    if older.isascii() and older.isdigit() and len(older) <= 9:
        found = await layer_service.version(use, caller, which, int(older))
        return await _editor(
            request, caller, which, _Shown(said=found.said, seen=now.number, comment=f"as in version {found.number}")
        )
    return await _editor(request, caller, which, _Shown(said=now.said, seen=now.number))


async def _save(request: Request, caller: Caller) -> Response:
    use, which = services(request), _which(request)
    form = await form_of(request, layer_form.most_fields(MAX_KEYS + SPARE_ROWS))
    seen = form.get("seen", "")
    if not (seen.isascii() and seen.isdigit() and len(seen) <= 9):
        raise Invalid("a layer is changed with the version that was seen")
    comment = form.get("comment", "").strip()
    said = layer_form.said_of(form, forgiving=True)
    try:
        layer_form.said_of(form)
        edit = Edit(make=replaced(said), comment=comment, expected=int(seen), parameters=layer_form.parameters_of(form))
        if form.get("action") == "start":
            saved = await layer_service.save(use, caller, which, edit)
            return see_other(_base(which) if saved.rollout is None else f"/configuration/rollouts/{saved.rollout}")
        found = await preview(use, caller, which, edit)
    except (Invalid, Changed, Conflict) as refused:
        shown = _Shown(said=said, seen=int(seen), comment=comment, form=form, wrong=_reasons(refused))
        return await _editor(request, caller, which, shown, 400 if isinstance(refused, Invalid) else 409)
    shown = _Shown(said=said, seen=int(seen), comment=comment, form=form, preview=found)
    return await _editor(request, caller, which, shown)


def _reasons(refused: Exception) -> list[str]:
    """All that is wrong, each by itself."""
    whole = str(refused)
    start, separator, rest = whole.partition("the configuration is not valid: ")
    return rest.split("; ") if separator and not start else [whole[:1].upper() + whole[1:]]


async def _editor(request: Request, caller: Caller, which: Which, shown: _Shown, status: int = 200) -> Response:
    use = services(request)
    form = shown.form or {}
    defaults = Parameters()
    rows = layer_form.others(shown.said)
    spare = min(SPARE_ROWS, MAX_KEYS - len(shown.said)) if shown.preview is None else 0
    context: dict[str, Any] = {
        "which": which,
        "base": _base(which),
        "shown": shown,
        "sections": layer_form.sections(shown.said),
        "rows": [*rows, *[layer_form.Other("", "", absent=False)] * max(spare, 0)],
        "waves": form.get("waves", " ".join(f"{each:g}" for each in defaults.waves)),
        "soak": form.get("soak", "10m"),
        "max_failures": form.get("max_failures", f"{defaults.max_failure_percent:g}"),
        "max_alerts": form.get("max_alerts", f"{defaults.max_alert_percent:g}"),
        "paused": "paused" in form,
        "max_shadows": MAX_SHADOWS,
    }
    return page(
        request, "configuration/layer_edit.html", now=use.clock.now(), email=caller.email, status=status, **context
    )


def _which(request: Request) -> Which:
    group = request.path_params.get("name")
    return Which(TENANT) if group is None else Which(GROUP, group)


def _base(which: Which) -> str:
    return "/configuration/tenant" if which.level == TENANT else f"/configuration/groups/{which.name}"


def _reach(caller: Caller, group: str) -> bool:
    """Whether he may change the layer of a group; of the tenant ('')."""
    if not caller.may(CHANGE_LAYERS):
        return False
    groups = caller.within(CHANGE_LAYERS).scope.groups
    return groups is None or group in groups


ROUTES: Final = [
    page_route("/configuration", {"GET": _overview}, needs=SEE_LAYERS),
    page_route("/configuration/tenant", {"GET": _layer}, needs=SEE_LAYERS),
    page_route("/configuration/tenant/edit", {"GET": _edit, "POST": _save}, needs=CHANGE_LAYERS),
    page_route("/configuration/groups/{name}", {"GET": _layer}, needs=SEE_LAYERS),
    page_route("/configuration/groups/{name}/edit", {"GET": _edit, "POST": _save}, needs=CHANGE_LAYERS),
]
