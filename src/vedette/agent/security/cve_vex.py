"""What does not affect this device, as OpenVEX documents say it. Source: the OpenVEX specification 0.2.0.

A statement names vulnerabilities and products. Products are packages by their purl, directly or as the subcomponents
of something larger (an image, the device). Of several statements about the same the latest counts.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
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
        statements: list[tuple[str, Any]] = []
        for path in _files(paths, self.troubles):
            try:
                statements += _statements(path)
            except OSError as exc:
                self.troubles.append(f"{path}: {exc.strerror}")
            except Invalid as exc:
                self.troubles.append(f"{path}: {exc}")
        # By vulnerability and package; of a package, by version ("": all).
        self._harmless: dict[tuple[str, str], dict[str, bool]] = {}
        for _, statement in sorted(statements, key=lambda each: each[0]):
            self._take(statement)

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

    def _take(self, statement: Any) -> None:
        vulnerability = statement.get("vulnerability")
        ids = [vulnerability] if isinstance(vulnerability, str) else _texts(vulnerability, "name", "aliases")
        harmless = statement["status"] in HARMLESS
        for product in statement.get("products") or ():
            for purl in _purls(product):
                name, version = package(purl)
                for each in ids if name else ():
                    said = self._harmless.setdefault((each, name), {})
                    if not version:
                        said.clear()  # what is said of all versions is said of each
                    said[version] = harmless


def package(purl: str) -> tuple[str, str]:
    """Name and version of the package that a purl names; without a version "". Source: the purl specification."""
    if not purl.startswith("pkg:"):
        return "", ""
    path, _, version = purl.partition("#")[0].partition("?")[0].rpartition("@") if "@" in purl else (purl, "", "")
    return unquote(path.rstrip("/").rpartition("/")[2]), unquote(version)


def _purls(product: Any) -> list[str]:
    """Of a product: its subcomponents, or itself where it has none."""
    if isinstance(product, str):
        return [product]
    parts = product.get("subcomponents")
    found = []
    for each in parts or (product,):
        if isinstance(each, str):
            found.append(each)
        else:
            identifiers = each.get("identifiers") or {}
            found += [each.get("@id") or "", identifiers.get("purl") or ""]
    return found


def _statements(path: Path) -> list[tuple[str, Any]]:
    """The statements of a document, each with its time. Raises OSError, Invalid."""
    with path.open("rb") as file:
        text = file.read(MAX_DOCUMENT + 1)
    if len(text) > MAX_DOCUMENT:
        raise Invalid(f"it is larger than {MAX_DOCUMENT} bytes")
    try:
        document = json.loads(text)
        if "openvex" not in document["@context"]:
            raise Invalid("it is no OpenVEX document")
        when = str(document.get("timestamp") or "")
        found = []
        for each in document["statements"]:
            if each["status"] not in HARMLESS | _OTHER:
                raise Invalid(f"a statement has the unknown status {each['status']!r}")
            _purls_of = [_purls(product) for product in each.get("products") or ()]
            found.append((str(each.get("timestamp") or when), each))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise Invalid("it is no OpenVEX document") from exc
    return found


def _texts(value: Any, *keys: str) -> list[str]:
    found: list[str] = []
    for key in keys:
        each = value.get(key) if isinstance(value, dict) else None
        found += [each] if isinstance(each, str) else [text for text in each or () if isinstance(text, str)]
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
