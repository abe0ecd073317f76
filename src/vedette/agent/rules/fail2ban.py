"""Filters and jails of fail2ban as checks of logs: a line that is a failure for the filter raises.

fail2ban takes the time out of a line before it looks at it, counts failures of each address, and bans. Here the time
may stand where a line begins, each line raises, and nothing is counted: the check `logins` counts.
Sources: jail.conf(5); "Developing Filters" of fail2ban's documentation.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vedette.agent.rules import fail2ban_files, pythonre
from vedette.agent.rules.fail2ban_files import Sections, Values
from vedette.agent.rules.imported import Imported, valid
from vedette.errors import Invalid, NotFound

ADDRESS: Final = r"(?:\[?(?:(?:::f{4,6}:)?(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*[0-9a-fA-F:])\]?)"
HOST: Final = rf"(?:{ADDRESS}|[\w\-.^_]*\w)"
TIME: Final = (
    r"(?:(?:<\d{1,3}>)?\[?(?:"
    # Mar 24 15:25:51, then 2026-03-24T15:25:51Z, 24/Mar/2026:15:25:51 +0100, and seconds since 1970
    r"(?:[A-Z][a-z]{2},? )?[A-Z][a-z]{2} {1,2}\d{1,2}(?: \d{4})? \d\d:\d\d:\d\d(?:[.,]\d+)?(?: \d{4})?"
    r"|\d{4}[-/.]\d\d[-/.]\d\d[T ]+\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|[+-]\d\d:?\d\d))?"
    r"|\d{1,2}[-/.](?:\d{1,2}|[A-Z][a-z]{2})[-/.]\d{2,4}[: ]\d\d:\d\d:\d\d(?: [+-]\d{4})?"
    r"|\d{10}(?:\.\d{1,6})?"
    r")\]?:?)"
)
"""What fail2ban finds as the time where a line begins."""
IN_BRACKETS: Final = r"\[[^\]]*\]"
"""What is left of [24/Mar/2026:15:25:51 +0100] within a line is an empty pair of brackets."""

_GROUP: Final = re.compile(r"<(/?)F-([\w-]+?)(/?)>")
_OF_ADDRESS: Final = {
    "HOST": HOST, "ADDR": ADDRESS, "IP4": ADDRESS, "IP6": ADDRESS, "DNS": r"[\w\-.^_]*\w",
    "SUBNET": rf"(?:{ADDRESS}(?:/\d{{1,3}})?)", "CIDR": r"\d{1,3}",
    "F-ID/": r"\S+", "F-PORT/": r"\w+", "F-ANY/": r"\S+",
}  # fmt: skip
_CONTENT: Final = re.compile(r"<F-CONTENT>(.*)</F-CONTENT>", re.DOTALL)
_SKIP: Final = "<SKIPLINES>"
_QUIET: Final = "quiet"
_NO_FAILURE: Final = ("<F-NOFAIL>", "<F-MLFGAINED>")
"""What matches with one of these groups is no failure, whatever the rest says."""
_JAIL_FILTER: Final = re.compile(r"([\w.@-]+)(?:\[(.*)\])?", re.DOTALL)
_PARAMETER: Final = re.compile(r"""\s*([\w-]+)\s*=\s*("[^"]*"|'[^']*'|[^,]*)\s*(?:,|$)""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Jail:
    """What a jail adds to its filter."""

    name: str
    filter: str
    parameters: Mapping[str, str]
    logs: Sequence[str] = ()
    counted: str = ""  # "5 within 10m"
    ignores: bool = False


def load(path: Path) -> Iterator[Imported]:
    """What stands in a filter, in a file of jails, or in a directory of filters or /etc/fail2ban itself.

    Raises NotFound, OSError: there is nothing to read.
    """
    if path.is_dir():
        if (path / "jail.conf").is_file():
            yield from _jails(path, _jail_sections(path), all_of_them=False)
            return
        files = sorted(each for each in path.glob("*.conf") if each.is_file())
        if not files:
            raise NotFound(f"there are no filters (*.conf) in {path}")
        for each in files:
            yield from _file(each, quiet=True)
        return
    yield from _file(path, quiet=False)


def _file(path: Path, *, quiet: bool) -> Iterator[Imported]:
    try:
        sections = fail2ban_files.read_local(path)
    except Invalid as exc:
        yield _refused(path.stem, str(exc))
        return
    if "Definition" in sections and "failregex" in sections["Definition"]:
        yield _filter(path.stem, sections, {}, None)
    elif any("filter" in options or "logpath" in options for options in sections.values()):
        yield from _jails(path.parent, sections, all_of_them=True)
    elif not quiet:  # one that others include
        yield _refused(path.stem, "there is no failregex in it, and no jail")


