"""`vedette feed`: known vulnerabilities come in from files, on the machine of the server, without the internet."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vedette.errors import NotFound, Unavailable
from vedette.server.feed import service
from vedette.server.feed.files import Taken, read
from vedette.server.feed.service import Change
from vedette.server.services import open_services
from vedette.server.settings import Settings
from vedette.wire.outgoing import timestamp

DEFAULT_NAMES: Final = {"osv": "osv", "debian": "debian-tracker"}
MAX_REFUSED: Final = 10  # documents that are named

Make = Callable[[Any, str, str, Any], argparse.ArgumentParser]


def add_to(commands: Any, make: Make) -> list[argparse.ArgumentParser]:
    """Describe the commands; `make` makes a parser of commands, a name, a text and what runs. Those with settings."""
    actions = commands.add_parser("feed", help="known vulnerabilities", allow_abbrev=False).add_subparsers(
        metavar="ACTION", required=True
    )
    taken = make(
        actions, "import", "take in advisories: OSV documents, or the JSON of Debian's security tracker", _import
    )
    taken.add_argument(
        "files", metavar="FILE", nargs="+", type=Path, help="OSV: .zip, .json or a directory; Debian's tracker: .json"
    )
    taken.add_argument(
        "--name",
        metavar="NAME",
        help="what they are known by; in the place of what was imported under it before for the same ecosystems"
        " (osv, or debian-tracker)",
    )
    taken.add_argument("--add", action="store_true", help="keep what came before, unless it comes again")
    listed = make(actions, "list", "print what was imported", _list)
    status = make(actions, "status", "print what devices can fetch, and how old it is", _status)
    removed = make(actions, "remove", "forget what was imported under a name", _remove)
    removed.add_argument("name", metavar="NAME")
    removed.add_argument("stream", metavar="STREAM", nargs="?", help='only of this stream, as "Debian:12"')
    exported = make(actions, "export", "write a stream into a file, for a device without a server", _export)
    exported.add_argument("stream", metavar="STREAM", help='as "Debian:12"')
    exported.add_argument(
        "directory", metavar="DIRECTORY", type=Path, help="where the device finds it (feed=DIRECTORY)"
    )
    for each in (taken, listed, status):
        each.add_argument("--json", action="store_true", help="print JSON")
    return [taken, listed, status, removed, exported]


async def _import(settings: Settings, options: argparse.Namespace) -> None:
    taken = await asyncio.to_thread(read, options.files)
    _warn(taken)
    async with open_services(_existing(settings)) as services:
        name = options.name or DEFAULT_NAMES[taken.kind]
        changes = await service.take_in(services, name, taken, add=options.add)
    if options.json:
        counts = {"withdrawn": taken.withdrawn, "skipped": taken.skipped, "refused": len(taken.refused)}
        print(json.dumps({"name": name, "streams": [_change(each) for each in changes], **counts}))
        return
    _print_changes(changes)
    print(
        f"imported as {name}: {taken.count:,} advisories; left out: {taken.withdrawn:,} withdrawn,"
        f" {taken.skipped:,} that no device can use, {len(taken.refused):,} that could not be read"
    )


def _warn(taken: Taken) -> None:
    for each in taken.refused[:MAX_REFUSED]:
        print(f"vedette: left out: {each}", file=sys.stderr)
    if len(taken.refused) > MAX_REFUSED:
        print(f"vedette: left out: {len(taken.refused) - MAX_REFUSED:,} more documents", file=sys.stderr)


async def _list(settings: Settings, options: argparse.Namespace) -> None:
    async with open_services(_existing(settings)) as services:
        found = await service.sources(services)
    if options.json:
        rows = [
            {
                "name": each.name,
                "stream": each.stream,
                "kind": each.kind,
                "imported": timestamp(each.imported_at),
                "advisories": each.advisories,
            }
            for each in found
        ]
        print(json.dumps(rows))
        return
    for each in found:
        print(f"{each.name:16}  {each.stream:24}  {each.advisories:>9,}  {timestamp(each.imported_at)[:16]}Z")


async def _status(settings: Settings, options: argparse.Namespace) -> None:
    async with open_services(_existing(settings)) as services:
        found, now = await service.streams(services), services.clock.now()
    if options.json:
        print(
            json.dumps(
                [
                    {
                        "stream": each.head.stream,
                        "imported": each.head.imported,
                        "newest": each.head.newest,
                        "advisories": each.head.advisories,
                        "blocks": each.blocks,
                        "size": each.size,
                    }
                    for each in found
                ]
            )
        )
        return
    if not found:
        print("nothing was imported yet: vedette feed import FILE")
    for each in found:
        head, age = each.head, _age(each.head.imported, now)
        print(f"{head.stream:24}  {head.advisories:>9,} advisories  {_size(each.size):>9}  imported {age}")


async def _remove(settings: Settings, options: argparse.Namespace) -> None:
    async with open_services(_existing(settings)) as services:
        changes = await service.remove(services, options.name, options.stream)
    _print_changes(changes)
    print(f"removed {options.name}" + (f" of {options.stream}" if options.stream else ""))


async def _export(settings: Settings, options: argparse.Namespace) -> None:
    async with open_services(_existing(settings)) as services:
        content = await service.exported(services, options.stream)
    target = options.directory / f"{options.stream.replace(' ', '_')}.feed"
    try:
        target.write_bytes(content)
    except OSError as exc:
        raise Unavailable(f"{target}: {exc.strerror}") from exc
    print(f"{target}: {_size(len(content))}")


def _print_changes(changes: Sequence[Change]) -> None:
    for each in changes:
        print(
            f"{each.stream:24}  {each.advisories:>9,} advisories  {_size(each.size):>9}"
            f"  devices fetch {each.changed:,} of {each.blocks:,} blocks ({_size(each.fetched)})"
        )


def _change(change: Change) -> dict[str, object]:
    return {name: getattr(change, name) for name in Change.__slots__}


def _size(size: int) -> str:
    return f"{size / 1024:,.0f} KiB" if size < 2**20 else f"{size / 2**20:,.1f} MiB"


def _age(text: str, now: datetime) -> str:
    hours = int((now - datetime.fromisoformat(text).astimezone(UTC)).total_seconds() // 3600)
    return f"{hours} h ago" if hours < 48 else f"{hours // 24} days ago"


def _existing(settings: Settings) -> Settings:
    """`settings`, whose data directory must be there, lest a mistyped --data makes a second, empty server."""
    if not settings.database and not settings.data.is_dir():
        raise NotFound(f"data directory {settings.data}: there is none; start the server first or name it with --data")
    return settings
