"""Runs the device owner's programs that bring a configuration to bear: those in `apply-device-config.d/`, by name.

Each is run with the path of a file as its only argument: a JSON object of texts. Exit code 0 is good, 20 is good and
takes effect with the next boot, anything else is a failure; the others are run all the same. What a program writes goes
into the log of the deployment. Source: the compatible system's documentation (docs/compatibility.md).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vedette.agent import host
from vedette.agent.paths import ROOT_VARIABLE, Paths
from vedette.model import durations

NEEDS_REBOOT: Final = 20
APPLYING: Final = "VEDETTE_APPLIES_CONFIGURATION"
"""In the environment of these programs: `mender-monitorctl apply-config` among them need not do what is being done."""
KEEP_BYTES: Final = 32 * 1024  # of what one program wrote
MAX_LINES: Final = 100
MAX_LINE: Final = 1000
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # where we were given none
_OURS: Final = frozenset({"JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})

Say = Callable[[str, str], None]
"""Takes a level ("info", "error") and a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How it went."""

    reboot: bool = False
    failed: tuple[str, ...] = ()  # a sentence for each program that did


def there(paths: Paths) -> list[Path]:
    """The programs, in the order in which they are run."""
    try:
        found = sorted(paths.apply_programs.iterdir())
    except OSError:
        return []
    return [each for each in found if each.is_file() and not each.name.startswith(".")]


def run_all(paths: Paths, configuration: Path, limit_s: float, say: Say) -> Ran:
    """Run every program with `configuration`; each may take `limit_s`."""
    reboot, failed = False, []
    for program in there(paths):
        code, trouble = _run(paths, [str(program), str(configuration)], limit_s, say)
        if code == NEEDS_REBOOT:
            reboot = True
            say("info", f"{program.name} needs a reboot")
        elif trouble:
            failed.append(trouble)
            say("error", trouble)
    return Ran(reboot=reboot, failed=tuple(failed))


def run_shell(paths: Paths, command: str, limit_s: float, say: Say) -> bool:
    """Run a line of shell; False: it failed, which was said."""
    _, trouble = _run(paths, ["/bin/sh", "-c", command], limit_s, say)
    if trouble:
        say("error", f"{command!r}: {trouble}")
    return not trouble


def _run(paths: Paths, argv: list[str], limit_s: float, say: Say) -> tuple[int | None, str]:
    """The exit code, and what was wrong with it."""
    name = Path(argv[0]).name
    environment = {"PATH": PATH, **{key: value for key, value in os.environ.items() if key not in _OURS}, APPLYING: "1"}
    if paths.root is not None:
        environment[ROOT_VARIABLE] = str(paths.root)
    try:
        code, output = host.finish(
            argv,
            limit_s=limit_s,
            keep_bytes=KEEP_BYTES,
            environment=environment,
            children_file=paths.apply_children,
        )
    except OSError as exc:
        return None, f"{name} cannot be started: {exc.strerror}"
    for line in output.decode(errors="replace").splitlines()[-MAX_LINES:]:
        say("info", f"{name}: {line[:MAX_LINE]}")
    if code is None:
        return None, f"{name} took longer than {durations.show(int(limit_s))} and was ended"
    if code < 0:
        return code, f"{name} was ended by signal {-code}"
    return code, f"{name} failed with exit code {code}" if code else ""
