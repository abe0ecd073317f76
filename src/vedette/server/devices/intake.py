"""How inventory comes in: the reports of many devices in one transaction, and of each only what has changed.

Devices say the same all day long: then nothing is written, but that they were here (check_ins.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vedette.errors import Invalid, Unauthenticated
from vedette.server.db import DeviceScope, Tx, UserScope
from vedette.server.devices import intake_store as store
from vedette.server.devices.intake_store import Attributes
from vedette.server.devices.inventory import MAX_ATTRIBUTES, MAX_TOTAL, Reported
from vedette.server.devices.sessions import UNAUTHORIZED
from vedette.server.live import Live
from vedette.server.services import Services
from vedette.server.times import micros


@dataclass(frozen=True, slots=True)
class _Report:
    """What one device said at once."""

    scope: DeviceScope
    said: Attributes
    replace: bool
    at: int
    live: Live

    @property
    def device(self) -> str:
        return self.scope.device


async def report(services: Services, scope: DeviceScope, given: Sequence[Reported], *, replace: bool) -> None:
    """What a device says of itself; with `replace`, what it does not say any more is forgotten.

    Raises:
        Invalid: too many attributes.
        Unauthenticated: the device is no longer there.
        Busy, Unavailable: nothing was kept; the device comes again.
    """
    said = {each.name: (each.text, each.description) for each in given}  # of a repeated name the last
    at = micros(services.clock.now())
    # A device acts for itself only: every row below carries its own id, whatever the body said.
    tenant = UserScope(scope.tenant, groups=None)
    await services.db.write_together(tenant, _keep, _Report(scope, _checked(said), replace, at, services.live))


async def _keep(tx: Tx, reports: Sequence[_Report]) -> list[Exception | None]:
    there = await store.known(tx, {each.device for each in reports})
    after: dict[str, Attributes] = {device: known.attributes for device, known in there.items()}
    outcomes = [_follow(after, each) for each in reports]
    changed = [
        (device, name, *value)
        for device, now in after.items()
        for name, value in now.items()
        if there[device].attributes.get(name) != value
    ]
    gone = [(device, name) for device, now in after.items() for name in there[device].attributes.keys() - now.keys()]
    devices = {each[0] for each in changed} | {each[0] for each in gone}
    if devices:
        await store.change(tx, changed, gone, reports[0].at)
        await store.touch(tx, devices, reports[0].at)
        for device in devices:
            reports[0].live.announce(tx, reports[0].scope.tenant, there[device].group, device)
    return outcomes


def _follow(attributes: dict[str, Attributes], report: _Report) -> Exception | None:
    """Bring what is known of the devices up to date with one report; if that cannot be, say why and change nothing."""
    before = attributes.get(report.device)
    if before is None:
        return Unauthenticated(UNAUTHORIZED)
    try:
        attributes[report.device] = report.said if report.replace else _checked({**before, **report.said})
    except Invalid as refused:
        return refused
    return None


def _checked(attributes: Attributes) -> Attributes:
    if len(attributes) > MAX_ATTRIBUTES:
        raise Invalid(f"too many attributes: at most {MAX_ATTRIBUTES}")
    if sum(len(name) + len(text) + len(about or "") for name, (text, about) in attributes.items()) > MAX_TOTAL:
        raise Invalid(f"the attributes of a device are together longer than {MAX_TOTAL} characters")
    return attributes
