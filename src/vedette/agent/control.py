"""`mender-monitorctl`: makes, switches and shows the checks of this device.

Silent when all is well. Exit status 1: refused, one sentence on standard error; 2: called wrongly.
Arguments are read by hand, not by a library: a pattern may begin with a dash, and everything behind a check's name
is taken as written.
"""

import vedette.agent.lean  # noqa: F401  # isort: skip  # before all that it makes quicker to import

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vedette import __version__
from vedette.agent import security, settings
from vedette.agent.paths import ROOT_VARIABLE, Paths
from vedette.errors import VedetteError

PROGRAM = "mender-monitorctl"


class _Usage(Exception):
    """Called wrongly; the message says how to call it."""


@dataclass(frozen=True, slots=True)
class _Command:
    """What can be said behind the program's name."""

    run: Callable[[Paths, list[str]], int | None]  # returns the exit status, None: 0
    arguments: str
    summary: str
    details: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """The program; `argv` without its name. Returns the exit status."""
    arguments = [_verbatim(each) for each in (sys.argv[1:] if argv is None else argv)]
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no reason to fail
    status: int | None = 0
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except _Usage as wrong:
        return _refuse(str(wrong), 2)
    except VedetteError as refused:
        return _refuse(str(refused), 1)
    except BrokenPipeError:  # `... list | head`: whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        hint = "; run this as root" if isinstance(error, PermissionError) and os.geteuid() else ""
        return _refuse(what + hint, 1)
    return status or 0


def _run(arguments: list[str]) -> int | None:
    root: Path | None = None
    while arguments and arguments[0].startswith("-"):
        option, equals, value = arguments.pop(0).partition("=")
        if option == "--root":
            if not equals:
                value = arguments.pop(0) if arguments else ""
            if not value:
                raise _Usage("--root needs a directory: --root DIR")
            root = Path(os.fsdecode(value.encode("utf-8", "surrogateescape")))
        elif option in ("--version", "-V") and not equals:
            arguments.insert(0, "version")
        elif option in ("--help", "-h") and not equals:
            arguments.insert(0, "help")
        else:
            raise _Usage(f"there is no option {option!r}; '{PROGRAM} help' shows what there is")
    if not arguments:
        raise _Usage(f"what shall be done? '{PROGRAM} help' shows what there is")
    name, *rest = arguments
    if name == "library" and len(rest) == 1:  # for the shell library, not for people
        from vedette.agent import library

        library.run(settings.load(root)[0], rest[0])
        return None
    if name not in COMMANDS:
        raise _Usage(f"there is no command {name!r}, only {', '.join(COMMANDS)}")
    if rest[:1] in (["--help"], ["-h"]):
        name, rest = "help", [name]
    return COMMANDS[name].run(settings.load(root)[0], rest)


def _create(paths: Paths, arguments: list[str]) -> None:
    from vedette.agent import checkfiles, control_subsystems

    kind, name, *rest = _take(arguments, "create", at_least=2)
    subsystem = control_subsystems.find(kind)
    kind_of_file, name = control_subsystems.place(kind, name)
    checkfiles.good_name(kind_of_file, name)
    if not subsystem.takes(rest):
        raise _Usage(f"{PROGRAM} create {kind} {subsystem.arguments}")
    _refuse_servers(paths, kind_of_file, name)
    assignments = subsystem.assignments(name, rest)
    control_subsystems.validate(checkfiles.draft(paths, kind_of_file, name, assignments))
    checkfiles.create(paths, kind_of_file, name, assignments)


def _enable(paths: Paths, arguments: list[str]) -> None:
    from vedette.agent import checkfiles, control_subsystems

    kind, name = _take(arguments, "enable", at_least=2, at_most=2)
    kind, name = control_subsystems.place(kind, name)
    control_subsystems.validate(checkfiles.find(paths, kind, name))
    checkfiles.enable(paths, kind, name)


def _disable(paths: Paths, arguments: list[str]) -> None:
    from vedette.agent import checkfiles, control_subsystems

    subsystem, name = control_subsystems.place(*_take(arguments, "disable", at_least=2, at_most=2))
    checkfiles.disable(paths, subsystem, name)


def _delete(paths: Paths, arguments: list[str]) -> None:
    from vedette.agent import checkfiles, control_subsystems

    subsystem, name, *_ = _take(arguments, "delete", at_least=2)  # scripts repeat the arguments of create
    subsystem, name = control_subsystems.place(subsystem, name)
    _refuse_servers(paths, subsystem, name)
    checkfiles.delete(paths, subsystem, name)


