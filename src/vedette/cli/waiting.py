"""Waiting for a deployment, or for rollouts, to end."""

from collections.abc import Iterable
from typing import Final

from vedette.cli.client import path
from vedette.cli.command import Context
from vedette.errors import Unavailable, VedetteError

DEPLOYMENT: Final = "/api/management/v1/deployments/deployments/{}"
ROLLOUT: Final = "/api/management/v1/vedette/configuration/rollouts/{}"
EVERY_S: Final = 1.0
OVER: Final = frozenset({"finished", "halted", "aborted", "rolled_back", "superseded"})
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


def rollouts_ended(context: Context, ids: Iterable[str], within_s: float) -> None:
    """Until all of these rollouts have ended. Raises VedetteError when one has ended in another way than it should."""
    end = context.clock.elapsed() + within_s
    for each in ids:
        while (found := context.client.get(path(ROLLOUT, each)))["state"] not in OVER:
            if context.clock.elapsed() >= end:
                raise Unavailable(f"rollout {each} has not ended within {within_s:g} s; it is {found['state']}")
            context.sleep(min(EVERY_S, within_s))
        if found["state"] != "finished":
            why = f": {found['reason']}" if found["reason"] else ""
            raise VedetteError(f"rollout {each} was {found['state'].replace('_', ' ')}{why}")
