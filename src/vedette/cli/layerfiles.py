"""Layers of the configuration as files that can be kept in Git: YAML or JSON, read strictly, all values as texts.

    layer: group/boats            # or tenant, or device/DEVICE
    comment: ports that the harbour needs
    rollout: {waves: [5, 100], soak_s: 3600}
    values:
      security.ports.enabled: true
      security:
        ports: {allow: [tcp/22, tcp/443]}

A file may hold several, with `---` between them. Nested keys are joined by dots, lists by spaces; `null` says that the
setting is to be absent. Nothing is guessed: `1.10`, `yes` and `22` stay the texts they are.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vedette.cli.errors import Usage

MAX_FILE: Final = 1024 * 1024  # bytes
MAX_FILES: Final = 1000
MAX_NODES: Final = 100_000  # of a document, after aliases: a short file can mean endlessly much
SUFFIXES: Final = (".yaml", ".yml", ".json")
FIELDS: Final = ("layer", "values", "comment", "rollout")
NUMBERS: Final = frozenset(
    {"soak_s", "patience_s", "retries", "max_failure_percent", "max_failures", "max_alert_percent"}
)
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})

Plain = str | None | list[Any] | dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFile:
    """What one document says a layer is to be."""

    place: str  # where it stands, for messages
    layer: str  # tenant, group/NAME or device/DEVICE
    values: Mapping[str, str | None]
    comment: str = ""
    rollout: Mapping[str, Any] = field(default_factory=dict)  # as the API takes it


def load(names: Sequence[str]) -> list[LayerFile]:
    """The layers of these files, and of all files of these directories: the tenant's first, devices last.

    Raises:
        Usage: what is wrong with the first that is, and where; also when a layer is there twice.
    """
    found: dict[str, LayerFile] = {}
    for path in _files(names):
        for each in _documents(path):
            if each.layer in found:
                raise Usage(f"{each.place}: layer {each.layer} is in {found[each.layer].place} already")
            found[each.layer] = each
    if not found:
        raise Usage(f"there is no layer in {', '.join(names)}")
    order = ("tenant", "group", "device")
    return sorted(found.values(), key=lambda each: (order.index(each.layer.partition("/")[0]), each.layer))


def dump(layer: str, values: Mapping[str, str | None], comment: str = "") -> str:
    """A layer as such a file. What JSON writes as a text, YAML reads as the same text."""
    lines = [f"layer: {_text(layer)}"]
    if comment:
        lines.append(f"comment: {_text(comment)}")
    lines.append("values:" if values else "values: {}")
    lines += [f"  {_text(key)}: {'null' if value is None else _text(value)}" for key, value in sorted(values.items())]
    return "\n".join(lines)


def _text(value: str) -> str:
    if value.isascii() and value.replace("-", "").replace(".", "").replace("/", "").isalnum() and value[0].isalpha():
        return value if value.lower() not in _WORDS else json.dumps(value)
    quoted = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\x7f")
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in quoted)


_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def check_layer(text: str) -> str:
    """`text` if it names a layer. Raises Usage."""
    level, slash, name = text.partition("/")
    if (level == "tenant" and not slash) or (level in {"group", "device"} and name):
        return text
    raise Usage(f"{text[:80]!r} is no layer: write tenant, group/NAME or device/DEVICE")


def _files(names: Sequence[str]) -> list[Path]:
    files: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            files += sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and each.is_file())
        else:
            files.append(path)
    if len(files) > MAX_FILES:
        raise Usage(f"at most {MAX_FILES} files at once")
    return files


def _documents(path: Path) -> Iterator[LayerFile]:
    try:
        with path.open("rb") as opened:
            data = opened.read(MAX_FILE + 1)
        text = data.decode()
    except OSError as exc:
        raise Usage(f"{path}: it cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise Usage(f"{path}: it is not UTF-8") from None
    if len(data) > MAX_FILE:
        raise Usage(f"{path}: it is larger than {MAX_FILE // 1024**2} MiB")
    try:
        if path.suffix == ".json":
            yield _layer_file(str(path), _json(str(path), text))
        else:
            yield from (_layer_file(place, found) for place, found in _yaml(str(path), text))
    except RecursionError:
        raise Usage(f"{path}: it is too deeply nested") from None


def _json(place: str, text: str) -> Plain:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in items]
        if len(names) != len(set(names)):
            raise Usage(f"{place}: {_twice(names)!r} is there twice")
        return dict(items)

    try:
        found = json.loads(text, object_pairs_hook=pairs, parse_int=str, parse_float=str, parse_constant=str)
    except ValueError as exc:
        raise Usage(f"{place}: it is not JSON: {exc}") from exc
    return _words(found)


def _words(value: Any) -> Plain:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return [_words(each) for each in value]
        case dict():
            return {name: _words(each) for name, each in value.items()}
        case _:
            return value  # type: ignore[no-any-return]


def _yaml(name: str, text: str) -> Iterator[tuple[str, Plain]]:
    """The documents of a file, each with its place. Read node by node: what YAML would make of a text is not wanted."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise Usage(f"{name}: to read YAML, pip install 'vedette[cli]'; JSON needs nothing") from None
    try:
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            if node is not None and not (isinstance(node, yaml.ScalarNode) and node.value in _NULL):
                yield f"{name}:{node.start_mark.line + 1}", _Nodes(name, yaml).plain(node)
    except yaml.MarkedYAMLError as exc:
        at = "" if exc.problem_mark is None else f":{exc.problem_mark.line + 1}"
        raise Usage(f"{name}{at}: it is not YAML: {exc.problem or exc.context}") from exc
    except yaml.YAMLError as exc:
        raise Usage(f"{name}: it is not YAML: {str(exc).splitlines()[0]}") from exc


