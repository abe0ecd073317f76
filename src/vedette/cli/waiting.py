"""Waiting for a deployment to end."""

from typing import Final

from vedette.cli.client import path
from vedette.cli.command import Context
from vedette.errors import Unavailable, VedetteError

DEPLOYMENT: Final = "/api/management/v1/deployments/deployments/{}"
EVERY_S: Final = 1.0
GOOD: Final = frozenset({"success", "already-installed"})


def ended(context: Context, deployment: str, within_s: float) -> dict[str, int]:
    """How many devices ended how, when all have.

    Raises:
        Unavailable: they have not within this time; the deployment goes on.
        VedetteError: not all have it now.
    """
    end = context.clock.elapsed() + within_s
    while True:
        found = context.client.get(path(DEPLOYMENT, deployment))
        counts = {name: count for name, count in found["statistics"]["status"].items() if count}
        if found["status"] == "finished":
            break
        if context.clock.elapsed() >= end:
            raise Unavailable(f"deployment {deployment} has not ended within {within_s:g} s; it goes on")
        context.sleep(min(EVERY_S, within_s))
    if bad := [name for name in counts if name not in GOOD]:
        raise VedetteError(f"deployment {deployment} has ended with: {', '.join(bad)}; see vedette deployments log")
    return counts
