"""The configuration files of fail2ban: sections, what they include, and what stands for something else in their values.

Read as data: nothing that they name is run. Sources: jail.conf(5), the documentation of Python's `configparser`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vedette.errors import Invalid, NotFound

MAX_BYTES: Final = 1024 * 1024
MAX_INCLUDES: Final = 50
MAX_DEPTH: Final = 20
"""Of what stands for something that stands for something."""
MAX_LENGTH: Final = 256 * 1024
"""Of a value when all is put in."""
DEFAULT: Final = "DEFAULT"
INCLUDES: Final = "INCLUDES"
KNOWN: Final = "known/"

_SECTION: Final = re.compile(r"\[([^\]]+)\]\s*(?:[#;].*)?")
_OPTION: Final = re.compile(r"([^\s=:][^=:]*?)\s*[=:]\s*(.*)")
_COMMENT: Final = re.compile(r"\s[;#].*$")
_PERCENT: Final = re.compile(r"%\(([^)]+)\)s|%%")
_TAG: Final = re.compile(r"<([\w/.-]+)>")

Sections = dict[str, dict[str, str]]


def read(path: Path) -> Sections:
    """A file with all that it includes; of what is there twice, the last counts. Raises Invalid, NotFound, OSError."""
    out: Sections = {}
    _read_into(out, path, set())
    return out


def read_local(path: Path) -> Sections:
    """The same, and on top of it what NAME.local beside NAME.conf says."""
    out = read(path)
    local = path.with_suffix(".local")
    if path.suffix == ".conf" and local.is_file():
        _read_into(out, local, set())
    return out


def merge(out: Sections, other: Sections) -> None:
    """Put what a later file says over it; what was before can be referred to as known/NAME."""
    for section, options in other.items():
        mine = out.setdefault(section, {})
        for name, value in options.items():
            if name in mine and mine[name] != value:
                mine[KNOWN + name] = mine[name]
            mine[name] = value


def _read_into(out: Sections, path: Path, seen: set[Path]) -> None:
    if path in seen or len(seen) >= MAX_INCLUDES:
        raise Invalid(f"{path} includes itself, or too many others")
    seen.add(path)
    own = _parse(path)
    includes = own.pop(INCLUDES, {})
    for name in includes.get("before", "").split():
        _include(out, path.parent / name, seen)
    merge(out, own)
    for name in includes.get("after", "").split():
        _include(out, path.parent / name, seen)


def _include(out: Sections, path: Path, seen: set[Path]) -> None:
    """What is named and not there is left out, as `paths-overrides.local` mostly is."""
    if path.is_file():
        _read_into(out, path, seen)


def _parse(path: Path) -> Sections:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    if len(content) > MAX_BYTES:
        raise Invalid(f"{path} is larger than {MAX_BYTES} bytes, which no filter is")
    out: Sections = {}
    options: dict[str, str] | None = None
    name = ""
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if line[0].isspace() and options is not None and name:
            options[name] += f"\n{_COMMENT.sub('', text) if text.startswith(('[', '#')) else text}"
        elif found := _SECTION.fullmatch(text):
            options, name = out.setdefault(found[1].strip(), {}), ""
        elif options is not None and (found := _OPTION.fullmatch(text)):
            name = found[1].strip().lower()
            options[name] = found[2]
        else:
            raise Invalid(f"{path}, line {number}: neither a section nor NAME = VALUE")
    return out


class Values:
    """The options of one section, with what stands in them for others put in.

    %(name)s stands for an option of the section or of DEFAULT; <name> for one of these, of Init, or a parameter, put in
    last, so that the name of a tag may be made of others: <mdre-<mode>>.
    """

    def __init__(self, sections: Sections, section: str, parameters: Mapping[str, str] | None = None) -> None:
        self._sections = sections
        self._options = {**sections.get(DEFAULT, {}), **sections.get(section, {})}
        init = sections.get("Init", {})
        self._tags = {**self._options, **init, **{name.lower(): value for name, value in (parameters or {}).items()}}

    def __contains__(self, name: str) -> bool:
        return name in self._tags

    def get(self, name: str) -> str:
        """The value, "" when there is none. Raises Invalid: what it refers to is not there."""
        return self._tagged(self._percent(self._tags.get(name, ""), 0))

    def _percent(self, text: str, depth: int) -> str:
        if depth > MAX_DEPTH or len(text) > MAX_LENGTH:
            raise Invalid("what its values stand for leads in a circle, or is too long")

        def put_in(found: re.Match[str]) -> str:
            if found[1] is None:
                return "%"
            return self._percent(self._look_up(found[1]), depth + 1)

        return _PERCENT.sub(put_in, text)

    def _look_up(self, name: str) -> str:
        name = name.lower()
        section, slash, option = name.rpartition("/")
        if slash and f"{section}/" != KNOWN:
            for title, options in self._sections.items():
                if title.lower() == section and option in options:
                    return options[option]
        elif name in self._tags:
            return self._tags[name]
        elif slash and option in self._tags:  # known/NAME, where nothing was before
            return ""
        raise Invalid(f"%({name})s is not defined")

    def _tagged(self, text: str) -> str:
        for _ in range(MAX_DEPTH):
            new = _TAG.sub(self._of_tag, text)
            if new == text:
                return text
            if len(new) > MAX_LENGTH:
                break
            text = new
        raise Invalid("what its tags stand for leads in a circle, or is too long")

    def _of_tag(self, found: re.Match[str]) -> str:
        name = found[1].lower()
        if name in self._tags:
            return self._percent(self._tags[name], 0)
        section, slash, option = name.rpartition("/")
        if slash:
            for title, options in self._sections.items():
                if title.lower() == section and option in options:
                    return self._percent(options[option], 0)
        return found[0]
