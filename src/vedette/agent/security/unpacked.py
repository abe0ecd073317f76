"""A compressed log, read like a plain one. Imported when there is one: mostly there is not."""

import gzip
import zlib
from io import FileIO


class Unpacked(gzip.GzipFile):
    """Closes what it reads from. Damage is an EOFError, wherever it is."""

    def __init__(self, packed: FileIO) -> None:
        super().__init__(fileobj=packed)
        self._packed = packed

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size)
        except (zlib.error, gzip.BadGzipFile) as exc:
            raise EOFError(str(exc)) from exc

    def close(self) -> None:
        super().close()
        self._packed.close()
