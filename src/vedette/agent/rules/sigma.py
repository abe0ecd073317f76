"""Sigma rules as checks of logs: one rule, one pattern that matches the lines of which its detection holds.

A log check looks at one line; so what a rule says of several events, it cannot be. Source: "Sigma Rules Specification".
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vedette.agent.rules import logic, sigma_condition, sigma_file, sigma_sources, sigma_value
from vedette.agent.rules.imported import Imported, valid
from vedette.agent.rules.logic import Claim, Every, Found
from vedette.agent.rules.sigma_sources import Source
from vedette.errors import Invalid, NotFound
from vedette.model import Level

LEVELS: Final[Mapping[str, Level]] = {
    "informational": Level.WARNING,
    "low": Level.WARNING,
    "medium": Level.WARNING,
    "high": Level.CRITICAL,
    "critical": Level.CRITICAL,
}
MAX_CLAIMS: Final = 5000
"""Single values of a rule."""
_NAME_LENGTH: Final = 60

Exists = Callable[[str], bool]


def load(path: Path, *, log: str = "", exists: Exists = lambda path: Path(path).exists()) -> Iterator[Imported]:
    """The rules of a file, or of all *.yml below a directory.

    Args:
        log: their LOG_FILE; "": where such events usually are.
        exists: is there such a file on the device?

    Raises NotFound, OSError: there is nothing to read; Unavailable: YAML cannot be read here.
    """
    files = sorted(each for each in path.rglob("*") if each.suffix in (".yml", ".yaml")) if path.is_dir() else [path]
    if not files:
        raise NotFound(f"there are no rules (*.yml) in {path}")
    for each in files:
        try:
            documents = sigma_file.read(each)
        except Invalid as exc:
            yield Imported(rule=each.stem, origin=f"sigma:{each.stem}", name=_name(each.stem), refused=str(exc))
            continue
        several = sum(isinstance(document, dict) for document in documents) > 1
        for document in documents:
            if document is not None:
                yield _imported(document, each.stem, log, exists, several=several)


def _imported(document: Any, stem: str, log: str, exists: Exists, *, several: bool) -> Imported:
    if not isinstance(document, dict):
        return Imported(rule=stem, origin=f"sigma:{stem}", name=_name(stem), refused="it is no rule: no NAME: value")
    title = _text(document.get("title")) or stem
    identity = _text(document.get("id")) or stem
    known: dict[str, Any] = {
        "rule": title,
        "origin": f"sigma:{identity}",
        "name": _name(title if several else stem),
        "title": title,
        "level": LEVELS.get(_text(document.get("level")).lower(), Level.WARNING),
    }
    try:
        return _rule(document, known, log, exists)
    except Invalid as exc:
        return Imported(**known, refused=str(exc))


def _rule(document: Mapping[str, Any], known: Mapping[str, Any], log: str, exists: Exists) -> Imported:
    if "correlation" in document:
        raise Invalid("it correlates several events, which a check of a log does not")
    if document.get("action") is not None:
        raise Invalid("it is part of a collection of rules of the old form (action), which is not read")
    logsource, detection = document.get("logsource"), document.get("detection")
    if not isinstance(logsource, dict) or not isinstance(detection, dict):
        raise Invalid("it is no rule: it has no logsource, or no detection")
    try:
        source = sigma_sources.find(logsource)
    except Invalid:
        if not log or _text(logsource.get("product")).lower() not in ("linux", ""):
            raise
        source = sigma_sources.nowhere()
    searches = _Searches(source)
    made = {str(name): searches.claim(value) for name, value in detection.items() if name not in _NO_SEARCH}
    conditions = detection.get("condition")
    texts = [_text(each).strip() for each in (conditions if isinstance(conditions, list) else [conditions])]
    if not texts or not all(texts):
        raise Invalid("its detection has no condition")
    claims = [sigma_condition.parse(each, made) for each in texts]
    claim = claims[0] if len(claims) == 1 else logic.Any(claims)
    pattern = valid(logic.pattern(sigma_sources.with_all(source, claim)))
    notes = [*source.notes, *(source.notes_on_fields if searches.has_fields else ())]
    hints = list(source.hints)
    status = _text(document.get("status")).lower()
    if status in ("deprecated", "unsupported"):
        hints.append(f"its authors call it {status}")
    return Imported(
        **known,
        pattern=pattern,
        sources=(log or _there(source.files, exists),),
        notes=tuple(dict.fromkeys(notes)),
        hints=hints,
    )


_NO_SEARCH: Final = frozenset({"condition", "timeframe"})


def _there(files: Sequence[str], exists: Exists) -> str:
    """The first log that the device has; else what needs no file; else the usual one, which may come."""
    return next((each for each in files if each.startswith("@") or exists(each)), files[0])


class _Searches:
    """Makes claims of what stands under the names in a detection."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = MAX_CLAIMS
        self.has_fields = False

    def claim(self, value: Any) -> Claim:
        """A table: all of it. A list: one of its tables or keywords. Text: a keyword."""
        if isinstance(value, dict):
            if not value:
                raise Invalid("a search of it is empty")
            return Every([self._field(str(name), wanted) for name, wanted in value.items()])
        if isinstance(value, list):
            if not value:
                raise Invalid("a search of it is empty")
            return logic.Any([self.claim(each) for each in value])
        return self._keyword(value, ())

    def _keyword(self, value: Any, modifiers: Sequence[str]) -> Claim:
        """Anywhere in the line."""
        if not isinstance(value, str):
            raise Invalid("a keyword of it is empty")
        self._count()
        found = sigma_value.modified(value, modifiers, self._unique())
        return logic.Any([Found(each.write()) for each in found]) if len(found) > 1 else Found(found[0].write())

    def _field(self, written: str, wanted: Any) -> Claim:
        name, *modifiers = written.split("|")
        values = wanted if isinstance(wanted, list) else [wanted]
        if isinstance(wanted, dict) or not values:
            raise Invalid(f"the field {name[:40]}: neither a value nor a list of them")
        if name:
            self.has_fields = True
            claims = [self._value(name, each, modifiers) for each in values]
        else:  # keywords with modifiers
            claims = [self._keyword(each, [m for m in modifiers if m != "all"]) for each in values]
        if len(claims) == 1:
            return claims[0]
        return Every(claims) if "all" in modifiers else logic.Any(claims)

    def _value(self, name: str, value: Any, modifiers: Sequence[str]) -> Claim:
        self._count()
        fields = self._source.fields
        if value is None or value == "":
            return sigma_sources.absent(fields, name)
        if isinstance(value, list | dict):
            raise Invalid(f"the field {name[:40]}: a list in a list")
        if "exists" in modifiers:
            present = fields.present(name)
            return present if value.lower() in ("true", "yes") else logic.Not(present)
        try:
            found = sigma_value.modified(value, modifiers, self._unique())
        except Invalid as exc:
            raise Invalid(f"{exc} (of {name}), which a pattern cannot express") from None
        claims = [fields.claim(name, each) for each in found]
        return claims[0] if len(claims) == 1 else logic.Any(claims)

    def _unique(self) -> str:
        return f"r{self._left}_"

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Invalid(f"it has more than {MAX_CLAIMS} values")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _name(text: str) -> str:
    """A name for a check."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_NAME_LENGTH].strip("-")
    return name or "rule"
