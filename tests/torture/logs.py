"""A directory of logs whose every state can be brought back: names, inode numbers, times and bytes."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class _Kept:
    name: str
    inode: int
    written_ns: int
    content: bytes


State = tuple[_Kept, ...]


class Logs:
    """`pool` holds on to each file by a second name, so that its inode number is never given to another."""

    def __init__(self, directory: Path, pool: Path) -> None:
        self.directory, self.pool = directory, pool
        directory.mkdir()
        pool.mkdir()

    def keep(self) -> State:
        """How it is now."""
        out = []
        for path in sorted(self.directory.iterdir()):
            status = path.stat()
            second = self.pool / str(status.st_ino)
            if not second.exists():
                os.link(path, second)
            out.append(_Kept(path.name, status.st_ino, status.st_mtime_ns, path.read_bytes()))
        return tuple(out)

    def restore(self, state: State) -> None:
        """As it was then."""
        for path in self.directory.iterdir():
            path.unlink()
        for kept in state:
            second = self.pool / str(kept.inode)
            second.write_bytes(kept.content)  # in place: the same inode
            os.utime(second, ns=(kept.written_ns, kept.written_ns))
            os.link(second, self.directory / kept.name)
