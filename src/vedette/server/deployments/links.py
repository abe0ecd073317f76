"""Links that let whoever has them fetch one artifact for a while, without a token: clients send none with a download.

Source of the form: the compatible server (docs/compatibility.md); no client looks into it.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from vedette.errors import Denied, Invalid
from vedette.server.db import DeviceScope

PATH: Final = "/api/devices/v1/deployments/download/configuration"
LIFETIME: Final = timedelta(minutes=15)
PARAMETERS: Final = ("x-men-expire", "x-men-signature", "tenant_id")
_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"


class Links:
    """Makes and checks links with one key, which all processes on a database share."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, scope: DeviceScope, deployment: str, device_type: str, now: datetime) -> tuple[str, datetime]:
        """Path and query of a fresh link, and when it expires."""
        path = "/".join([PATH, *(quote(each, safe="") for each in (deployment, device_type, scope.device))])
        expires = now.astimezone(UTC).replace(microsecond=0) + LIFETIME
        expire = expires.strftime(_FORM)
        query = {
            "x-men-expire": expire,
            "x-men-signature": self._sign(path, expire, scope.tenant),
            "tenant_id": scope.tenant,
        }
        return f"{path}?{urlencode(query)}", expires

    def check(self, path: str, query: Mapping[str, str], now: datetime) -> str:
        """The tenant that a link belongs to.

        Args:
            path: as in the link, with what is escaped in it.
        Raises:
            Invalid: something is missing, or makes no sense.
            Denied: not made by this server, or no longer good.
        """
        expire, signature, tenant = (query.get(key, "") for key in PARAMETERS)
        if not expire or not signature:
            raise Invalid("the link is not whole: x-men-expire or x-men-signature is missing")
        try:
            expires = datetime.strptime(expire, _FORM).replace(tzinfo=UTC)
        except ValueError:
            raise Invalid(f"invalid x-men-expire: {expire[:50]!r}") from None
        if not hmac.compare_digest(signature.encode(), self._sign(path, expire, tenant).encode()):
            raise Denied("the signature of the link is not valid")
        if now >= expires:
            raise Denied("the link has expired; ask for a new one")
        return tenant

    def _sign(self, path: str, expire: str, tenant: str) -> str:
        text = f"GET\n{path}\nx-men-expire={expire}\ntenant_id={tenant}\n"
        return urlsafe_b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256)).rstrip(b"=").decode()
