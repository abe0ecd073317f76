"""What the token of a user says, whether it is that of a session or one he has made for a program."""

from datetime import datetime
from typing import Any, Final, TypedDict

from vedette.server.access.signer import ISSUER
from vedette.server.services import Services


class Addon(TypedDict):
    """A part that clients know as sold apart; here they are all there."""

    name: str
    enabled: bool


ADDONS: Final[list[Addon]] = [{"name": name, "enabled": True} for name in ("configure", "troubleshoot", "monitor")]


def sign(
    services: Services,
    *,
    tenant: str,
    user_id: str,
    token_id: str,
    now: datetime,
    expires: datetime | None,
    home: str = "",
) -> str:
    """A token for a user; `expires` None: it does not by itself; `home`: his own tenant, if that is another."""
    claims: dict[str, Any] = {
        "jti": token_id,
        "sub": user_id,
        "iss": ISSUER,
        "iat": int(now.timestamp()),
        "nbf": int(now.timestamp()),
        "scp": "mender.*",
        "mender.user": True,
        "mender.tenant": tenant,
        "mender.plan": "enterprise",
        "mender.trial": False,
        "mender.addons": ADDONS,
    }
    if home and home != tenant:
        claims["vedette.home"] = home
    if expires is not None:
        claims["exp"] = int(expires.timestamp())
    return services.signer.sign(claims)
