"""Where measurements put their files."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vedette.demo.stage import Stage

MEMORY = Path("/dev/shm")
ROOM_MB = 3000


@contextmanager
def some_place(stage: Stage, *, memory: bool = False) -> Iterator[Path]:
    """A directory that is gone afterwards; in memory where that is wanted and there is room."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_MB * 1e6
    place = Path(tempfile.mkdtemp(prefix="vedette-bench-", dir=MEMORY if memory and roomy else stage.path))
    try:
        yield place
    finally:
        shutil.rmtree(place)


def log_files(place: Path, count: int) -> list[Path]:
    """Empty files in a directory of their own."""
    directory = fresh(place)
    files = [directory / f"{number:04}.log" for number in range(count)]
    for path in files:
        path.touch()
    return files


def fresh(place: Path) -> Path:
    """A directory of its own for one program."""
    return Path(tempfile.mkdtemp(dir=place))