def _jail_sections(directory: Path) -> Sections:
    """In fail2ban's order: jail.conf, jail.d/*.conf, jail.local, jail.d/*.local."""
    out: Sections = {}
    more = directory / "jail.d"
    for each in (
        directory / "jail.conf", *sorted(more.glob("*.conf")), directory / "jail.local", *sorted(more.glob("*.local"))
    ):  # fmt: skip
        if each.is_file():
            fail2ban_files.merge(out, fail2ban_files.read(each))
    return out


def _jails(directory: Path, sections: Sections, *, all_of_them: bool) -> Iterator[Imported]:
    found = False
    for name in sections:
        if name in (fail2ban_files.DEFAULT, fail2ban_files.INCLUDES, "Definition", "Init"):
            continue
        values = Values(sections, name, {"__name__": name})
        try:
            if not all_of_them and values.get("enabled").lower() not in ("true", "yes", "on", "1"):
                continue
            found = True
            jail = _jail(name, values)
        except Invalid as exc:
            found = True
            yield _refused(name, str(exc))
            continue
        path = _filter_path(directory, jail.filter)
        if path is None:
            yield _refused(name, f"its filter {jail.filter} is not in {directory / 'filter.d'}")
            continue
        try:
            yield _filter(jail.filter, fail2ban_files.read_local(path), jail.parameters, jail)
        except (Invalid, OSError) as exc:
            yield _refused(name, str(exc))
    if not found:
        raise NotFound(f"no jail is enabled in {directory}; name the file of a filter or of a jail")


def _jail(name: str, values: Values) -> Jail:
    written = values.get("filter") or name
    found = _JAIL_FILTER.fullmatch(written.strip())
    if found is None:
        raise Invalid(f"its filter {written[:60]!r} is no name of one")
    parameters = {each[1]: each[2].strip().strip("\"'") for each in _PARAMETER.finditer(found[2] or "")}
    if "mode" not in parameters and "mode" in values:
        parameters["mode"] = values.get("mode")
    of_journal = values.get("backend").lower().startswith("systemd")
    logs = [] if of_journal else [each.strip() for each in values.get("logpath").split("\n")]
    count, within = values.get("maxretry") or "5", values.get("findtime") or "10m"
    return Jail(
        name=name,
        filter=found[1],
        parameters=parameters,
        logs=[each.split()[0] for each in logs if each],
        counted=f"{count} within {within}",
        ignores="ignorecommand" in values and bool(values.get("ignorecommand")),
    )


def _filter_path(directory: Path, name: str) -> Path | None:
    for each in (directory / "filter.d", directory.parent / "filter.d", directory):
        if (each / f"{name}.conf").is_file():
            return each / f"{name}.conf"
    return None


def _filter(name: str, sections: Sections, parameters: Mapping[str, str], jail: Jail | None) -> Imported:
    rule = jail.name if jail is not None else name
    notes: list[str] = []
    hints: list[str] = []
    try:
        values = Values(sections, "Definition", {"__name__": name, **parameters})
        pattern = _pattern(values, notes)
        logs = _sources(values, jail)
    except Invalid as exc:
        return _refused(rule, str(exc))
    if jail is not None:
        notes.append(f"each failure raises; the jail acts on {jail.counted} of one address")
        if jail.ignores:
            notes.append("the jail's ignorecommand is not run")
    else:
        hints.append("each failure raises: how many are too many is the affair of a jail")
    return Imported(
        rule=rule,
        origin=f"fail2ban:{rule}",
        name=rule,
        pattern=pattern,
        sources=logs,
        title=f"fail2ban {rule}: a failure",
        notes=notes,
        hints=hints,
    )


def _refused(rule: str, why: str) -> Imported:
    return Imported(rule=rule, origin=f"fail2ban:{rule}", name=rule, refused=why)


def _sources(values: Values, jail: Jail | None) -> Sequence[str]:
    """The jail's logs; else what the filter asks of the journal; else "", to be given."""
    if jail is not None and jail.logs:
        return jail.logs
    if match := values.get("journalmatch").strip():
        words = shlex.split(" + ".join(line.strip() for line in match.splitlines() if line.strip()))
        if not all(each == "+" or re.fullmatch(r"_?[A-Z][A-Z0-9_]*=.*", each, re.DOTALL) for each in words):
            raise Invalid(f"its journalmatch {match[:60]!r} is not made of FIELD=value")
        return (f"@journalctl -f {shlex.join(words)}",)
    return ("",)