class _Nodes:
    """Reads the nodes of one document."""

    def __init__(self, name: str, yaml: Any) -> None:
        self._name, self._yaml, self._seen = name, yaml, 0

    def plain(self, node: Any) -> Plain:
        self._seen += 1
        if self._seen > MAX_NODES:
            raise Usage(f"{self._name}: it means more than {MAX_NODES} values")
        match node:
            case self._yaml.ScalarNode():
                return None if node.style is None and node.value in _NULL else str(node.value)
            case self._yaml.SequenceNode():
                return [self.plain(each) for each in node.value]
        out: dict[str, Any] = {}
        for key, value in node.value:
            place = f"{self._name}:{key.start_mark.line + 1}"
            if not isinstance(key, self._yaml.ScalarNode):
                raise Usage(f"{place}: a key is a text")
            if key.value in out:
                raise Usage(f"{place}: {key.value[:80]!r} is there twice")
            out[key.value] = self.plain(value)
        return out


def _layer_file(place: str, found: Plain) -> LayerFile:
    if not isinstance(found, dict):
        raise Usage(f"{place}: a layer is written as `layer: NAME` and `values:`")
    if unknown := found.keys() - set(FIELDS):
        raise Usage(f"{place}: there is no {min(unknown)[:80]!r} here, only {', '.join(FIELDS)}")
    layer, values, comment = found.get("layer"), found.get("values"), found.get("comment")
    if not isinstance(layer, str) or not isinstance(values, dict | None) or not isinstance(comment, str | None):
        raise Usage(f"{place}: `layer` and `comment` are texts, `values` a table")
    if "values" not in found:
        raise Usage(f"{place}: `values` is missing; for a layer that says nothing: `values: {{}}`")
    try:
        check_layer(layer)
    except Usage as exc:
        raise Usage(f"{place}: {exc}") from exc
    flat: dict[str, str | None] = {}
    for key, value in _flat(place, values or {}, ""):
        if key in flat:
            raise Usage(f"{place}: {key[:80]!r} is there twice")
        flat[key] = value
    rollout = _rollout(place, found.get("rollout"))
    return LayerFile(place=place, layer=layer, values=flat, comment=comment or "", rollout=rollout)


def _flat(place: str, values: Mapping[str, Any], above: str) -> Iterator[tuple[str, str | None]]:
    for name, value in values.items():
        key = above + name
        if isinstance(value, dict):
            yield from _flat(place, value, key + ".")
        elif isinstance(value, list):
            if not all(isinstance(each, str) for each in value):
                raise Usage(f"{place}: a list, as that of {key[:80]!r}, has texts only")
            yield key, " ".join(value)
        else:
            yield key, value


def _rollout(place: str, given: Any) -> dict[str, Any]:
    """Parameters with the names that the API has; it judges them."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Usage(f"{place}: `rollout` is a table")
    out: dict[str, Any] = {}
    for name, value in given.items():
        if name == "waves" and isinstance(value, list):
            out[name] = [_number(place, name, each) for each in value]
        elif name in NUMBERS:
            out[name] = None if value is None else _number(place, name, value)
        elif name == "paused" and value in {"true", "false"}:
            out[name] = value == "true"
        else:
            raise Usage(f"{place}: rollout: {name[:80]!r} is not there, or not so; see the page on configuration")
    return out


def _number(place: str, name: str, value: Any) -> float | int:
    try:
        number = float(value) if isinstance(value, str) else float("nan")
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e15:
        raise Usage(f"{place}: rollout: {name} is a number, or a list of them")
    return int(number) if number.is_integer() else number


def _twice(names: Sequence[str]) -> str:
    return next(each for number, each in enumerate(names) if each in names[:number])