def _refuse_servers(paths: Paths, subsystem: str, name: str) -> None:
    if os.access(paths.configuration, os.R_OK):  # whoever may not look there may hardly write checks
        from vedette.agent import control_apply

        control_apply.refuse_servers(paths, subsystem, name)


def _apply_config(paths: Paths, arguments: list[str]) -> None:
    from vedette.agent import control_apply

    dry_run = "--dry-run" in arguments
    (source,) = _take([each for each in arguments if each != "--dry-run"], "apply-config", at_least=1, at_most=1)
    print(control_apply.run(paths, source, dry_run=dry_run), end="")


def _list(paths: Paths, arguments: list[str]) -> None:
    from vedette.agent import control_show

    print(control_show.checks(paths, as_json=_wants_json(arguments, "list")), end="")


def _status(paths: Paths, arguments: list[str]) -> None:
    from vedette.agent import control_show

    print(control_show.status(paths, as_json=_wants_json(arguments, "status")), end="")


def _test(paths: Paths, arguments: list[str]) -> None:
    from vedette.agent import control_test

    try:
        print(control_test.run(paths, arguments), end="")
    except control_test.Wrong as wrong:
        raise _Usage(f"{PROGRAM} test {wrong}") from None


def _scan(paths: Paths, arguments: list[str]) -> int:
    from vedette.agent import control_security

    try:
        text, found = control_security.scan(paths, arguments)
    except control_security.Wrong as wrong:
        raise _Usage(f"{PROGRAM} scan {wrong}") from None
    except (VedetteError, OSError) as trouble:  # 1 means that something was found
        return _refuse(str(trouble), 2)
    print(text, end="")
    return int(found)


def _accept(paths: Paths, arguments: list[str]) -> None:
    from vedette.agent import control_security

    try:
        print(control_security.accept(paths, arguments), end="")
    except control_security.Wrong as wrong:
        raise _Usage(f"{PROGRAM} accept {wrong}") from None


def _import(paths: Paths, arguments: list[str]) -> int:
    from vedette.agent import control_import

    try:
        text, made = control_import.run(paths, arguments, _refuse_servers)
    except control_import.Wrong as wrong:
        raise _Usage(f"{PROGRAM} import {wrong}") from None
    print(text, end="")
    return 0 if made else 1


def _help(_paths: Paths, arguments: list[str]) -> None:
    if not arguments:
        print(f"{PROGRAM} - the checks of this device\n")
        for name, command in COMMANDS.items():
            print(f"  {f'{name} {command.arguments}'.rstrip():52} {command.summary}")
        print(
            f"\nBefore the command: --root DIR (or {ROOT_VARIABLE}) looks below DIR instead of /."
            f"\n'{PROGRAM} help COMMAND' says more."
        )
        return
    if arguments[0] in security.KINDS:
        from vedette.agent import control_security

        print(control_security.help_of(arguments[0]), end="")
        return
    if arguments[0] not in COMMANDS:
        raise _Usage(f"there is no command {arguments[0]!r}, only {', '.join(COMMANDS)}")
    command = COMMANDS[arguments[0]]
    print(
        f"{PROGRAM} {arguments[0]} {command.arguments}".rstrip() + f"\n\n{command.summary}\n{command.details}", end=""
    )


def _version(_paths: Paths, _arguments: list[str]) -> None:
    print(f"{PROGRAM} (Vedette) {__version__}")


