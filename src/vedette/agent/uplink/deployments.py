"""Asks the server for a configuration, fetches it, and tells how it went. Another child applies it (agent/configure).

Only where no Mender client is, which does all this by itself. One thing at a time: while a deployment is at work, the
server is not asked for another. What is told is told until the server has heard it (configure/deployment.py).
Source of paths, keys and answers: docs/compatibility.md.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from vedette.agent import log
from vedette.agent.configure import deployment
from vedette.agent.configure.deployment import (
    ABORTED,
    FAILURE,
    INSTALL,
    REBOOT,
    ROLLBACK,
    SUCCESS,
    TELL,
    Deployment,
)
from vedette.agent.menderconf import MenderConf
from vedette.agent.paths import Paths
from vedette.agent.store import Store, boot_id
from vedette.agent.uplink import transport
from vedette.agent.uplink.api import Api
from vedette.agent.uplink.backoff import Draw, TryLater
from vedette.agent.uplink.terms import Terms
from vedette.agent.uplink.transport import Answer
from vedette.clock import Clock
from vedette.errors import Invalid

V1: Final = "/api/devices/v1/deployments/device/deployments"
V2: Final = "/api/devices/v2/deployments/device/deployments"
REPORT: Final = "/api/devices/v1/deviceconfig/configuration"
INVENTORY: Final = "/api/devices/v1/inventory/device/attributes"
VERSION: Final = "data-partition.mender-configure.version"
"""Of the configuration, as the compatible client's inventory has it."""
BESIDE_S: Final = 60.0
"""When the server is spoken to anyway, it is asked too, but not more often than this."""
LATER: Final = 1.25
"""Of the interval, at most: a fleet does not ask at once, and who reports its checks as often is not woken for it."""
FETCHES: Final = 5  # of one deployment that the server refuses; then it has failed
DEVICE_TYPE: Final = "/var/lib/mender/device_type"
ARTIFACT: Final = "/etc/mender/artifact_info"
MAX_NAME: Final = 256

# Keys of the store's meta table.
ASKED, OLD_API, FETCHED = "deployments.asked", "deployments.v1", "deployments.fetched"
REPORTED, SHOWN = "configuration.sent", "deployments.inventory.sent"
KEYS: Final = (ASKED, OLD_API, FETCHED, REPORTED, SHOWN)
"""All that another server knows nothing of."""


