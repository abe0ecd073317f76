"""What does not affect this device, as OpenVEX documents say it. Source: the OpenVEX specification 0.2.0.

A statement names vulnerabilities and products. Products are packages by their purl, directly or as the subcomponents
of something larger (an image, the device). Of several statements about the same the latest counts.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from vedette.errors import Invalid

MAX_DOCUMENT: Final = 8 * 1024 * 1024  # bytes
MAX_DOCUMENTS: Final = 1000
HARMLESS: Final = {"not_affected", "fixed"}
_OTHER: Final = {"affected", "under_investigation"}


class Vex:
    """What the documents in these files and directories say. What cannot be read is in `troubles`."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.troubles: list[str] = []
        statements: list[_Statement] = []
        for path in _files(paths, self.troubles):
            try:
                statements += _statements(path)
            except OSError as exc:
                self.troubles.append(f"{path}: {exc.strerror}")
            except Invalid as exc:
                self.troubles.append(f"{path}: {exc}")
        # By vulnerability and package; of a package, by version ("": all).
        self._harmless: dict[tuple[str, str], dict[str, bool]] = {}
        for each in sorted(statements, key=lambda statement: statement.when):
            self._take(each)

    def excuses(self, ids: Iterable[str], names: Iterable[str], versions: Iterable[str]) -> bool:
        """Whether a vulnerability, by any of its ids, does no harm in a package, by any of its names."""
        names, versions = tuple(names), tuple(versions)
        for each in ids:
            for name in names:
                said = self._harmless.get((each, name), {})
                for version in versions:
                    if version in said:
                        return said[version]
                if said.get(""):
                    return True
        return False

    def _take(self, statement: "_Statement") -> None:
        for each in statement.ids:
            for name, version in statement.packages:
                said = self._harmless.setdefault((each, name), {})
                if not version:
                    said.clear()  # what is said of all versions is said of each
                said[version] = statement.harmless


def package(purl: str) -> tuple[str, str]:
    """Name and version of the package that a purl names; without a version "". Source: the purl specification."""
    if not purl.startswith("pkg:"):
        return "", ""
    path, _, version = purl.partition("#")[0].partition("?")[0].partition("@")
    return unquote(path.rstrip("/").rpartition("/")[2]), unquote(version)


class _Statement(NamedTuple):
    when: str
    ids: tuple[str, ...]
    packages: tuple[tuple[str, str], ...]  # name and version
    harmless: bool


def _statements(path: Path) -> list[_Statement]:
    """The statements of a document, each with its time. Raises OSError, Invalid."""
    with path.open("rb") as file:
        text = file.read(MAX_DOCUMENT + 1)
    if len(text) > MAX_DOCUMENT:
        raise Invalid(f"it is larger than {MAX_DOCUMENT} bytes")
    try:
        document = json.loads(text)
        if "openvex" not in document["@context"]:
            raise ValueError
        return [_statement(each, document.get("timestamp") or "") for each in document["statements"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise Invalid("it is no OpenVEX document, or one with a statement that cannot be understood") from exc


def _statement(value: Any, when: str) -> _Statement:
    """Raises ValueError, TypeError, KeyError or AttributeError: it is none."""
    if value["status"] not in HARMLESS | _OTHER:
        raise ValueError
    named = value["vulnerability"]
    ids = [named] if isinstance(named, str) else [named["name"], *(named.get("aliases") or ())]
    products = [purl for product in value.get("products") or () for purl in _purls(product)]
    packages = (package(purl) for purl in products)
    return _Statement(
        when=str(value.get("timestamp") or when),
        ids=tuple(map(str, ids)),
        packages=tuple(each for each in packages if each[0]),
        harmless=value["status"] in HARMLESS,
    )


def _purls(product: Any) -> list[str]:
    """Of a product: its subcomponents, or itself where it has none."""
    if isinstance(product, str):
        return [product]
    found: list[str] = []
    for each in product.get("subcomponents") or (product,):
        found += [each] if isinstance(each, str) else [each.get("@id") or ""]
        if not isinstance(each, str):
            found.append((each.get("identifiers") or {}).get("purl") or "")
    return found


def _files(paths: Iterable[Path], troubles: list[str]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        try:
            found += sorted(each for each in path.iterdir() if each.suffix == ".json")
        except NotADirectoryError:
            found.append(path)
        except FileNotFoundError:
            continue
        except OSError as exc:
            troubles.append(f"{path}: {exc.strerror}")
    return found[:MAX_DOCUMENTS]
