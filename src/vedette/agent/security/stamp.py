"""Has a file changed since? In the daemon too, so small: a look that would find what the last one found is not worth
a process.
"""

import os


def stamp(path: str) -> str:
    """What is another one when the file was written, replaced, or got other rights; "" while there is none to be seen.

    Taken before the file is read, it tells of every change that what was read does not have.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 -- texts, not paths
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
