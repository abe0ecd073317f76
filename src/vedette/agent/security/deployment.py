"""The kind `deployment`: the last deployment of this device failed, or has left it neither here nor there.

A condition: the next one that succeeds calls it off. One that the server has called off is no failure.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from vedette.agent import durable
from vedette.agent.security import lmdb, mender_logs
from vedette.agent.security.mender_logs import FAILURE, SUCCESS, Ended
from vedette.agent.security.scanner import Context, Finding, Report
from vedette.agent.security.stamp import stamp
from vedette.errors import Invalid

RECORD: Final = "deployments.json"
"""Of our own agent (agent/configure/deployment.py), in the state directory."""
RECORD_BYTES: Final = 4 * 1024 * 1024
WAITING: Final = "waiting-for-reboot"
PATIENCE: Final = timedelta(days=1)
"""A device that should be started anew and is not for so long is between two configurations."""
STORE: Final = "/var/lib/mender/mender-store"
ARTIFACT: Final = b"artifact-name"
INCONSISTENT: Final = "_INCONSISTENT"
"""What a Mender client adds to the name of an artifact that it could neither install nor take back."""


class Scanner:
    """Looks at what our own agent, and a Mender client if there is one, have written down."""

    def scan(self, context: Context) -> Report:
        unseen: list[str] = []
        store = context.root / STORE.lstrip("/")
        logs = context.root / mender_logs.DIRECTORY.lstrip("/")
        newest = sorted(logs.glob("deployments.*.log"))[:1]  # a new one makes a change in the directory
        stamps = {str(each): stamp(str(each)) for each in (context.state / RECORD, store, logs, *newest)}
        own = _own(context.state)
        ended: list[Ended | None] = [
            _of_own(each) for each in own if each.get("status") in (SUCCESS, FAILURE) or not _whole(each)
        ]
        try:
            ended.append(mender_logs.last(context.root))
        except OSError as exc:
            unseen.append(f"{mender_logs.DIRECTORY}: {exc.strerror}")
        last = max((each for each in ended if each is not None), key=lambda each: each.at, default=None)
        findings: list[Finding] = []
        try:
            artifact = lmdb.value(store, ARTIFACT) or b""
            name = artifact.decode(errors="replace").rstrip("\0")
            if name.endswith(INCONSISTENT):
                findings.append(_inconsistent(name.removesuffix(INCONSISTENT)))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as exc:
            unseen.append(f"{STORE}: {exc.strerror}")
        except Invalid as exc:
            unseen.append(f"{STORE}: {exc}")
        if last is not None and last.status == FAILURE:
            findings.append(_failed(last))
        waits = bool(own) and own[-1].get("status") == WAITING
        if waits and context.clock.now() - _time(own[-1]) > PATIENCE:
            findings.append(_waiting(own[-1]))
        return Report(findings=findings, unseen=unseen, unless={} if waits else stamps)


def _own(state: Path) -> list[dict[str, Any]]:
    """The record, oldest first."""
    found = durable.read_json(state / RECORD, RECORD_BYTES)
    if not isinstance(found, list):
        return []
    return [each for each in found if isinstance(each, dict) and each.get("id") and _is_time(each.get("at"))]


def _is_time(text: object) -> bool:
    try:
        return datetime.fromisoformat(str(text)).tzinfo is not None
    except ValueError:
        return False


def _time(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(str(entry["at"]))


def _of_own(entry: dict[str, Any]) -> Ended:
    return Ended(
        id=str(entry["id"]),
        status=SUCCESS if entry["status"] == SUCCESS else FAILURE,
        at=_time(entry),
        error=str(entry.get("error", "")),
        rolled_back=_whole(entry),
    )


def _whole(entry: dict[str, Any]) -> bool:
    """Our agent puts everything back; where it could not, also of one that was called off, it says so."""
    return bool(entry.get("consistent", True))


def _failed(ended: Ended) -> Finding:
    how = "failed, and what was before is there again" if ended.rolled_back else "failed"
    return Finding(
        key=f"deployment {ended.id}",
        name=f"Deployment {ended.id} failed",
        status="ROLLED_BACK" if ended.rolled_back else "DEPLOYMENT_FAILED",
        what=f"the last deployment of this device {how}" + (f": {ended.error}" if ended.error else ""),
        where=ended.id,
        since=ended.at,
        do="read the log of the deployment on the server, repair what it names, and deploy again",
    )


def _inconsistent(artifact: str) -> Finding:
    return Finding(
        key=f"inconsistent {artifact}",
        name=f"The device is between two states of {artifact}",
        status="INCONSISTENT",
        what=f"{artifact} could neither be installed nor taken back: nobody knows what of it is there",
        where=STORE,
        by="the Mender client",
        do="deploy a whole image, or an artifact that replaces all of it",
    )


def _waiting(entry: dict[str, Any]) -> Finding:
    return Finding(
        key=f"reboot {entry['id']}",
        name=f"Deployment {entry['id']} waits for a reboot",
        status="REBOOT_PENDING",
        what="a configuration was applied that counts from the next start of the device on, which has not been yet",
        where=str(entry["id"]),
        since=_time(entry),
        do="start the device anew",
    )
