"""The deployment at work, as it survives a power cut; and a record of the last ones for whoever asks.

One file, `deployment.json`, says how far it is. Who may act on it depends on its phase alone: the uplink on what is to
be told, the child that applies on the rest; so the two never write at the same time. It is gone when the server has
heard how it ended.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from vedette.agent import durable
from vedette.agent.paths import Paths

INSTALL: Final = "install"  # the configuration is here, and to be applied
ROLLBACK: Final = "rollback"  # it was applied and then called off
REBOOT: Final = "reboot"  # applied; it counts from the next boot on
TELL: Final = "tell"  # it has ended, and the server is to hear of it
PHASES: Final = (INSTALL, ROLLBACK, REBOOT, TELL)

SUCCESS: Final = "success"
FAILURE: Final = "failure"
ABORTED: Final = "aborted"
WAITING: Final = "waiting-for-reboot"  # in the record alone
INCONSISTENT: Final = "_INCONSISTENT"
"""Behind the name of what is installed when a failure could not be undone, as the compatible client has it."""

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_KNOWN: Final = 20


CLIENTS: Final = ("/usr/bin/mender-update", "/usr/bin/mender", "/usr/bin/mender-client")
"""One of these is there where a Mender client is installed."""


def are_ours(taken: str, paths: Paths) -> bool:
    """Are deployments ours to take, as CONFIG_DEPLOYMENTS says (`taken`), with no Mender client on the bus?"""
    if taken == "auto":
        return not any(paths.below(each).exists() for each in CLIENTS)
    return taken == "on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment of a configuration to this device."""

    id: str
    artifact: str
    phase: str  # one of PHASES
    values: Mapping[str, str]  # what is to be
    before: Mapping[str, str]  # what was, for when it is called off
    result: str = ""  # SUCCESS, FAILURE or ABORTED, once it is known
    error: str = ""  # why not, in a sentence
    consistent: bool = True  # False: what was before could not be brought back completely
    boot: str = ""  # REBOOT: the boot in which it was applied
    asked: bool = False  # REBOOT: whoever reboots has been asked to
    log: tuple[tuple[str, str, str], ...] = ()  # time (RFC 3339), level and text of what happened, for the server


def load(paths: Paths) -> Deployment | None:
    """The one at work; None: none is."""
    found = durable.read_json(paths.deployment, MAX_BYTES)
    if not isinstance(found, dict):
        return None
    try:
        made = Deployment(**found | {"log": tuple((str(a), str(b), str(c)) for a, b, c in found["log"])})
    except (TypeError, ValueError, KeyError):  # of another version, or damaged: the server offers it again
        return None
    return made if made.phase in PHASES else None


def save(paths: Paths, deployment: Deployment) -> Deployment:
    """Make it durable; returns it."""
    durable.write_json(paths.deployment, asdict(deployment))
    return deployment


def ended(paths: Paths, deployment: Deployment) -> None:
    """The server has heard of it."""
    durable.remove(paths.deployment)


def refused(deployment: Deployment, why: str, at: datetime) -> Deployment:
    """It cannot be, and nothing was touched."""
    return replace(deployment, phase=TELL, result=FAILURE, error=why, log=((at.isoformat(), "error", why),))


# --- the record ------------------------------------------------------------------------------------------------------


def note(paths: Paths, deployment: Deployment, status: str, at: datetime) -> None:
    """Put it into the record, oldest first, in place of what was said of it before.

    `status` is SUCCESS, FAILURE, ABORTED or WAITING. Written before the deployment is `ended`, so none is left out.
    """
    entry = {
        "id": deployment.id,
        "artifact": deployment.artifact,
        "status": status,
        "at": at.isoformat(),
        "error": deployment.error,
        "reboot": status == WAITING,
        "consistent": deployment.consistent,
    }
    others = [each for each in known(paths) if each["id"] != deployment.id]
    durable.write_json(paths.deployments, [*others, entry][-MAX_KNOWN:])


def known(paths: Paths) -> list[dict[str, Any]]:
    """The last deployments of this device, oldest first.

    Each has id, artifact, status, at (when, RFC 3339), error (a sentence, empty where all is well), reboot (does it
    wait for one?) and consistent (false: it failed, and what was before could not be brought back completely).
    """
    found = durable.read_json(paths.deployments, MAX_BYTES)
    return [each for each in found if isinstance(each, dict) and "id" in each] if isinstance(found, list) else []


def installed(paths: Paths) -> str:
    """The name of the artifact that is in effect; "" when there was none."""
    name, inconsistent = "", ""
    for each in known(paths):
        if each["status"] == SUCCESS:
            name, inconsistent = str(each["artifact"]), ""
        elif not each.get("consistent", True):
            inconsistent = INCONSISTENT
    return name and name + inconsistent
