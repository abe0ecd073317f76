"""Advisories in the OSV format. Source: the OSV schema 1.7, https://ossf.github.io/osv-schema/."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from vedette.errors import Invalid
from vedette.model.affected import affects
from vedette.model.feed import MAX_VERSION, Advisory
from vedette.model.versions import rule_of
from vedette.server.feed import cvss
from vedette.server.feed.record import Record, best_known, cves, day, summary

MAX_VERSIONS: Final = 5_000  # listed in one advisory
_EVENTS: Final = {"introduced": "i", "fixed": "f", "last_affected": "l", "limit": "e"}
_WORDS: Final = {
    "negligible": 1, "minor": 1, "low": 1, "medium": 2, "moderate": 2, "important": 3, "high": 3, "critical": 4,
}  # fmt: skip
_UNIMPORTANT: Final = "unimportant"


class Severity(msgspec.Struct):
    type: str = ""
    score: str = ""


class Package(msgspec.Struct):
    ecosystem: str = ""
    name: str = ""


class Range(msgspec.Struct):
    type: str = ""
    events: list[dict[str, Any]] | None = None


class Affected(msgspec.Struct):
    package: Package | None = None
    severity: list[Severity] | None = None
    ranges: list[Range] | None = None
    versions: list[str] | None = None
    ecosystem_specific: Any = None
    database_specific: Any = None


class Osv(msgspec.Struct):
    """A document."""

    id: str
    modified: str = ""
    published: str | None = None
    withdrawn: str | None = None
    aliases: list[str] | None = None
    upstream: list[str] | None = None
    related: list[str] | None = None
    summary: str | None = None
    details: str | None = None
    severity: list[Severity] | None = None
    affected: list[Affected] | None = None
    database_specific: Any = None


_decoder: Final = msgspec.json.Decoder(Osv)


def decode(text: bytes) -> Osv:
    """Raises Invalid: it is no OSV document."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise Invalid(f"no OSV document: {exc}") from exc


def records(document: Osv) -> Iterator[Record]:
    """What it says of packages that a device may have. Nothing where it was withdrawn."""
    if document.withdrawn:
        return
    names = [document.id, *(document.aliases or ()), *(document.upstream or ())]
    if not cves(names):  # an advisory of a distribution names there what it mends
        names += cves(document.related or ())
    known, others = best_known(names)
    for affected in document.affected or ():
        package = affected.package
        if package is None or not package.name or not wanted(package.ecosystem):
            continue
        level = _level(document, affected)
        if level is None:
            continue
        base = package.ecosystem.partition(":")[0]
        ranges = [each for each in map(_range, affected.ranges or ()) if each is not None]
        advisory = Advisory(
            id=known,
            aliases=others,
            level=level,
            published=day(document.published or document.modified),
            summary=summary(document.summary or document.details or ""),
            ranges=tuple(dict.fromkeys(ranges)),
        )
        versions = _listed(advisory, affected.versions or (), rule_of(base))
        if not ranges and not versions:
            continue
        name = re.sub(r"[-_.]+", "-", package.name).lower() if base == "PyPI" else package.name
        yield Record(
            document.id,
            document.modified,
            package.ecosystem,
            name,
            replace(advisory, versions=versions) if versions else advisory,
        )


def wanted(ecosystem: str) -> bool:
    """Whether devices may have packages of it: a distribution with its release, or one that is known by name."""
    return ":" in ecosystem or bool(rule_of(ecosystem))


def _range(given: Range) -> tuple[bool, tuple[tuple[str, str], ...]] | None:
    """None for what says nothing about versions: commits."""
    if given.type not in {"ECOSYSTEM", "SEMVER"}:
        return None
    events = tuple(
        (_EVENTS[name], value)
        for event in given.events or ()
        for name, value in event.items()
        if name in _EVENTS and isinstance(value, str) and 0 < len(value) <= MAX_VERSION
    )
    return (given.type == "SEMVER", events) if events else None


def _listed(advisory: Advisory, versions: Sequence[str], rule: str) -> tuple[str, ...]:
    """Without those that a range holds anyway: many documents list all that there ever were."""
    some = [each for each in dict.fromkeys(versions) if 0 < len(each) <= MAX_VERSION]
    if advisory.ranges and rule:
        some = [each for each in some if not affects(advisory, each, rule)]
    return tuple(some[:MAX_VERSIONS])


# --- how bad ---------------------------------------------------------------------------------------------------------


def _level(document: Osv, affected: Affected) -> int | None:
    """Of `model.feed.LEVELS`, by who is nearest to the package; None: its distribution says that it does not matter."""
    own = _words(affected.ecosystem_specific), _words(affected.database_specific)
    if _UNIMPORTANT in own:
        return None
    for severities in (affected.severity, document.severity):
        found = _rated(severities or ())
        if found:
            return found
    for word in (*own, _words(document.database_specific)):
        if word in _WORDS:
            return _WORDS[word]
    return 0


def _rated(severities: Sequence[Severity]) -> int:
    """A distribution's own word counts before a vector, and a vector of a later version before an earlier one."""
    vectors = []
    for each in severities:
        if each.score.lower() in _WORDS:  # as "Ubuntu": "medium"
            return _WORDS[each.score.lower()]
        if each.type.startswith("CVSS_V"):
            vectors.append(each)
    for each in sorted(vectors, key=lambda vector: vector.type, reverse=True):
        try:
            return cvss.level(cvss.score(each.score), of_version_2=each.type == "CVSS_V2")
        except Invalid:
            continue
    return 0


def _words(value: Any) -> str:
    """The word for the severity in what each database adds as it likes."""
    for name in ("urgency", "severity", "priority", "ubuntu_priority"):
        word = value.get(name) if isinstance(value, dict) else None
        if isinstance(word, str) and word:
            return word.lower()
    return ""
