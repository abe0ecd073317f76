"""`python -m vedette.agent.match.compiler REQUEST`: compile a set of patterns, and be gone with the memory it took."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from vedette.agent.match import databases
from vedette.agent.match.probe import Probe


def write_request(path: Path, patterns: Sequence[str], sample: bytes, avoid: frozenset[Probe]) -> None:
    """What `main` is to compile, and some of the log. Raises OSError."""
    head = {"patterns": list(patterns), "avoid": [[each.text.hex(), each.caseless, each.outline] for each in avoid]}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(json.dumps(head).encode() + b"\n" + sample)


def main(request: Path) -> None:
    """Compile into the directory of the request, and remove that."""
    try:
        head, _, sample = request.read_bytes().partition(b"\n")
        todo = json.loads(head)
        avoid = frozenset(Probe(bytes.fromhex(text), caseless, outline) for text, caseless, outline in todo["avoid"])
        databases.compile_(request.parent, todo["patterns"], sample, avoid)
    finally:
        request.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
