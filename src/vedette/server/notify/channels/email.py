"""The e-mail about one alert, for one person. Pure: text in, bytes out.

Everything that a device says is untrusted here: it cannot start a header, forge a line of ours, or hide behind
control characters. Sources: RFC 5322; RFC 3834 (Auto-Submitted); RFC 8255 has no say here, one language only.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from vedette.model import Alert, Details
from vedette.server.alerts import excerpt

MAX_SUBJECT: Final = 400  # characters of the alert's name in a subject
MAX_LINE: Final = 2000  # characters of one line of a log
MAX_SIDE: Final = 60  # lines of context on either side
MAX_DESCRIPTION: Final = 20  # lines of a description

# Control characters, and those that turn the direction of text around: they show something that is not there.
_UNSEEN: Final = re.compile(
    "[\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufeff\\ud800-\\udfff]"
)
_ADDRESS: Final = re.compile("[!#-'*+./-9=?A-Z^-~-]+@[A-Za-z0-9.-]+")
_LOG_NAME: Final = "Log file contains "

_TEMPLATES: Final = Environment(
    loader=PackageLoader("vedette.server.notify", "channels"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An alert, and what a mail says about it besides."""

    alert: Alert
    alert_id: str
    device: str
    group: str | None
    received_at: datetime
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One mail to one person. The same delivery always gets the same `Message-ID`."""

    sender: str
    to: str
    user: str  # id of the person: threads are his own
    thread: str  # id of the alert that opened the problem
    at: datetime


def compose(note: Note, envelope: Envelope) -> bytes:
    """The whole message, ready for SMTP: ASCII only, lines short enough."""
    domain = envelope.sender.rpartition("@")[2]
    headers = {
        "From": f"Vedette <{_address(envelope.sender)}>",
        "To": _address(envelope.to),
        "Subject": _encoded(subject(note)),
        "Date": format_datetime(envelope.at),
        "Message-ID": f"<{note.alert_id}.{envelope.user}@{domain}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    if envelope.thread != note.alert_id:
        headers["In-Reply-To"] = headers["References"] = f"<{envelope.thread}.{envelope.user}@{domain}>"
    words = _words(note)
    body = EmailMessage(policy=SMTP)
    body.set_content(_TEMPLATES.get_template("alert.txt").render(words), charset="utf-8", cte="quoted-printable")
    html = _TEMPLATES.get_template("alert.html").render(words)
    body.add_alternative(html, subtype="html", charset="utf-8", cte="quoted-printable")
    top = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return top.encode("ascii") + body.as_bytes()


def subject(note: Note) -> str:
    """As people know it from the compatible server, in one line whatever the alert is called."""
    name = _clean(note.alert.name, " ")
    if len(name) > MAX_SUBJECT:
        name = name[: MAX_SUBJECT - 1] + "…"
    group = f" in group: {_clean(note.group, ' ')}" if note.group else ""
    return f"{note.alert.level}: Monitor Alert for {name} on {note.device}{group}"


def _encoded(text: str) -> str:
    """A header's free text. Not by `EmailMessage`: it would decode what looks encoded in it, line breaks too
    (CVE-2024-6923), and loses blanks between encoded words."""
    plain = text.isascii() and "=?" not in text
    return Header(text, "us-ascii" if plain else "utf-8", 76, "Subject").encode(linesep="\r\n")


def _address(text: str) -> str:
    """An address as it is; raises ValueError for what could not be one."""
    if not _ADDRESS.fullmatch(text):
        raise ValueError("not a mail address")
    return text


def _words(note: Note) -> dict[str, Any]:
    alert = note.alert
    details = alert.subject.details or Details()
    pattern, path = _log(alert, details)
    return {
        "level": alert.level.value,
        "name": _clean(alert.name),
        "device": note.device,
        "group": _clean(note.group or ""),
        "at": _time(alert.at),
        "received_at": _time(note.received_at),
        "subject": _clean(alert.subject.name),
        "type": _clean(alert.subject.type),
        "status": _clean(alert.subject.status),
        "pattern": _clean(pattern),
        "path": _clean(path),
        "description": [_clean(each) for each in details.description.split("\n")[:MAX_DESCRIPTION] if each],
        "lines": _lines(details),
        "link": note.link,
    }


def _log(alert: Alert, details: Details) -> tuple[str, str]:
    """Pattern and path of a log alert, out of the words that the protocol fixes for them; else empty."""
    if not alert.name.startswith(_LOG_NAME):
        return "", ""
    pattern = alert.name.removeprefix(_LOG_NAME)
    start = f"{pattern} present in "
    return pattern, details.description.removeprefix(start) if details.description.startswith(start) else ""


def _lines(details: Details) -> list[excerpt.Shown]:
    """The matching line and its neighbours, those nearest to it where there are very many."""
    shown = [excerpt.Shown(each.number, _clean(each.data), matching=each.matching) for each in excerpt.lines(details)]
    middle = len(details.lines_before)
    return shown[max(0, middle - MAX_SIDE) : middle + 1 + MAX_SIDE]


def _time(at: datetime) -> str:
    """Thu, 01 Dec 2022 14:01:01 UTC: the same in every locale."""
    return format_datetime(at).removesuffix("+0000") + "UTC"


def _clean(text: str, instead: str = "\ufffd") -> str:
    """One line that looks like what it is."""
    text = _UNSEEN.sub(instead, text)
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"
