"""What `config.sh` tells the monitor. A line that is wrong costs its setting, never the monitoring.

Source of the names: the compatible system's documentation; of the defaults it leaves open: docs/decisions/.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from vedette.agent import shellfile
from vedette.agent.paths import MONITOR_D, Paths
from vedette.errors import Invalid
from vedette.model import Level, durations

MAX_BYTES = 1 << 20
MAX_PROBLEMS = 20  # a file that is something else altogether must not fill the log
DEPLOYMENTS = ("auto", "on", "off")  # auto: where no Mender client is installed, which would do it
LOG_LEVELS = ("FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that `config.sh` can say; each field is a name there in capitals. Times are seconds."""

    alert_url: str = "/api/devices/v1/devicemonitor/alert"  # below the server's URL, or a whole URL
    alert_log_max_age: int = 3600  # how long changes are remembered to detect flapping
    alert_offline_store_max_count: int = 10_000
    alert_store_max_record_age_s: int = 30 * 86_400
    config_apply_time_limit: int = 600  # longest that one program which brings a configuration to bear may take
    config_deployments: str = "auto"  # take configurations from the server: one of DEPLOYMENTS
    config_deployments_interval: int = 600  # how often to ask for one, where mender.conf does not say
    config_log_level: str = "INFO"  # one of LOG_LEVELS
    config_reboot_command: str = ""  # shell; empty: what needs a reboot waits for whoever makes one
    confpush_interval: int = 600
    daemon_log_file: str = ""  # empty: standard error, which is the journal under systemd
    default_alert_level: Level = Level.CRITICAL  # of log and service checks that have none of their own
    default_alert_store_resend_interval_s: int = 60  # the longest wait between tries where waits do not grow
    default_dbus_alert_expiration_seconds: int = 0  # 0: raised until called off by hand
    default_dbus_alert_level: Level = Level.CRITICAL
    default_log_alert_level: Level = Level.CRITICAL
    default_log_lines_before: int = 30
    default_log_lines_after: int = 30
    default_log_pattern_expiration_seconds: int = 0  # 0: raised until called off by hand
    default_service_alert_level: Level = Level.CRITICAL
    default_check_interval_s: int = 60  # between two looks of a check that looks from time to time
    default_check_time_limit_s: int = 30  # longest that one look may take
    flapping_interval: int = 120
    flapping_count_threshold: int = 5
    monitor_d_directory: str = MONITOR_D
    send_alert_max_interval_s: int = 600  # what growing waits between tries grow to; 0: they do not grow
    problems: tuple[str, ...] = ()  # one sentence for each line that could not be used; for the log


def load(root: Path | None = None) -> tuple[Paths, Settings]:
    """The paths and settings of this device; the settings may move the directory of checks. Never fails."""
    paths = Paths(root)
    settings = read(paths.config_sh)
    return Paths(root, monitor_d=settings.monitor_d_directory), settings


