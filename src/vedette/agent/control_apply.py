"""What `mender-monitorctl apply-config` does; and what it means for people that a check is the server's."""

import os
import sys
from pathlib import Path

from vedette.agent.configure import apply, plan, programs
from vedette.agent.configure.apply import Applier
from vedette.agent.paths import Paths
from vedette.clock import SystemClock
from vedette.errors import Conflict, NotFound, Unavailable


def run(paths: Paths, source: str, *, dry_run: bool) -> str:
    """Make the checks of this device as the configuration in a file says; what there would be to do when `dry_run`.

    Raises:
        Invalid: it is no configuration, or there is something wrong in it.
        Conflict: a check of one of its names was made by hand.
        NotFound: there is no such file.
        Unavailable: it could not be done, and everything is as before.
    """
    if os.environ.get(programs.APPLYING):  # the agent is doing it, and has us run besides
        return ""
    values = plan.parse(_content(source))
    applier = Applier(paths, SystemClock(), with_programs=False)
    if dry_run:
        return "".join(f"{line}\n" for line in applier.changes(values))
    outcome = applier.apply(values)
    if not outcome.ok:
        raise Unavailable(outcome.error)
    return ""


def refuse_servers(paths: Paths, subsystem: str, name: str) -> None:
    """Raises Conflict for a check that the server's configuration has made: what is done to it here would not last."""
    stem = f"{subsystem}_{name}"
    if stem in apply.from_server(paths):
        raise Conflict(
            f"the check {stem} comes from the server: change it there; 'mender-monitorctl disable {subsystem} {name}'"
            " switches it off here until the server's next configuration"
        )


def _content(source: str) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read(plan.MAX_BYTES + 1)
    try:
        with Path(os.fsdecode(source.encode("utf-8", "surrogateescape"))).open("rb") as file:
            return file.read(plan.MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {source}") from None
