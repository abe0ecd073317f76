"""Files and links that change as a whole: after a power cut there is the old one or the new one, never a half."""

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any


def replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file, or write it anew; one that is there keeps its permissions. Its directory must be there.

    Raises:
        OSError: nothing has changed.
    """
    temporary = _temporary(path)
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            with contextlib.suppress(FileNotFoundError):  # a new one: as the umask has it
                os.fchmod(fd, stat.S_IMODE(path.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(fd)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def link(path: Path, target: Path) -> None:
    """Make a symbolic link, or make it lead somewhere else."""
    temporary = _temporary(path)
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)
    sync_directory(path.parent)


def remove(path: Path) -> None:
    """Remove a file or a link; it may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make names durable, so that a power cut cannot bring back what was removed."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: Path) -> None:
    """Make a directory that only its owner enters, when it is missing; as durable as what will be written into it."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync_directory(path.parent)


def write_json(path: Path, value: Any) -> None:
    """A file that only its owner reads, in a directory that is made when missing."""
    make_directory(path.parent)
    replace(path, json.dumps(value, separators=(",", ":")).encode(), 0o600)


def read_json(path: Path, max_bytes: int) -> Any:
    """What `write_json` wrote; None where there is nothing, or nothing that can be read as JSON."""
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
        return json.loads(content) if len(content) <= max_bytes else None
    except (OSError, ValueError, RecursionError):
        return None


def _temporary(path: Path) -> Path:
    """Beside `path`, hidden, ours alone while this process lives."""
    return path.with_name(f".{path.name}.{os.getpid()}")
