"""The configuration of one device: a card on its page, and a page to change it. Works without JavaScript."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from vedette.errors import Invalid, NotFound
from vedette.server.access.permissions import CONFIGURE_DEVICES, SEE_CONFIGURATION, STOP_DEPLOYMENTS
from vedette.server.caller import Caller
from vedette.server.configuration import service
from vedette.server.configuration.service import MAX_KEYS, Configuration
from vedette.server.deployments import service as deployments
from vedette.server.deployments.service import MAX_RETRIES, DeviceDeployment
from vedette.server.devices import service as devices
from vedette.server.devices.service import Device
from vedette.server.http.routes import services
from vedette.server.services import Services
from vedette.server.times import datetime_of, micros
from vedette.server.web.pages import page
from vedette.server.web.routes import form_of, local_path, page_route, see_other

SHOWN: Final = 50  # settings on a card; the rest is on the page
RECENT: Final = 5  # deployments
SPARE_ROWS: Final = 3  # for new settings
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What the page of a device shows of its configuration."""

    configuration: Configuration
    names: Sequence[str]  # of settings that are wanted or reported
    more: int  # settings beyond those
    deployments: Sequence[DeviceDeployment]  # newest first
    may_change: bool
    may_stop: bool


async def card(use: Services, caller: Caller, device: Device) -> Card | None:
    """For the page of `device`; None: nothing to show, or not to this caller."""
    if not caller.rights.reach(SEE_CONFIGURATION, device.group):
        return None
    try:
        found = await service.configuration(use, caller.scope, device.id)
    except NotFound:  # not let in yet
        return None
    names = sorted({*found.effective.values, *found.effective.unset, *found.reported})
    recent = await deployments.of_device(use, caller.scope, device.id, limit=RECENT)
    return Card(
        configuration=found,
        names=names[:SHOWN],
        more=max(0, len(names) - SHOWN),
        deployments=recent.items,
        may_change=caller.rights.reach(CONFIGURE_DEVICES, device.group),
        may_stop=caller.rights.reach(STOP_DEPLOYMENTS, device.group),
    )


async def _edit(request: Request, caller: Caller) -> Response:
    use, device_id = services(request), request.path_params["device"]
    device = await devices.device(use, caller.scope, device_id)
    found = await service.configuration(use, caller.scope, device_id)
    spare = min(SPARE_ROWS, MAX_KEYS - len(found.configured))
    return page(
        request,
        "configuration/edit.html",
        now=use.clock.now(),
        email=caller.email,
        device=device,
        rows=[*found.configured.items(), *[("", "")] * spare],
        reported=found.reported,
        seen=micros(found.updated_at),
        max_retries=MAX_RETRIES,
    )


async def _save(request: Request, caller: Caller) -> Response:
    use, device_id = services(request), request.path_params["device"]
    form = await form_of(request, 2 * (MAX_KEYS + SPARE_ROWS) + 8)
    action, seen, retries = form.get("action", ""), form.get("seen", ""), form.get("retries", "0")
    if action not in {"save", "deploy"} or not _NUMBER.fullmatch(seen) or not _NUMBER.fullmatch(retries):
        raise Invalid("a configuration is saved, or saved and deployed")
    await service.configure(use, caller, device_id, _settings(form), datetime_of(int(seen)))
    if action == "deploy":
        await service.deploy(use, caller, device_id, int(retries))
    return see_other(f"/devices/{device_id}#configuration")


def _settings(form: dict[str, str]) -> dict[str, str]:
    """The rows of the form whose name is not empty. Raises Invalid."""
    found: dict[str, str] = {}
    for field, name in form.items():
        kind, _, number = field.partition("-")
        if kind != "name" or not name.strip():
            continue
        if name.strip() in found:
            raise Invalid(f"The setting {name.strip()[:100]} is there twice; give each a name of its own.")
        found[name.strip()] = form.get(f"value-{number}", "").replace("\r\n", "\n")  # as forms send line breaks
    return found


async def _stop(request: Request, caller: Caller) -> Response:
    path = request.path_params
    form = await form_of(request)
    await deployments.abort(services(request), caller, path["deployment"])
    return see_other(local_path(form.get("back", ""), f"/devices/{path['device']}"))


ROUTES: Final = [
    page_route("/devices/{device}/configuration", {"GET": _edit, "POST": _save}, needs=CONFIGURE_DEVICES),
    page_route("/devices/{device}/deployments/{deployment}/abort", {"POST": _stop}, needs=STOP_DEPLOYMENTS),
]
