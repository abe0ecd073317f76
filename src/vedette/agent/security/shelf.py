"""What is kept of security checks beside the store: baselines, which may be large, and what people have accepted.

A baseline is never changed: each has a file of its own, and which one counts is written in the store, in the same
transaction as the alerts of the scan that made it. A crash before that leaves a file that nobody knows, which the next
scan removes; a crash after it leaves the old one, which the next scan removes too. At no moment does the new baseline
count without its alerts, or the alerts without it: nothing is swallowed and nothing told twice.

`<check>.<token>.new` is one of which it is not sure that it counts; the scan that is told so renames it to
`<check>.<token>.baseline`. So when the store is lost, the one that counted is known all the same.
"""

import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from vedette.agent import durable
from vedette.errors import Invalid, TooLarge, Unavailable

COUNTS: Final = ".baseline"
NEW: Final = ".new"
DAMAGED: Final = ".damaged"
ACCEPTED: Final = ".accepted"
MAX_BASELINE: Final = 32 << 20  # bytes of JSON
MAX_ACCEPTED: Final = 10_000
_MAX_ACCEPTED_BYTES: Final = 8 << 20
_MAGIC: Final = b"vedette baseline 1 "


class Shelf:
    """Of one check, in the directory `security` of the state."""

    def __init__(self, state: Path, check: str) -> None:
        self._directory, self._check = state / "security", check

    def tokens(self) -> list[str]:
        """Of the baselines that have counted, the newest last."""
        return [token for _, token in sorted(self._there(COUNTS))]

    def settle(self, token: str) -> None:
        """This one counts: all others go. Raises OSError: it cannot be done; FileNotFoundError: it is not there."""
        if self._path(token, NEW).exists():
            self._path(token, NEW).replace(self._path(token, COUNTS))
            durable.sync_directory(self._directory)
        for suffix in (NEW, COUNTS):
            for _, each in self._there(suffix):
                if each != token:
                    self._path(each, suffix).unlink(missing_ok=True)
        self._remove_halves()

    def _remove_halves(self) -> None:
        """What a power cut, or the end of a child, has left half-written."""
        for each in self._directory.glob(f".{self._check}.*{NEW}.*"):  # no name of a check is a pattern
            each.unlink(missing_ok=True)

    def _there(self, suffix: str) -> list[tuple[int, str]]:
        found = []
        with suppress(FileNotFoundError), os.scandir(self._directory) as entries:
            for entry in entries:
                check, dot, token = entry.name.removesuffix(suffix).rpartition(".")
                if dot and check == self._check and entry.name.endswith(suffix):
                    found.append((entry.stat().st_mtime_ns, token))
        return found

    def peek(self, token: str) -> Any:
        """The baseline of this token, or without one the newest; changes nothing. None: there is none.

        Raises:
            Unavailable: it cannot be read.
        """
        token = token or next(reversed(self.tokens()), "")
        if not token:
            return None
        try:
            return self._read(self._path(token, NEW if self._path(token, NEW).exists() else COUNTS))
        except (OSError, ValueError, ArithmeticError, Invalid, zlib.error) as exc:
            raise Unavailable(f"the baseline of {self._check} cannot be read: {exc}") from exc

    def load(self, token: str) -> Any:
        """The baseline of this token, once it is settled, as `save` was given it.

        Raises:
            FileNotFoundError: it is gone.
            Invalid: it is damaged.
            OSError: it cannot be read.
        """
        return self._read(self._path(token, COUNTS))

    def _read(self, path: Path) -> Any:
        content = path.read_bytes()
        head, _, packed = content.partition(b"\n")
        if head != _head(packed):
            raise Invalid("its content is not what was written")
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(packed, MAX_BASELINE)
        if not unpacker.eof:
            raise Invalid(f"it is larger than {MAX_BASELINE} bytes")
        return json.loads(text)

    def save(self, baseline: Any) -> str:
        """Keep a baseline beside those that are there; returns its token.

        Raises:
            TooLarge: it is larger than MAX_BASELINE.
            OSError: it cannot be written.
        """
        text = json.dumps(baseline, separators=(",", ":"), sort_keys=True).encode()
        if len(text) > MAX_BASELINE:
            raise TooLarge(f"the baseline would take more than {MAX_BASELINE >> 20} MiB; watch less")
        token = os.urandom(8).hex()
        packed = zlib.compress(text, 1)
        self._make_directory()
        durable.replace(self._path(token, NEW), _head(packed) + b"\n" + packed, 0o600)
        return token

    def set_aside(self, token: str) -> Path:
        """Put a damaged baseline where somebody may look at it; one is kept."""
        aside = self._directory / f"{self._check}{DAMAGED}"
        self._path(token, COUNTS).replace(aside)
        return aside

    @property
    def accepted_path(self) -> Path:
        """Where the accepted findings are; a change is one rename."""
        return self._directory / f"{self._check}{ACCEPTED}"

    def accepted(self) -> dict[str, str]:
        """What people have accepted: fingerprints by keys. What cannot be read as such accepts nothing."""
        found = durable.read_json(self.accepted_path, _MAX_ACCEPTED_BYTES)
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

    def accept(self, findings: dict[str, str]) -> None:
        """These and no others are accepted. Raises TooLarge, OSError."""
        if len(findings) > MAX_ACCEPTED:
            raise TooLarge(f"at most {MAX_ACCEPTED} findings of a check can be accepted")
        self._make_directory()
        durable.write_json(self.accepted_path, findings)

    def clear(self) -> None:
        """The check is gone: whatever is kept of it goes."""
        with suppress(OSError):
            for suffix in (NEW, COUNTS):
                for _, token in self._there(suffix):
                    self._path(token, suffix).unlink(missing_ok=True)
            self._remove_halves()
            for suffix in (ACCEPTED, DAMAGED):
                (self._directory / f"{self._check}{suffix}").unlink(missing_ok=True)

    def _path(self, token: str, suffix: str) -> Path:
        return self._directory / f"{self._check}.{token}{suffix}"

    def _make_directory(self) -> None:
        self._directory.parent.resolve().mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory.mkdir(exist_ok=True, mode=0o700)


def _head(packed: bytes) -> bytes:
    """Against damage by a disk; who may change files here could change the monitor too."""
    return _MAGIC + f"{zlib.crc32(packed):08x} {len(packed)}".encode()