def read(path: Path) -> Settings:
    """Settings from the file; without one, the defaults. Never fails: what is wrong is in `problems`."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        return Settings(problems=(f"{path} cannot be read ({error.strerror}); every setting has its default",))
    if len(content) > MAX_BYTES:
        return Settings(problems=(f"{path} is larger than {MAX_BYTES} bytes; every setting has its default",))
    return interpret(content.decode("utf-8", "surrogateescape"), path.name)


def interpret(text: str, where: str = "config.sh") -> Settings:
    """Settings from the text of the file, called `where` in `problems`. Pure."""
    values: dict[str, Any] = {}
    problems = []
    for each in shellfile.scan(text):
        if isinstance(each, shellfile.Refusal):
            problems.append(f"{where}, line {each.line} {each.why}; the line is ignored")
            continue
        at = f"{where}, line {each.line}"
        if each.name not in _READERS:
            problems.append(f"{at}: there is no setting {each.name}{_nearest(each.name)}; the line is ignored")
            continue
        field = each.name.lower()
        try:
            if each.value:
                values[field] = _READERS[each.name](each.value)
            else:
                values.pop(field, None)  # NAME= takes an earlier line back
        except Invalid as invalid:
            used = str(values.get(field, _DEFAULTS[field])) or "none"
            problems.append(f"{at}: {each.name}: {invalid}; {used} is used")
    if len(problems) > MAX_PROBLEMS:
        problems = [*problems[:MAX_PROBLEMS], f"{where}: and {len(problems) - MAX_PROBLEMS} more lines are wrong"]
    for field in ("default_log_alert_level", "default_service_alert_level"):
        values.setdefault(field, values.get("default_alert_level", _DEFAULTS[field]))
    return Settings(**values, problems=tuple(problems))


def _nearest(name: str) -> str:
    import difflib  # only for a person who mistyped: it need not stay in the daemon's memory

    near = difflib.get_close_matches(name.upper(), _READERS, n=1)
    return f" (do you mean {near[0]}?)" if near else ""


def _text(value: str) -> str:
    return value


def _url(value: str) -> str:
    if not value.startswith(("/", "http://", "https://")):
        raise Invalid(f"{value[:40]!r} is neither a path below the server (/...) nor an http(s) URL")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise Invalid(f"{value[:40]!r} is no absolute path")
    return value


def _level(value: str) -> Level:
    bad = {each.value: each for each in Level if each is not Level.OK}
    if value.upper() not in bad:
        raise Invalid(f"{value[:40]!r} is no level of an alert, only {', '.join(bad)}")
    return bad[value.upper()]


def _log_level(value: str) -> str:
    if value.upper() not in LOG_LEVELS:
        raise Invalid(f"{value[:40]!r} is no log level, only {', '.join(LOG_LEVELS)}")
    return value.upper()


def _deployments(value: str) -> str:
    if value.lower() not in DEPLOYMENTS:
        raise Invalid(f"{value[:40]!r} is none of {', '.join(DEPLOYMENTS)}")
    return value.lower()


def _whole(least: int, most: int) -> Callable[[str], int]:
    """A reader of whole numbers within bounds."""

    def reader(value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) <= 12 and least <= int(value) <= most):
            raise Invalid(f"{value[:40]!r} is not a whole number from {least} to {most}")
        return int(value)

    return reader


def _seconds(least: int = 0) -> Callable[[str], int]:
    """A reader of durations of at least so many seconds."""

    def reader(value: str) -> int:
        seconds = durations.parse(value)
        if seconds < least:
            raise Invalid(f"{value[:40]!r} is shorter than {durations.show(least)}")
        return seconds

    return reader


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "ALERT_URL": _url,
    "ALERT_LOG_MAX_AGE": _seconds(1),
    "ALERT_OFFLINE_STORE_MAX_COUNT": _whole(2, 10_000_000),  # room for one CRITICAL and its OK
    "ALERT_STORE_MAX_RECORD_AGE_S": _seconds(1),
    "CONFIG_APPLY_TIME_LIMIT": _seconds(1),
    "CONFIG_DEPLOYMENTS": _deployments,
    "CONFIG_DEPLOYMENTS_INTERVAL": _seconds(1),
    "CONFIG_LOG_LEVEL": _log_level,
    "CONFIG_REBOOT_COMMAND": _text,
    "CONFPUSH_INTERVAL": _seconds(1),
    "DAEMON_LOG_FILE": _absolute,
    "DEFAULT_ALERT_LEVEL": _level,
    "DEFAULT_ALERT_STORE_RESEND_INTERVAL_S": _seconds(1),
    "DEFAULT_DBUS_ALERT_EXPIRATION_SECONDS": _seconds(),
    "DEFAULT_DBUS_ALERT_LEVEL": _level,
    "DEFAULT_LOG_ALERT_LEVEL": _level,
    "DEFAULT_LOG_LINES_BEFORE": _whole(0, 1000),
    "DEFAULT_LOG_LINES_AFTER": _whole(0, 1000),
    "DEFAULT_LOG_PATTERN_EXPIRATION_SECONDS": _seconds(),
    "DEFAULT_SERVICE_ALERT_LEVEL": _level,
    "DEFAULT_CHECK_INTERVAL_S": _seconds(1),
    "DEFAULT_CHECK_TIME_LIMIT_S": _seconds(1),
    "FLAPPING_INTERVAL": _seconds(1),
    "FLAPPING_COUNT_THRESHOLD": _whole(1, 1000),
    "MONITOR_D_DIRECTORY": _text,
    "SEND_ALERT_MAX_INTERVAL_S": _seconds(),
}
_DEFAULTS: Final = {field.name: field.default for field in fields(Settings)}