class Deployments:
    """The deployments of this device from one server. `on_apply` is called when there is something to apply."""

    def __init__(
        self,
        store: Store,
        api: Api,
        conf: MenderConf,
        paths: Paths,
        terms: Terms,
        clock: Clock,
        draw: Draw,
        on_apply: Callable[[], None],
    ) -> None:
        self._store, self._api, self._conf, self._paths = store, api, conf, paths
        self._clock, self._on_apply = clock, on_apply
        self._will_reboot = bool(terms.config_reboot_command)
        self._every_s = float(conf.update_poll_interval_s or terms.config_deployments_interval)
        self._wait_s = self._every_s * draw(1.0, LATER)

    def ask_in_s(self) -> float | None:
        """Until the server is to be asked again; None: not before what is at work has been applied."""
        found = deployment.load(self._paths)
        return None if found is not None and found.phase in (INSTALL, ROLLBACK) else self._due_in_s()

    def _due_in_s(self) -> float:
        boot, _, asked = (self._store.meta(ASKED) or "").partition(" ")
        if boot != boot_id():
            return 0.0
        return max(0.0, float(asked) + self._wait_s - self._clock.elapsed())

    def put_off(self) -> None:
        """Leave the server alone for the interval."""
        self._store.set_meta(ASKED, f"{boot_id()} {self._clock.elapsed()}")

    def step(self, *, beside: bool) -> bool:
        """Do what is to be done now. True when the server was spoken to. `beside`: it is being spoken to anyway.

        Raises:
            TryLater: the server cannot take it now.
        """
        found = deployment.load(self._paths)
        if found is None:
            return self._ask(beside=beside) | self._report() | self._show()
        if found.phase == TELL:
            self._tell(found)
            if found.result == SUCCESS:
                self._store.set_meta(ASKED, "")  # there may be more, and it was waited for
            self._report()
            self._show()
            return True
        if found.phase == REBOOT:
            return self._wait(found) | self._report()
        self._on_apply()
        return False

    # -- asking ----------------------------------------------------------------------------------------------------

    def _ask(self, *, beside: bool) -> bool:
        due_s = self._due_in_s()
        if due_s > 0 and not (beside and self._wait_s - due_s >= min(BESIDE_S, self._every_s)):
            return False
        asked = self._next()
        self.put_off()
        if asked is not None:
            self._take(asked)
        return True

    def _next(self) -> Mapping[str, Any] | None:
        """What the server says is to be installed; None: nothing."""
        it_is = {"device_type": device_type(self._paths), "artifact_name": artifact_name(self._paths)}
        if self._store.meta(OLD_API) != "1":
            answer = self._call("deployments", "POST", f"{V2}/next", {"device_provides": it_is})
            if answer.status == 404:
                self._store.set_meta(OLD_API, "1")
        if self._store.meta(OLD_API) == "1":
            answer = self._call("deployments", "POST", f"{V1}/next", it_is)
        if answer.status == 204 or answer.status == 404:
            return None
        if answer.status >= 400:
            log.warn(f"the server refuses to say what to install: {answer.says}")
            return None
        try:
            found = json.loads(answer.body)
            told = (found["id"], found["artifact"]["artifact_name"], found["artifact"]["source"]["uri"])
        except (ValueError, LookupError, TypeError, RecursionError):
            raise TryLater("the server says something about a deployment that makes no sense") from None
        if not all(isinstance(each, str) for each in told) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", told[0]):
            raise TryLater("the server names a deployment as nobody can")
        return {"id": told[0], "name": told[1][:MAX_NAME], "uri": told[2]}

    def _take(self, asked: Mapping[str, Any]) -> None:
        """Fetch it and leave it for who applies it."""
        from vedette.agent.configure import apply, artifact  # what a device without work does without

        new = Deployment(
            id=asked["id"],
            artifact=asked["name"],
            phase=INSTALL,
            values={},
            before=apply.current(self._paths),
        )
        log.info(f"the server has a deployment for this device: {new.artifact}")
        if self._say(new, "downloading").status == 409:
            self._called_off(new)
            return
        try:
            content = self._fetch(new, asked["uri"])
            found = artifact.read(content)
            if device_type(self._paths) not in found.device_types:
                raise Invalid(f"it is for {', '.join(found.device_types)[:200]}, and this is another device")
            new = replace(new, values=found.values)
        except Invalid as exc:
            why = f"{new.artifact} cannot be taken: {exc}"
            log.error(why)
            self._tell(deployment.save(self._paths, deployment.refused(new, why, self._clock.now())))
            return
        self._store.set_meta(FETCHED, "")
        if self._say(new, "installing").status == 409:
            self._called_off(new)
            return
        deployment.save(self._paths, new)
        self._on_apply()

    def _fetch(self, new: Deployment, uri: str) -> bytes:
        """The artifact, by a link that needs no token and gets none."""
        from vedette.agent.configure.artifact import MAX_BYTES

        parts = urlsplit(uri)
        if self._conf.server_url.startswith("https:") and parts.scheme != "https":
            raise Invalid("the server's link to it is not encrypted")
        there = replace(self._conf, server_url=f"{parts.scheme}://{parts.netloc}")  # Invalid, if that is none
        line = transport.Transport(there, transport.tls_context(there)[0], self._clock, MAX_BYTES + 1)
        try:
            answer = line.request("GET", f"{parts.path or '/'}?{parts.query}", b"", {})
        finally:
            line.close()
        if answer.status == 200 and not answer.is_page:
            return answer.body
        count = self._fetches(new.id)
        if 400 <= answer.status < 500 and count >= FETCHES:
            raise Invalid(f"it cannot be fetched: {count} times the answer was {answer.says}")
        raise line.trouble("download", answer)

    def _fetches(self, of: str) -> int:
        before, _, count = (self._store.meta(FETCHED) or "").partition(" ")
        now = int(count) + 1 if before == of else 1
        self._store.set_meta(FETCHED, f"{of} {now}")
        return now

    # -- telling ---------------------------------------------------------------------------------------------------

    def _tell(self, found: Deployment) -> None:
        """How it ended."""
        if found.result == SUCCESS:
            if self._say(found, SUCCESS).status == 409:
                self._called_off(found)
                return
        elif found.result == FAILURE and self._say(found, FAILURE).status not in (404, 409):
            messages = [{"timestamp": at, "level": level, "message": text} for at, level, text in found.log]
            answer = self._call("log", "PUT", f"{V1}/{found.id}/log", {"messages": messages})
            if answer.status >= 400:
                log.warn(f"the server refuses the log of {found.artifact}: {answer.says}")
        deployment.note(self._paths, found, found.result, self._clock.now())
        deployment.ended(self._paths, found)

    def _called_off(self, found: Deployment) -> None:
        """The server does not want it any more. What was done is undone; before that, there is nothing to do."""
        log.info(f"the server has called off {found.artifact}")
        if found.phase == INSTALL:
            deployment.note(self._paths, found, ABORTED, self._clock.now())
        else:
            deployment.save(self._paths, replace(found, phase=ROLLBACK))
            self._on_apply()

    def _wait(self, found: Deployment) -> bool:
        """It counts from the next boot on."""
        if found.boot != boot_id():
            self._tell(deployment.save(self._paths, replace(found, phase=TELL, result=SUCCESS)))
            return True
        if found.asked and self._due_in_s() > 0:
            return False
        status = "rebooting" if self._will_reboot else "pause_before_rebooting"
        answer = self._say(found, status)
        self.put_off()
        if answer.status == 409:
            self._called_off(found)
            return True
        if not found.asked:
            deployment.save(self._paths, replace(found, asked=True))
        if self._will_reboot:
            self._on_apply()
        return True

    def _say(self, found: Deployment, status: str) -> Answer:
        answer = self._call("status of a deployment", "PUT", f"{V1}/{found.id}/status", {"status": status})
        if answer.status >= 400 and answer.status != 409:
            log.warn(f"the server refuses to hear that {found.artifact} is at {status!r}: {answer.says}")
        return answer

    def _report(self) -> bool:
        """Which configuration is in effect, when that has changed."""
        path = self._paths.configuration / "device-config.json"
        try:
            status = path.stat()
            version = f"{status.st_ino} {status.st_mtime_ns}"
            if version == self._store.meta(REPORTED) or self._paths.apply_journal.exists():
                return False
            values = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return False
        answer = self._call("configuration", "PUT", REPORT, values)
        if answer.status >= 400:
            log.warn(f"the server refuses to hear of the configuration: {answer.says}")
        self._store.set_meta(REPORTED, version)
        return True

    def _show(self) -> bool:
        """What is installed goes into the inventory, where a Mender client would put it."""
        facts = {"device_type": device_type(self._paths), "artifact_name": artifact_name(self._paths)}
        if configured := deployment.installed(self._paths):
            facts[VERSION] = configured
        body = [{"name": name, "value": value} for name, value in facts.items()]
        if (text := json.dumps(body)) == self._store.meta(SHOWN):
            return False
        answer = self._call("inventory", "PATCH", INVENTORY, body)
        if answer.status >= 400:
            log.warn(f"the server refuses the inventory: {answer.says}")
        self._store.set_meta(SHOWN, text)
        return True

    def _call(self, what: str, method: str, path: str, body: object) -> Answer:
        text = json.dumps(body, separators=(",", ":")).encode()
        return self._api.call(what, method, path, lambda _ours: text)


def device_type(paths: Paths) -> str:
    """What kind of device this is: what the Mender client's file says, else by its processor."""
    return _assigned(paths.below(DEVICE_TYPE), "device_type") or f"generic-{os.uname().machine}"


def artifact_name(paths: Paths) -> str:
    """What is installed: the last configuration, else what the image was made with."""
    return deployment.installed(paths) or _assigned(paths.below(ARTIFACT), "artifact_name") or "unknown"


def _assigned(path: Path, name: str) -> str:
    """The value in the line NAME=value of a file; "" when there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(4096).splitlines()
    except OSError:
        return ""
    return next((line.partition("=")[2].strip()[:MAX_NAME] for line in lines if line.partition("=")[0] == name), "")
