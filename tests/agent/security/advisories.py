"""Advisories for tests, and what the server makes of them."""

import json
from pathlib import Path

from vedette.agent import feedfile
from vedette.model.feed import bucket, load_index, pack, prefix
from vedette.server.feed.compiling import Compiled, compiled
from vedette.server.feed.files import read as read_advisories
from vedette.server.feed.record import load_record


def compile_all(files: Path, imported: str = "2026-03-24T00:00:00Z") -> dict[str, Compiled]:
    """What the server makes of the OSV documents in a directory."""
    taken = read_advisories([files])
    assert not taken.refused
    return {
        stream: compiled(stream, ((taken.kind, load_record(stream, line)) for line in lines), imported)
        for stream, lines in taken.lines.items()
    }


def deliver(state: Path, made: Compiled, without: str = "") -> Path:
    """The feed as the uplink puts it below the state of a device, perhaps without the block that a package is in."""
    path = feedfile.path(feedfile.directory(state), made.head.stream)
    path.parent.mkdir(parents=True, exist_ok=True)
    missing = bucket(prefix(without), made.head.buckets) if without else -1
    gone = {each.hash for each in load_index(made.index) if each.bucket == missing}
    blocks = {hash: content for hash, content in made.blocks.items() if hash not in gone}
    path.write_bytes(b"".join(pack(made.head.dump(), made.index, blocks)))
    return path


def document(number: int, package: str, fixed: str = "") -> str:
    events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
    return json.dumps(
        {
            "id": f"CVE-2026-{number}",
            "affected": [
                {
                    "package": {"ecosystem": "Debian:12", "name": package},
                    "ranges": [{"type": "ECOSYSTEM", "events": events}],
                }
            ],
        }
    )


def installed(**packages: str) -> str:
    return "\n".join(
        f"Package: {name.replace('_', '-')}\nStatus: install ok installed\nVersion: {version}\n"
        for name, version in packages.items()
    )
