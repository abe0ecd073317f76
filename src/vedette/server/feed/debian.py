"""The security tracker of Debian as JSON: by source package, by vulnerability, what is so in each release.

Source: https://security-tracker.debian.org/tracker/data/json, and the tracker's documentation of its states.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from vedette.errors import Invalid
from vedette.model.feed import MAX_VERSION, Advisory
from vedette.server.feed.record import Record, summary

RELEASES: Final[Mapping[str, str]] = {
    "jessie": "8", "stretch": "9", "buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14",
    "duke": "15", "sid": "sid",
}  # fmt: skip
_URGENCIES: Final = {"low": 1, "medium": 2, "high": 3}
_UNIMPORTANT: Final = "unimportant"


class Release(msgspec.Struct):
    status: str = ""  # resolved, open, undetermined
    fixed_version: str | None = None  # 0: it was never affected
    urgency: str = ""  # with "*" and "**" where it was guessed by others
    nodsa: str | None = None


class Issue(msgspec.Struct):
    description: str = ""
    releases: dict[str, Release] | None = None


Tracker = dict[str, dict[str, Issue]]
_decoder: Final = msgspec.json.Decoder(Tracker)


def decode(text: bytes) -> Tracker:
    """Raises Invalid: it is not what the tracker gives."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise Invalid(f"not the JSON of Debian's security tracker: {exc}") from exc


def records(tracker: Tracker, modified: str) -> Iterator[Record]:
    """Everything that affects a release, or did before it was fixed there.

    Args:
        modified: when the file was made, RFC 3339; the tracker does not say it of each.
    """
    for package, issues in tracker.items():
        for name, issue in issues.items():
            for release, state in (issue.releases or {}).items():
                advisory = _advisory(name, issue, state)
                if advisory is not None and release in RELEASES:
                    yield Record(f"{name}@{release}", modified, f"Debian:{RELEASES[release]}", package, advisory)


def _advisory(name: str, issue: Issue, state: Release) -> Advisory | None:
    urgency = state.urgency.rstrip("*")
    fixed = state.fixed_version or ""
    if urgency == _UNIMPORTANT or state.status not in {"open", "resolved"} or len(fixed) > MAX_VERSION:
        return None
    if state.status == "resolved" and fixed in {"", "0"}:
        return None
    events = [("i", "0")]
    if state.status == "resolved":
        events.append(("f", fixed))
    level = _URGENCIES.get(urgency, 0)
    if level == 0 and state.nodsa is not None:
        level = 1  # the security team thinks it too minor for an advisory of its own
    return Advisory(id=name, level=level, summary=summary(issue.description), ranges=((False, tuple(events)),))
