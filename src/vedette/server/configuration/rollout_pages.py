"""One rollout, for people: how far it is, what has failed, and steering it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid
from vedette.server.access.permissions import Call
from vedette.server.caller import Caller
from vedette.server.configuration import layer_service, rollouts
from vedette.server.configuration.rollouts import OPEN, SEE_ROLLOUTS
from vedette.server.deployments.values import FAILURE
from vedette.server.devices import search
from vedette.server.devices import service as devices
from vedette.server.http.routes import services
from vedette.server.services import Services
from vedette.server.web.pages import page
from vedette.server.web.routes import form_of, page_route, see_other

STEER: Final[Call] = ("POST", "/api/management/v1/vedette/configuration/rollouts")
MAX_FAILED: Final = 20

Act = Callable[[Services, Caller, str, str], Awaitable[object]]
ACTIONS: Final[Mapping[str, Act]] = {
    "pause": rollouts.pause,
    "resume": rollouts.resume,
    "advance": rollouts.advance,
    "abort": rollouts.abort,
    "rollback": layer_service.roll_back,
}


async def _rollout(request: Request, caller: Caller) -> Response:
    use = services(request)
    found = await rollouts.rollout(use, caller, request.path_params["rollout"])
    failed = await rollouts.devices(use, caller, found.id, [FAILURE], MAX_FAILED, 0)
    names = {}
    if failed.items:
        ids = [each.device for _, each in failed.items]
        cut = search.Cut(limit=len(ids), offset=0, counted=False)
        known = await devices.devices(use, caller, search.of_predicates([], ids=ids), cut)
        names = {each.id: each for each in known.items}
    return page(
        request,
        "configuration/rollout.html",
        now=use.clock.now(),
        email=caller.email,
        rollout=found,
        waves=list(zip(found.parameters.waves, found.waves, found.counts, strict=True)),
        failed=failed.items,
        failed_count=failed.total,
        names=names,
        goes_on=found.state in OPEN,
        can_be_rolled_back=found.state in rollouts.CAN_BE_ROLLED_BACK,
        may_steer=_may_steer(caller, found.group),
    )


async def _act(request: Request, caller: Caller) -> Response:
    path = request.path_params
    act = ACTIONS.get(path["action"])
    if act is None:
        raise Invalid(f"a rollout knows {', '.join(ACTIONS)}")
    form = await form_of(request)
    done = await act(services(request), caller, path["rollout"], form.get("comment", "").strip())
    rollout = done.rollout if isinstance(done, layer_service.Saved) and done.rollout else path["rollout"]
    return see_other(f"/configuration/rollouts/{rollout}")


def _may_steer(caller: Caller, group: str) -> bool:
    if not caller.may(STEER):
        return False
    groups = caller.within(STEER).scope.groups
    return groups is None or group in groups


ROUTES: Final = [
    page_route("/configuration/rollouts/{rollout}", {"GET": _rollout}, needs=SEE_ROLLOUTS),
    page_route("/configuration/rollouts/{rollout}/{action}", {"POST": _act}, needs=STEER),
]
