"""Does a line of a file or of a command's output match a pattern? Only reads; never changes what it watches."""

from typing import Final

from vedette.agent import log
from vedette.agent.checkfiles import CheckFile
from vedette.agent.follow import events
from vedette.agent.follow.lines import Block
from vedette.agent.match import Pattern
from vedette.agent.match.fields import Field
from vedette.agent.settings import Settings
from vedette.agent.states import Verdict
from vedette.errors import Invalid
from vedette.model import ConfiguredCheck, Details, Level, Subject, durations

TYPE: Final = "log"
STATUS: Final = "LOGCONTAINS"
LINE_MATCHING: Final = "%line_matching"


class LogCheck:
    """A check of the subsystem "log"; `file` holds its variables LOG_*."""

    def __init__(self, file: CheckFile, settings: Settings) -> None:
        values = file.values
        self.key = file.stem
        self.source = _required(values.get("LOG_FILE", ""), "LOG_FILE")
        if not self.source.startswith(("/", "@")) or self.source == "@":
            raise Invalid(f"LOG_FILE {self.source!r} is neither an absolute path nor '@' and a command")
        self.pattern = Pattern.compile(_required(values.get("LOG_PATTERN", ""), "LOG_PATTERN"))
        self.events = events.rule(values)
        self.field = Field.parse(values.get("LOG_JSON_FIELD", ""))
        self._file_name = file.name + ".sh"
        expiration = values.get("LOG_PATTERN_EXPIRATION", "")
        self._has_expiration = bool(expiration)
        self.expires_s = (
            durations.parse(expiration) if expiration else settings.default_log_pattern_expiration_seconds
        )  # fmt: skip
        self._level = _level(values.get("LOG_ALERT_LEVEL", ""), settings.default_log_alert_level)
        self._name = values.get("LOG_ALERT_DESCRIPTION", "") or f"Log file contains {self.pattern.text}"
        self._details = values.get("LOG_ALERT_DETAILS", "")
        self._subject_status = values.get("LOG_ALERT_STATUS", "") or STATUS
        self._subject_type = values.get("LOG_ALERT_TYPE", "") or TYPE
        self._before = settings.default_log_lines_before
        self._after = settings.default_log_lines_after
        self._complaints = log.Limited(burst=1, interval_s=600)

    def undecided(self, block: Block, start: int, reason: str) -> None:
        """The pattern engine gave up on the line that begins at `start`."""
        self._complaints.write(
            log.WARN,
            lambda: (
                f"{self.key}: whether line {block.number(start)} of {block.path or self.source} matches cannot be"
                f" decided ({reason}); {self.pattern.undecided} such lines so far; a simpler pattern would help"
            ),
        )

    def configured(self) -> ConfiguredCheck:
        settings: dict[str, str | int] = {"pattern": self.pattern.text, "path": self.source}
        if self._has_expiration:
            settings["expire_seconds"] = self.expires_s
        return ConfiguredCheck(name=self._file_name, kind=TYPE, settings=settings)

    def verdict(self, block: Block, start: int) -> Verdict:
        """What it means that the line that begins at `start` matches."""
        details = self._details or f"{self.pattern.text} present in {block.path or self.source}"
        matching = block.at(start)
        return Verdict(
            ok=False,
            name=self._name,
            level=self._level,
            expires_s=self.expires_s,
            subject=Subject(
                name=self.key,
                type=self._subject_type,
                status=self._subject_status,
                details=Details(
                    description=details.replace(LINE_MATCHING, matching.data),
                    lines_before=block.before(start, self._before),
                    line_matching=matching,
                    lines_after=block.after(start, self._after),
                ),
            ),
        )


def _required(value: str, name: str) -> str:
    if not value:
        raise Invalid(f"{name} is missing")
    return value


def _level(name: str, default: Level) -> Level:
    if not name:
        return default
    try:
        level = Level(name.upper())
    except ValueError:
        level = Level.OK
    if level is Level.OK:
        levels = ", ".join(each for each in Level if each is not Level.OK)
        raise Invalid(f"LOG_ALERT_LEVEL {name!r} is none of {levels}")
    return level
