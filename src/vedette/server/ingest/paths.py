"""The table of the hot paths."""

from collections.abc import Mapping
from typing import Final

from vedette.server.alerts import account, intake
from vedette.server.alerts import service as alerts
from vedette.server.db import DeviceScope
from vedette.server.ingest.device_path import DevicePath
from vedette.server.services import Services
from vedette.wire import incoming


async def alert(services: Services, device: DeviceScope, body: bytes) -> int:
    """Alerts of a device; the answer goes out after they are durable."""
    await intake.accept(services, device, incoming.alerts(body))
    return 204


async def config(services: Services, device: DeviceScope, body: bytes) -> int:
    """The checks that a device runs."""
    await alerts.set_configuration(services, device, incoming.configuration(body))
    return 204


async def gaps(services: Services, device: DeviceScope, body: bytes) -> int:
    """Alerts that the device has given up: our own path, for our own devices."""
    await account.report(services, device, incoming.gaps(body))
    return 204


async def next_deployment(services: Services, device: DeviceScope, body: bytes) -> int:
    """There is nothing to install. Newer clients try v2 first and come here after its 404."""
    return 204


HOT_PATHS: Final[Mapping[str, DevicePath]] = {
    "/api/devices/v1/devicemonitor/alert": DevicePath({"POST": alert}),
    "/api/devices/v1/devicemonitor/config": DevicePath({"POST": config, "PUT": config}),
    "/api/devices/v1/vedette/gaps": DevicePath({"POST": gaps}),
    "/api/devices/v1/deployments/device/deployments/next": DevicePath(
        {"GET": next_deployment, "POST": next_deployment}
    ),
}
