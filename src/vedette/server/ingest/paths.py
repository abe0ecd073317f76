"""The table of the hot paths."""

from collections.abc import Mapping
from typing import Final, NotRequired, TypedDict

from vedette.server.alerts import account, intake
from vedette.server.alerts import service as alerts
from vedette.server.deployments.device_api import V1, V2
from vedette.server.devices import intake as inventory
from vedette.server.devices.inventory_api import AttributeBody, reported
from vedette.server.http.body import parse
from vedette.server.ingest.device_path import Call, DevicePath
from vedette.server.ingest.next_deployment import get_v1, post_v1, post_v2
from vedette.server.openapi.operation import operation
from vedette.server.services import Services
from vedette.wire import incoming


class CheckBody(TypedDict):
    """A check that the device runs; a key named as its type may hold its settings."""

    name: str
    type: str
    status: NotRequired[str]


@operation("Send alerts", body=list[incoming.WireAlert], answers={204: None})
async def alert(services: Services, call: Call) -> int:
    """Alerts of a device; the answer goes out after they are durable."""
    await intake.accept(services, call.device, incoming.alerts(call.body))
    return 204


@operation("Say which checks run", body=list[CheckBody], answers={204: None})
async def config(services: Services, call: Call) -> int:
    """The checks that a device runs."""
    await alerts.set_configuration(services, call.device, incoming.configuration(call.body))
    return 204


@operation("Say which alerts were given up", body=list[incoming.WireGap], answers={204: None})
async def gaps(services: Services, call: Call) -> int:
    """Alerts that the device has given up: our own path, for our own devices."""
    await account.report(services, call.device, incoming.gaps(call.body))
    return 204


@operation("Say what a device is: PUT replaces, PATCH adds", body=list[AttributeBody], answers={200: None})
async def attributes(services: Services, call: Call) -> int:
    """What a device says of itself. Some clients accept nothing but exactly 200."""
    given = [reported(each) for each in parse(call.body, list[AttributeBody])]
    await inventory.report(services, call.device, given, replace=call.scope["method"] == "PUT")
    return 200


_INVENTORY: Final = DevicePath({"PUT": attributes, "PATCH": attributes})
HOT_PATHS: Final[Mapping[str, DevicePath]] = {
    "/api/devices/v1/devicemonitor/alert": DevicePath({"POST": alert}),
    "/api/devices/v1/devicemonitor/config": DevicePath({"POST": config, "PUT": config}),
    "/api/devices/v1/vedette/gaps": DevicePath({"POST": gaps}),
    "/api/devices/v1/inventory/device/attributes": _INVENTORY,
    "/api/0.1.0/attributes": _INVENTORY,
    f"{V1}/next": DevicePath({"GET": get_v1, "POST": post_v1}),
    f"{V2}/next": DevicePath({"POST": post_v2}),
}