def _pattern(values: Values, notes: list[str]) -> str:
    """One pattern that matches the lines on which the filter sees a failure. Raises Invalid."""
    regexes = _list(values.get("failregex"))
    if not regexes:
        raise Invalid("it has no failregex")
    usable = [each for each in regexes if _SKIP not in each and not _is_never_one(each)]
    skipped = sum(_SKIP in each for each in regexes)
    if not usable:
        raise Invalid(
            "its failregex looks at several lines at once (<SKIPLINES>), which a check of a log does not"
            if skipped
            else "no failregex of it is a failure by itself"
        )
    if skipped:
        notes.append(f"{skipped} of its {len(regexes)} expressions look at several lines at once and are left out")
    if any(tag in each for each in regexes for tag in ("<F-NOFAIL>", "<F-MLFID>")):
        notes.append("each line is judged alone, without what others say of the same connection")
    try:
        lines = int(values.get("maxlines") or "1")
    except ValueError:
        lines = 1
    if lines > 1 and not skipped:
        notes.append(f"each line is looked at alone, not {lines} together")
    prefix = values.get("prefregex").strip()
    begin = _begin(values, notes)
    if prefix:
        failures = _behind(prefix, usable, begin)
    else:
        failures = "|".join(_one(each, f"f{index}_", begin, ".*?") for index, each in enumerate(usable))
    ignored = [_one(each, f"i{index}_", begin, ".*?") for index, each in enumerate(_list(values.get("ignoreregex")))]
    return valid("".join(f"^(?!{each})" for each in ignored) + (f"(?:{failures})" if ignored else failures))


def _list(text: str) -> list[str]:
    return [each.strip() for each in text.split("\n") if each.strip()]


def _begin(values: Values, notes: list[str]) -> str:
    """What stands for the beginning of a line: there the time may be."""
    pattern = values.get("datepattern").strip()
    if pattern.upper() == "{NONE}":
        return "^"
    if pattern and not pattern.startswith("{^LN-BEG}") and pattern not in ("{DATE}", "{^LN-BEG}"):
        notes.append(
            "the filter knows a form of time of its own; here one of the usual forms may stand where a line begins"
        )
    return rf"^(?:{TIME}\s?)?"


def _is_never_one(regex: str) -> bool:
    """Does every match of it have one of the groups _NO_FAILURE?"""
    regex = _tags(regex)
    depth = 0
    for token in pythonre.parse(regex).tokens:
        if depth == 0 and token.kind == "bar":
            return False
        if depth == 0 and token.name.startswith(_QUIET):
            return True
        depth += (token.kind == "open") - (token.kind == "close")
    return False


def _one(regex: str, unique: str, begin: str, anywhere: str) -> str:
    """An expression that matches where the line begins (`begin`) if it says so, else behind `anywhere`."""
    text = _tags(regex)
    expression = pythonre.parse(text)
    anchored = pythonre.is_anchored(expression)

    def write(text: str, unique: str) -> str:
        written = pythonre.write(pythonre.parse(text), unique, start=begin)
        return f"(?:{written})" if anchored else f"{'^' if begin else ''}{anywhere}(?:{written})"

    quiet = [each for each in expression.names if each.startswith(_QUIET)]
    # What matches with a group of those is none: so it is asked for first, with that group.
    without = [write(f"(?:{text})(?({each})|(?!))", f"{unique}{index}_") for index, each in enumerate(quiet)]
    return "".join(f"(?!{each})" for each in without) + write(text, unique)


def _behind(prefix: str, regexes: Sequence[str], begin: str) -> str:
    """Expressions that are asked about a part of the line only, the one that `prefix` calls its content."""
    found = _CONTENT.search(prefix)
    if found is None:
        raise Invalid("its prefregex has no <F-CONTENT>")
    before = pythonre.write(pythonre.parse(_tags(prefix[: found.start()])), "p_", start=begin)
    inside = pythonre.write(pythonre.parse(_tags(found[1])), "c_", start="")
    behind = pythonre.write(pythonre.parse(_tags(prefix[found.end() :])), "b_", start="")
    look = "" if inside in (".+", ".*") and behind in ("", "$") else f"(?=(?:{inside}){behind})"
    parts = [_one(each, f"f{index}_", "", ".*?") for index, each in enumerate(regexes)]
    return f"{before}{look}(?:{'|'.join(parts)})"


def _tags(regex: str) -> str:
    """With what fail2ban's tags stand for."""
    for tag, stands_for in _OF_ADDRESS.items():
        regex = regex.replace(f"<{tag}>", stands_for)

    def group(found: re.Match[str]) -> str:
        closing, name, empty = found.groups()
        if empty:
            return r"\S+"
        if f"<F-{name}>" in _NO_FAILURE:
            return ")" if closing else f"(?P<{_QUIET}>"
        name = {"ID": "fid", "PORT": "fport"}.get(name, re.sub(r"\W", "_", name.lower()))
        return ")" if closing else f"(?P<{name}>"

    # What else stands between angle brackets is meant as it stands.
    return re.sub(r"\\\[\\\]", lambda _: IN_BRACKETS, _unique_groups(_GROUP.sub(group, regex)))


def _unique_groups(regex: str) -> str:
    """A group's name may be there twice for fail2ban, which `re` would not take."""
    seen: dict[str, int] = {}

    def name(found: re.Match[str]) -> str:
        seen[found[1]] = seen.get(found[1], 0) + 1
        return found[0] if seen[found[1]] == 1 else f"(?P<{found[1]}__{seen[found[1]]}>"

    return re.sub(r"\(\?P<(\w+)>", name, regex)