COMMANDS: Final[Mapping[str, _Command]] = {
    "create": _Command(
        _create,
        "log CHECK PATTERN FILE|@COMMAND [EXPIRATION] [VARIABLE=VALUE ...]",
        "make a check, or make it anew",
        """
CHECK       a name of your choice: letters, digits and . _ @ : -
PATTERN     a Perl-compatible regular expression, searched in every line
FILE        an absolute path; the file may appear later. With * ? [...] in it: all
            files of such names
@COMMAND    a shell command whose output is read line by line while the check is enabled
EXPIRATION  how long after the last match the alert is called off: seconds, or
            numbers with units of s m h d w such as 2d or 1d12h. 0: not before the
            check is disabled. None: as DEFAULT_LOG_PATTERN_EXPIRATION_SECONDS says
VARIABLE    LOG_MULTILINE=indent, or LOG_MULTILINE_START=PATTERN of first lines: lines
            that belong together are matched together; LOG_MULTILINE_TIMEOUT=SECONDS
            LOG_JSON_FIELD=message: matched is this field of each line of JSON
            LOG_ALERT_LEVEL=WARNING: the level of the alert

A check that is enabled already takes effect as it is now. Nothing needs a restart.

  mender-monitorctl create log results-scan "CVE.*HIGH" "/tmp/results-scan" 2d
  mender-monitorctl enable log results-scan
  mender-monitorctl create log crash "(?s)^panic.*disk" "/var/log/app/*.log" LOG_MULTILINE=indent

Other subsystems:

create service SERVICE systemd|sysV
  raises when the service does not run, or goes up and down; the check has its name

  mender-monitorctl create service cron systemd

create dbus CHECK NAME PATTERN EXPRESSION [EXPIRATION]
  raises when a signal comes over the system's message bus that the match rule
  EXPRESSION lets through and PATTERN matches; one of the two may be ""

  mender-monitorctl create dbus battery upower "" "interface='org.freedesktop.UPower.Device'" 5m

create dockerevents CHECK CONTAINER ACTION [EXPIRATION]
  raises when 'docker events' reports the action; kept as a log check

  mender-monitorctl create dockerevents web-restart web restart 1h

create diskusage CHECK PATH [THRESHOLD] [space|inodes]
  raises when more than THRESHOLD per cent (80) of the disk are used

  mender-monitorctl create diskusage root / 90

create connectivity CHECK ADDRESS [INTERFACE]
  raises when the address cannot be reached: http(s)://..., HOST:PORT, dns:NAME

  mender-monitorctl create connectivity server https://example.com/

create KIND CHECK [SETTING=VALUE ...]
  a security check: cve, pid-change, ports, setuid, traffic, integrity, logins,
  deployment or processes; 'help ports' says which settings there are

  mender-monitorctl create ports open-ports allow=tcp/22,tcp/443 dwell=2m
  mender-monitorctl create pid-change web process=systemd:nginx.service count=3 within=1h

What looks like a password, a token or a key is taken out of alerts before they leave
the device; patterns of more that is secret stand in /etc/mender-monitor/redact.conf,
one a line.

For a subsystem of your own put an executable NAME.sh into monitor.d/ and the file
of a check into monitor.d/available/NAME_CHECK.sh, then enable NAME CHECK.
""",
    ),
    "enable": _Command(_enable, "SUBSYSTEM CHECK", "switch a check on"),
    "disable": _Command(_disable, "SUBSYSTEM CHECK", "switch a check off; an open alert is closed"),
    "delete": _Command(_delete, "SUBSYSTEM CHECK", "switch a check off and remove it"),
    "test": _Command(
        _test,
        "CHECK|PATTERN [--file FILE]... [--since TIME]",
        "try a log check, or a pattern, on logs that are there",
        """
CHECK       a log check of this device, enabled or not: tried on its own file and on
            the older generations beside it
PATTERN     any Perl-compatible pattern; then --file is needed
--file F    try it on this file; "-" is standard input, *.gz is unpacked; repeatable
--since T   only matches from then on: a duration before now (2d) or a time
--context N lines shown before and after a match (3; the alert has up to 30)
--json      everything, for programs

Says what would have been raised and called off, when, with which lines, and how
long the search took. Nothing is sent or stored.

  mender-monitorctl test results-scan
  mender-monitorctl test "CVE.*HIGH" --file /tmp/results-scan
  journalctl -b | mender-monitorctl test "(?i)out of memory" --file -

--patterns PATTERNFILE --count LOG...
            print how many lines match any of the patterns, one a line in PATTERNFILE

  mender-monitorctl test --patterns patterns.txt --count /var/log/syslog
""",
    ),
    "scan": _Command(
        _scan,
        "KIND [SETTING=VALUE ...] [--check NAME] [--json]",
        "look once for what a security check would find",
        """
KIND          a kind of security check: cve, pid-change, ports, setuid, traffic,
              integrity, logins, deployment, processes
SETTING=VALUE as for 'create KIND'
--check NAME  as the check of this name would look now: with its settings, with what
              it has learned, without what was accepted. Without it everything is
              shown that is there and on no list
--json        everything, for programs

One finding a line. Exit status 1: there are findings, 0: there are none, 2: it could
not look. What could not be looked at, for want of permission say, is named on
standard error. Nothing is sent, stored or learned.

  mender-monitorctl scan ports
  mender-monitorctl scan ports loopback=true allow=tcp/22,tcp/443
  mender-monitorctl scan setuid --check security

The output can be watched like any other:

  mender-monitorctl create log strange-ports "listens on" "@mender-monitorctl scan ports" 1d
""",
    ),
    "accept": _Command(
        _accept,
        "KIND CHECK [KEY ... | --all] [--undo]",
        "take findings of a security check for right",
        """
KIND CHECK  a security check, as 'list' shows it
KEY         what the alert is about, as 'scan KIND --check CHECK' prints it before the
            first colon that a blank follows
--all       all that is found now
--undo      these, or --all, are accepted no more

Their alerts are called off when the check looks again, which a daemon that runs does at
once. Where a finding has a content, as a file has, that content is accepted: when it
changes again it is a finding again. Without KEY: prints what is accepted.

  mender-monitorctl accept ports security "tcp 0.0.0.0:8080"
""",
    ),
    "import": _Command(
        _import,
        "fail2ban|sigma FILE|DIRECTORY [--log FILE] [--name NAME] [--expiration TIME] [--enable] [--dry-run] [--json]",
        "make checks of logs from rules of fail2ban or Sigma",
        """
fail2ban    a filter, a file of jails, or a directory of filters; /etc/fail2ban: what is
            enabled there
sigma       a rule (YAML), or a directory of rules, for Linux
--log FILE  the log, or a command as for create, in place of where such lines usually are
--name NAME of the check; of several, NAME- stands before the name of each
--expiration TIME
            so long after the last match the alert is called off, as for create
--enable    switch the checks on
--dry-run   only tell what would be made
--json      everything, for programs

Each rule is told to be exact; approximated, and what the check does otherwise; or refused,
and why. What was imported is made anew when it is imported again; a check of the same name
that comes from elsewhere is left alone. Nothing that a rule names is run. Exit status 1:
there is not one rule that a check could be made from.

  mender-monitorctl import fail2ban /etc/fail2ban/filter.d/sshd.conf --log /var/log/auth.log --expiration 1d
  mender-monitorctl import sigma rules/linux --dry-run
""",
    ),
    "apply-config": _Command(
        _apply_config,
        "FILE|- [--dry-run]",
        "make the checks that a configuration from the server says",
        """
FILE        a JSON object of texts, as the server sends it; "-" is standard input
--dry-run   only show what would be done: create, change, enable, disable, remove

What counts are the names security.KIND.SETTING and monitor.check.SUBSYSTEM.NAME.VARIABLE;
others are the affair of other programs. Checks that came this way before and are not in
FILE any more are removed; those made by hand are left alone, and one of the same name is
an error. Either all of it is done or nothing.

A Mender client runs this by the script that is installed in
/usr/lib/mender-configure/apply-device-config.d; where there is no client, the monitor does
it by itself.

  mender-monitorctl apply-config device-config.json --dry-run
""",
    ),
    "list": _Command(
        _list,
        "[--json]",
        "show the checks, enabled or not",
        """
SOURCE      hand: made on this device; server: by its configuration, where it is to be
            changed; server*: somebody has changed or switched it here, which lasts until
            the server's next configuration
""",
    ),
    "status": _Command(_status, "[--json]", "show the daemon, raised checks and what is not sent yet"),
    "help": _Command(_help, "[COMMAND|KIND]", "this, or more about one command or kind of security check"),
    "version": _Command(_version, "", "show the version"),
}


def _take(arguments: list[str], command: str, *, at_least: int, at_most: int | None = None) -> list[str]:
    if len(arguments) < at_least or (at_most is not None and len(arguments) > at_most):
        raise _Usage(f"{PROGRAM} {command} {COMMANDS[command].arguments}")
    return arguments


def _wants_json(arguments: list[str], command: str) -> bool:
    if arguments not in ([], ["--json"]):
        raise _Usage(f"{PROGRAM} {command} {COMMANDS[command].arguments}")
    return bool(arguments)


def _verbatim(argument: str) -> str:
    """The bytes of an argument as UTF-8, whatever the locale is, so that a check file holds them as given."""
    return os.fsencode(argument).decode("utf-8", "surrogateescape")


def _refuse(sentence: str, status: int) -> int:
    usage = "usage: " if sentence.startswith(PROGRAM) else ""
    one_line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in sentence)
    print(f"{PROGRAM}: {usage}{one_line}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
