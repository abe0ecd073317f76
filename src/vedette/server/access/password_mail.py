"""The mails that carry a secret to its user. Pure: text in, bytes out. Sources: RFC 5322; RFC 3834 (Auto-Submitted)."""

import re
from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final
from uuid import uuid4

from vedette.errors import Invalid

_ADDRESS: Final = re.compile("[!#-'*+./-9=?A-Z^-~-]+@[A-Za-z0-9.-]+")
_WORDS: Final[Mapping[str, tuple[str, str, str]]] = {  # subject, path, text
    "password": (
        "Set a new password for Vedette",
        "/password/new",
        "Somebody, probably you, has asked for a new password for {to} at {base}.\n\n"
        "Open this page within an hour to set it:\n\n    {link}\n\n"
        "If it was not you, do nothing: your password stays as it is.\n",
    ),
    "address": (
        "Confirm your address for Vedette",
        "/verify-email",
        "Somebody, probably you, uses {to} at {base}.\n\n"
        "Open this page within an hour to confirm that this address is yours:\n\n    {link}\n\n"
        "If it was not you, do nothing.\n",
    ),
}


def compose(purpose: str, *, sender: str, to: str, base: str, secret: str, at: datetime) -> bytes:
    """The whole message. Raises Invalid for what could not be an address."""
    if not _ADDRESS.fullmatch(to):
        raise Invalid("not a mail address")
    subject, path, text = _WORDS[purpose]
    link = f"{base}{path}?secret={secret}"
    headers = {
        "From": f"Vedette <{sender}>",
        "To": to,
        "Subject": subject,
        "Date": format_datetime(at),
        "Message-ID": f"<{uuid4()}@{sender.rpartition('@')[2]}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    body = EmailMessage(policy=SMTP)
    body.set_content(text.format(to=to, base=base, link=link), charset="utf-8", cte="quoted-printable")
    top = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return top.encode("ascii") + body.as_bytes()
