"""How a child of ours is started so that it starts quickly."""

import os
import sys
from collections.abc import Sequence
from typing import Final

_BOOT: Final = """\
import sys
sys.path[:] = sys.argv.pop(1).split({separator!r})
from vedette.agent import lean
for name in {later!r}:
    lean.import_later(name)
from {package}.__main__ import main
sys.exit(main())
"""


def arguments(package: str, *, later: Sequence[str] = ()) -> list[str]:
    """What the interpreter is told, to run `package.__main__`; what `main` is to find in `sys.argv` goes behind.

    It leaves out `site` and `runpy`, a tenth of a start, and looks for modules exactly where the daemon does, wherever
    the environment or the working directory would lead it. `later` names modules that only come along with others, and
    are imported once something of them is used.
    """
    code = _BOOT.format(separator=os.pathsep, later=tuple(later), package=package)
    return ["-I", "-S", "-c", code, os.pathsep.join(sys.path)]
