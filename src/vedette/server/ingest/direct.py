"""What devices send in a storm, without a task for each call. The answers are those of `paths`."""

from collections.abc import Mapping
from typing import Final

from vedette.errors import VedetteError
from vedette.server.alerts import intake
from vedette.server.db import Promise
from vedette.server.devices import sessions
from vedette.server.http.body import MAX_BODY
from vedette.server.http.direct import Direct, Headers
from vedette.server.services import Services
from vedette.wire import incoming

_BEARER: Final = b"Bearer "


def direct_paths(services: Services) -> Mapping[bytes, Direct]:
    """By exact path."""

    def alert(headers: Headers, body: bytes, done: Promise) -> bool:
        """Alerts of a device that was here a moment ago. Who does it wrong hears so on the usual way."""
        authorization = headers.get(b"authorization", b"")
        if not authorization.startswith(_BEARER) or len(body) > MAX_BODY:
            return False
        known = sessions.remembered(services, authorization[len(_BEARER) :].decode("latin-1"))
        if known is None:
            return False
        try:
            post = intake.post(services, known.who, incoming.alerts(body))
            sessions.admit(services, known)
            intake.submit(services, post, done)
        except VedetteError:
            return False
        return True

    return {b"/api/devices/v1/devicemonitor/alert": alert}
