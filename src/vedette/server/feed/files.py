"""Reads what is imported: OSV documents in zip archives, directories and files, and Debian's tracker."""

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from vedette.errors import Invalid, Unavailable
from vedette.server.feed import debian, osv
from vedette.server.feed.record import DEBIAN, OSV, Record, fits
from vedette.wire.outgoing import timestamp

MAX_DOCUMENT: Final = 16 * 1024 * 1024  # bytes of one OSV document
MAX_FILE: Final = 1024 * 1024 * 1024  # bytes of a file with many
MAX_RECORDS: Final = 5_000_000


@dataclass(slots=True)
class Taken:
    """What the files held."""

    kind: str = ""  # of `record`
    lines: dict[str, list[bytes]] = field(default_factory=dict)  # `Record.dump`, by stream
    documents: set[str] = field(default_factory=set)  # all that were read, also those that say nothing of any stream
    withdrawn: int = 0
    skipped: int = 0  # documents that no device can use, or that the feed cannot hold
    refused: list[str] = field(default_factory=list)  # documents that are none

    @property
    def count(self) -> int:
        return sum(map(len, self.lines.values()))


def read(paths: Iterable[Path]) -> Taken:
    """All files, which are of one format.

    Raises:
        Invalid: a file is of no known format, or they are of several.
        Unavailable: a file cannot be read.
    """
    taken = Taken()
    for path in paths:
        try:
            _read(path, taken)
        except OSError as exc:
            raise Unavailable(f"{path}: {exc.strerror or exc}") from exc
    return taken


def _read(path: Path, taken: Taken) -> None:
    if path.is_dir():
        _documents(((str(each), _content(each, MAX_DOCUMENT)) for each in sorted(path.rglob("*.json"))), path, taken)
        return
    if zipfile.is_zipfile(path):
        _documents(_archived(path), path, taken)
        return
    content = _content(path, MAX_FILE)
    start = content[:256].lstrip()
    if start.startswith(b"["):
        try:
            each = msgspec.json.decode(content, type=list[msgspec.Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise Invalid(f"{path}: {exc}") from exc
        _documents(((f"{path}, document {number}", bytes(raw)) for number, raw in enumerate(each, 1)), path, taken)
    elif start.startswith(b"{") and _is_osv(content):
        _documents([(str(path), content)], path, taken)
    elif start.startswith(b"{"):
        _tracker(path, content, taken)
    else:
        raise Invalid(f"{path}: neither a zip archive nor JSON; give OSV documents, or the JSON of Debian's tracker")


def _is_osv(content: bytes) -> bool:
    if len(content) > MAX_DOCUMENT:
        return False
    try:
        osv.decode(content)
    except Invalid:
        return False
    return True


def _archived(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for each in archive.infolist():
                if each.filename.endswith(".json"):
                    with archive.open(each) as file:  # what it says of its size may be a lie
                        yield f"{path}, {each.filename}", file.read(MAX_DOCUMENT + 1)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as exc:
        raise Invalid(f"{path}: the archive is damaged: {exc}") from exc


def _documents(documents: Iterable[tuple[str, bytes]], path: Path, taken: Taken) -> None:
    _of_kind(taken, OSV, path)
    for where, content in documents:
        try:
            if len(content) > MAX_DOCUMENT:
                raise Invalid(f"it is larger than {MAX_DOCUMENT} bytes")
            document = osv.decode(content)
        except Invalid as exc:
            taken.refused.append(f"{where}: {exc}")
            continue
        taken.documents.add(document.id)
        taken.withdrawn += document.withdrawn is not None
        _keep(osv.records(document), taken)


def _tracker(path: Path, content: bytes, taken: Taken) -> None:
    _of_kind(taken, DEBIAN, path)
    try:
        tracker = debian.decode(content)
    except Invalid as exc:
        raise Invalid(f"{path}: neither an OSV document nor {exc}") from exc
    _keep(debian.records(tracker, timestamp(datetime.fromtimestamp(path.stat().st_mtime, UTC))), taken)


def _of_kind(taken: Taken, kind: str, path: Path) -> None:
    if taken.kind not in {"", kind}:
        raise Invalid(f"{path}: files of different formats are imported one after the other")
    taken.kind = kind


def _keep(records: Iterable[Record], taken: Taken) -> None:
    found = False
    for record in records:
        found = True
        if fits(record):
            taken.lines.setdefault(record.stream, []).append(record.dump())
            if len(taken.lines[record.stream]) % 1000 == 0 and taken.count > MAX_RECORDS:
                raise Invalid(f"more than {MAX_RECORDS} advisories; import fewer at once")
        else:
            taken.skipped += 1
    taken.skipped += not found


def _content(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Invalid(f"{path}: it is larger than {most} bytes")
    return content
