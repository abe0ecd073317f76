"""`python -m vedette.agent.configure [--root DIR]`: applies what is to be applied, and ends. The daemon starts it."""

import vedette.agent.lean  # noqa: F401  # isort: skip  # before all that it makes quicker to import

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vedette.agent import durable, log
from vedette.agent import settings as settings_file
from vedette.agent.configure import deployment, programs
from vedette.agent.configure.apply import Applier, Outcome
from vedette.agent.configure.deployment import ABORTED, FAILURE, INSTALL, REBOOT, ROLLBACK, SUCCESS, TELL, Deployment
from vedette.agent.paths import Paths
from vedette.agent.redactrules import UserRules
from vedette.agent.settings import Settings
from vedette.agent.store import boot_id
from vedette.clock import SystemClock
from vedette.errors import VedetteError

USAGE = "usage: python -m vedette.agent.configure [--root DIR]"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and (len(arguments) != 2 or arguments[0] != "--root"):
        print(USAGE, file=sys.stderr)
        return 2
    os.environ.pop("JOURNAL_STREAM", None)  # our standard error is the daemon's pipe, not the journal
    paths, settings = settings_file.load(Path(arguments[1]) if arguments else None)
    log.configure(level=settings.config_log_level)
    try:
        _work(paths, settings)
    except (VedetteError, OSError) as trouble:
        log.error(f"the configuration cannot be applied now: {trouble}")
        return 1
    return 0


def _work(paths: Paths, settings: Settings) -> None:
    clock = SystemClock()
    limit_s = float(settings.config_apply_time_limit)
    applier = Applier(paths, clock, with_programs=True, limit_s=limit_s)
    found = deployment.load(paths)
    if found is not None and found.phase == INSTALL:
        log.info(f"the configuration of {found.artifact} is applied")
        _installed(paths, found, applier.apply(found.values, found.before))
    elif found is not None and found.phase == ROLLBACK:
        log.info(f"{found.artifact} was called off: what was before is brought back")
        _told(paths, found, ABORTED, applier.call_off(found.values, found.before))
    elif found is not None and found.phase == REBOOT and found.asked and found.boot == boot_id():
        if settings.config_reboot_command:
            log.info(f"{found.artifact} takes effect with the next boot: {settings.config_reboot_command}")
            programs.run_shell(paths, settings.config_reboot_command, limit_s, lambda _, text: log.warn(text))
    else:
        applier.recover()
        if (
            deployment.are_ours(settings.config_deployments, paths)
            and durable.read_json(paths.applied_in, 1024) != boot_id()
        ):
            applier.run_again()


def _installed(paths: Paths, found: Deployment, outcome: Outcome) -> None:
    if outcome.ok and outcome.reboot:
        waiting = replace(found, phase=REBOOT, boot=boot_id(), log=_clean(paths, outcome))
        deployment.note(paths, waiting, deployment.WAITING, SystemClock().now())
        deployment.save(paths, waiting)
        log.info(f"{found.artifact} is applied and takes effect with the next boot")
        return
    _told(paths, found, SUCCESS if outcome.ok else FAILURE, outcome)


def _told(paths: Paths, found: Deployment, result: str, outcome: Outcome) -> None:
    """It has ended; the server is to hear of it."""
    error = UserRules(paths.redact_rules).text(outcome.error)
    done = replace(
        found, phase=TELL, result=result, error=error, consistent=outcome.consistent, log=_clean(paths, outcome)
    )
    deployment.save(paths, done)
    if result == SUCCESS:
        log.info(f"{found.artifact} is applied")
    elif error:
        log.error(f"{found.artifact} cannot be applied: {error}")
    if not outcome.consistent:
        log.error(f"{found.artifact}: not everything could be brought back, see the log of the deployment")


def _clean(paths: Paths, outcome: Outcome) -> tuple[tuple[str, str, str], ...]:
    """The log without secrets: it goes to the server."""
    rules = UserRules(paths.redact_rules)
    return tuple((at, level, rules.text(text)) for at, level, text in outcome.log)


if __name__ == "__main__":
    sys.exit(main())
