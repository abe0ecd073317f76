"""Known vulnerabilities of the installed packages, by the advisories of who made the packages.

A package is matched by the name and version of its source as its distribution numbers it, and by that distribution's
own advisories: a fix that was ported back counts, a newer version elsewhere says nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from vedette.agent import feedfile
from vedette.agent.security import distribution
from vedette.agent.security.cve_batches import sort_out
from vedette.agent.security.cve_vex import Vex
from vedette.agent.security.installed import Package, installed
from vedette.agent.security.scanner import Context, Finding, Json, Report
from vedette.errors import Invalid
from vedette.model.affected import affects, fixed_in
from vedette.model.feed import LEVELS, STREAM, Advisory, Pack, prefix

NO_FEED_S: Final = 86400
"""A feed that was never there is missed after this long."""
PYPI: Final = "PyPI"
RULES: Final = {"dpkg": "dpkg", "opkg": "dpkg", "apk": "apk", "rpm": "rpm", "pip": "pep440"}
"""By package manager, how it compares versions."""
UPGRADES: Final = {
    "dpkg": "apt-get install --only-upgrade {names}",
    "apk": "apk add --upgrade {names}",
    "opkg": "opkg upgrade {names}",
    "rpm": "dnf upgrade {names}",
    "pip": "python3 -m pip install --upgrade {names}",
}

UPGRADE_ALL: Final = {"dpkg": "apt-get upgrade", "apk": "apk upgrade", "rpm": "dnf upgrade"}


@dataclass(slots=True)
class _Hit:
    """A vulnerability of a package, in all places where it is installed."""

    advisory: Advisory
    level: int
    package: Package
    fixes: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)


class Scanner:
    """Of the kind `cve`."""

    heavy = True

    def scan(self, context: Context) -> Report:
        """Look once. Says also which feeds it wants, for the uplink to fetch."""
        settings = context.settings
        found = installed(context.root, settings["pip"])
        streams = _streams(context, found.packages)
        vex = Vex(context.root / each.lstrip("/") for each in settings["vex"])
        wishes = {stream: frozenset(prefix(each.name) for each in packages) for stream, packages in streams.items()}
        notes = [*vex.troubles]
        if not (settings["feed"] or context.by_hand):
            _say(context, wishes, notes)
        missing: dict[str, str] = {}  # since when
        findings: list[Finding] = []
        hits: dict[str, _Hit] = {}
        unseen, incomplete = [*found.unseen], False
        for stream, packages in streams.items():
            try:
                matched = _match(context, stream, packages, vex, hits)
            except FileNotFoundError:
                missing[stream] = (context.memory or {}).get(stream) or context.clock.now().isoformat()
                unseen.append(f"{stream}: there is no feed of known vulnerabilities of it here yet")
            except (OSError, Invalid) as exc:
                unseen.append(f"{stream}: {exc.strerror if isinstance(exc, OSError) else exc}")
                incomplete = True
            else:
                findings += matched.old
                unseen += matched.missing
                incomplete |= bool(matched.missing)
        findings += _no_feeds(context, missing, streams)
        partial = incomplete or found.lost
        told, baseline = _told(
            context, hits, learns=streams.keys() > missing.keys() and not incomplete, partial=partial
        )
        return Report(
            findings=[*findings, *told],
            baseline=baseline,
            memory=missing,
            notes=notes,
            unseen=unseen,
            partial=partial,
        )


def _told(
    context: Context, hits: Mapping[str, _Hit], *, learns: bool, partial: bool
) -> tuple[list[Finding], Json | None]:
    """The findings for these hits, and the new baseline: which of them have been told, alone or together.

    Args:
        learns: this can be the first look; before all has been seen nothing is told.
    """
    ordered = _worst_first(hits)
    if context.baseline == {}:
        return [_finding(key, hits[key]) for key in ordered], None
    if context.baseline is None and not learns:
        return [], None
    before = context.baseline or {}
    found = sort_out(ordered, before, context.settings["alone"], context.clock.now(), keep=partial)
    alone = set(found.alone)
    told = [_finding(key, hits[key]) for key in ordered if key in alone]
    for when, keys in found.together.items():
        some = {key: hits[key] for key in keys if key in hits and key not in context.accepted}
        if some:
            told.append(_together(when, some))
    return told, found.dump()


def _streams(context: Context, packages: Iterable[Package]) -> Mapping[str, list[Package]]:
    """The packages by the stream that knows them."""
    given = context.settings["ecosystem"]
    if given != "auto" and not STREAM.fullmatch(given):
        raise Invalid(f"ecosystem: {given!r} is none; write one as Debian:12, or auto")
    own = distribution.ecosystems(distribution.os_release(context.root)) if given == "auto" else (given,)
    streams: dict[str, list[Package]] = {}
    for package in packages:
        for stream in (PYPI,) if package.manager == "pip" else own:
            if STREAM.fullmatch(stream):
                streams.setdefault(stream, []).append(package)
    return streams


def _say(context: Context, wishes: feedfile.Wanted, notes: list[str]) -> None:
    directory = feedfile.directory(context.state)
    try:
        feedfile.say_wanted(directory, context.name, wishes)
    except OSError as exc:
        notes.append(f"{directory}: what feed is wanted cannot be noted there: {exc.strerror}")


# --- matching --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Matched:
    old: list[Finding]
    missing: list[str]


def _match(context: Context, stream: str, packages: list[Package], vex: Vex, hits: dict[str, _Hit]) -> _Matched:
    """Add what is found in one stream to `hits`. Raises OSError, Invalid: its feed cannot be read."""
    settings = context.settings
    directory = Path(settings["feed"]) if settings["feed"] else feedfile.directory(context.state)
    ignored = set(settings["ignore"])
    missing, late = 0, False
    with feedfile.path(directory, stream).open("rb") as file:
        pack = feedfile.open_pack(file)
        for package in sorted(packages, key=lambda each: prefix(each.name)):
            late = context.clock.elapsed() > context.until
            if late:
                break
            if not pack.holds(package.name):
                missing += 1
                continue
            rule = RULES[package.manager]
            for advisory in pack.find(package.name):
                level = advisory.level or LEVELS.index(settings["unrated"])
                if level < LEVELS.index(settings["severity"]) or not affects(advisory, package.version, rule):
                    continue
                fixed = fixed_in(advisory, package.version, rule)
                if not (fixed or settings["unfixed"]) or _left_out(advisory, package, ignored, vex):
                    continue
                _add(hits, advisory, level, package, fixed)
    unseen = [f"{stream}: {missing} packages are not in the feed yet; it is fetched"] if missing else []
    unseen += [f"{stream}: the time limit came before the end"] if late else []
    return _Matched(_too_old(context, pack), unseen)


def _left_out(advisory: Advisory, package: Package, ignored: set[str], vex: Vex) -> bool:
    """Whether somebody has said that this one does no harm here."""
    ids = (advisory.id, *advisory.aliases)
    names = (package.name, *package.parts)
    if any(each in ignored or any(f"{name}:{each}" in ignored for name in names) for each in ids):
        return True
    return vex.excuses(ids, names, (package.version, package.installed))


def _add(hits: dict[str, _Hit], advisory: Advisory, level: int, package: Package, fixed: str) -> None:
    shown = f"{package.name} (pip)" if package.manager == "pip" else package.name
    hit = hits.setdefault(f"{advisory.id} {shown}", _Hit(advisory, level, package))
    hit.level = max(hit.level, level)
    hit.fixes += [fixed] if fixed else []
    hit.parts += [f"{part} {package.installed}" for part in package.parts]
    hit.places += [package.place] if package.place else []


def _worst_first(hits: Mapping[str, _Hit]) -> list[str]:
    """The keys. Among equals: what can be mended first, then the newest."""
    ordered = sorted(sorted(hits), key=lambda key: hits[key].advisory.published, reverse=True)
    return sorted(ordered, key=lambda key: (-hits[key].level, not hits[key].fixes))


# --- saying ----------------------------------------------------------------------------------------------------------


def _finding(key: str, hit: _Hit) -> Finding:
    advisory, package = hit.advisory, hit.package
    level = _level(hit)
    known = f", also known as {', '.join(advisory.aliases[:5])}" if advisory.aliases else ""
    summary = f": {advisory.summary}" if advisory.summary else ""
    parts = list(dict.fromkeys(hit.parts))
    return Finding(
        key=key,
        name=f"{advisory.id} in {key.partition(' ')[2]} ({level})",
        status="VULNERABLE",
        what=f"{package.name} {package.version} has {advisory.id} ({level}{known}){summary}",
        where=", ".join([*parts[:20], *(["..."] if len(parts) > 20 else []), *dict.fromkeys(hit.places)]),
        since=_published(advisory.published),
        do=_do(hit),
    )


def _together(when: str, hits: Mapping[str, _Hit]) -> Finding:
    levels = Counter(map(_level, hits.values()))
    counts = ", ".join(f"{levels[level]} {level}" for level in reversed(LEVELS) if levels[level])
    packages = list(dict.fromkeys(hit.package.name for hit in hits.values()))
    managers = dict.fromkeys(hit.package.manager for hit in hits.values())
    upgrades = " and ".join(UPGRADE_ALL[manager] for manager in managers if manager in UPGRADE_ALL)
    return Finding(
        key=f"together {when}",
        name=f"Known vulnerabilities that were found together at {when}",
        status="VULNERABLE",
        what=f"{len(hits)} known vulnerabilities ({counts}) of {len(packages)} packages, found beside worse ones",
        where=", ".join(packages[:40]) + (" ..." if len(packages) > 40 else ""),
        since=_moment(when),
        do="see which they are: mender-monitorctl scan cve" + (f"; mend what can be: {upgrades}" if upgrades else ""),
    )


def _level(hit: _Hit) -> str:
    """For people: that it was taken to be of some level does not mean that somebody has rated it."""
    return LEVELS[hit.level if hit.advisory.level else 0]


def _do(hit: _Hit) -> str:
    package = hit.package
    names = list(dict.fromkeys(part.rpartition(" ")[0] for part in hit.parts))
    if not hit.fixes:
        return f"there is no fixed version yet; where it does no harm: ignore={hit.advisory.id}"
    fixed = hit.fixes[0]
    if package.manager == "pip":
        names = [f"'{package.name}>={fixed}'"]
    command = UPGRADES[package.manager].format(names=" ".join(names[:20]))
    restart = ", and boot the new kernel" if any(each.startswith("linux-image-") for each in names) else ""
    return f"fixed in {fixed}: {command}{restart}"


def _too_old(context: Context, pack: Pack) -> list[Finding]:
    try:
        imported = _moment(pack.head.imported)
    except ValueError:
        return []
    if context.clock.now() - imported < timedelta(seconds=context.settings["feed-age"]):
        return []
    stream = pack.head.stream
    return [
        Finding(
            key=f"feed {stream}",
            name=f"The feed of known vulnerabilities of {stream} is old",
            status="FEED_OLD",
            what=f"the newest advisories of {stream} that this device knows came to the server at {pack.head.imported}",
            where=stream,
            since=imported,
            do="import new ones on the server: vedette feed import FILE",
        )
    ]


def _no_feeds(context: Context, missing: Mapping[str, str], streams: Iterable[str]) -> list[Finding]:
    """What is missed for long. Of a distribution with several streams, one that is there is enough."""
    some = any(stream not in missing and stream != PYPI for stream in streams)
    return [
        Finding(
            key=f"feed {stream}",
            name=f"There is no feed of known vulnerabilities of {stream}",
            status="FEED_MISSING",
            what=f"known vulnerabilities of {stream} cannot be found: the server has sent no advisories of it",
            where=stream,
            since=_moment(since),
            do="import them on the server (vedette feed import FILE), or say whose they are (ecosystem=...)",
        )
        for stream, since in missing.items()
        if (stream == PYPI or not some) and context.clock.now() - _moment(since) >= timedelta(seconds=NO_FEED_S)
    ]


def _published(day: str) -> datetime | None:
    try:
        return _moment(day)
    except ValueError:
        return None


def _moment(text: str) -> datetime:
    """Raises ValueError."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
