"""The kinds of security checks and their settings: one table, for the device, the server, and people.

A setting is `security.<kind>.<setting>` in a device's configuration, and the variable `<KIND>_<SETTING>` (upper case,
"-" becomes "_") in the file of a check. Both sides judge values by `Setting.parse`: what the server lets travel, the
device takes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vedette.errors import Invalid
from vedette.model import durations

MAX_ITEMS: Final = 1000  # of a list
MAX_LENGTH: Final = 4096  # characters of a value, as the configuration of devices allows

FLAG: Final = "flag"  # true or false
DURATION: Final = "duration"  # 90, 5m, 1d12h -> seconds
COUNT: Final = "count"  # a whole number from 0
SIZE: Final = "size"  # bytes: 4096, 64k, 10M, 2G (powers of 1024)
CHOICE: Final = "choice"  # one of `choices`
LIST: Final = "list"  # separated by commas, spaces or lines -> tuple of texts
TEXT: Final = "text"

_SIZE: Final = re.compile(r"([0-9]{1,15})([kMGT]?)")
_UNITS: Final = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of a kind."""

    type: str
    default: str  # as text; what `parse` makes of it is the default value
    help: str  # one sentence
    choices: tuple[str, ...] = ()
    least: int = 0  # of a number, size or duration (seconds)
    most: int = 2**53
    form: str = ""  # a regular expression for the items of a list, or for a text that is not empty
    required: bool = False  # a check without it has nothing to do

    def parse(self, text: str) -> Any:
        """The value: bool, int, str, or tuple of str. Raises Invalid with the reason; the caller names the key."""
        if len(text) > MAX_LENGTH or "\0" in text:
            raise Invalid(f"more than {MAX_LENGTH} characters, or a NUL character")
        text = text.strip()
        if self.type == FLAG:
            if text.lower() not in {"true", "false"}:
                raise Invalid(f"{text[:80]!r} is neither true nor false")
            return text.lower() == "true"
        if self.type == CHOICE:
            if text not in self.choices:
                raise Invalid(f"{text[:80]!r} is none of {', '.join(self.choices)}")
            return text
        if self.type == LIST:
            items = tuple(dict.fromkeys(text.replace(",", " ").split()))
            if len(items) > MAX_ITEMS:
                raise Invalid(f"more than {MAX_ITEMS} items")
            for item in items:
                self._check_form(item)
            return items
        if self.type in {DURATION, COUNT, SIZE}:
            number = self._number(text)
            if not self.least <= number <= self.most:
                raise Invalid(f"{text[:80]!r} is not from {self.least} to {self.most}")
            return number
        if text:
            self._check_form(text)
        return text

    def _check_form(self, text: str) -> None:
        if self.form and not re.fullmatch(self.form, text):
            raise Invalid(f"{text[:80]!r} is not what it takes: {self.help}")

    def _number(self, text: str) -> int:
        if self.type == DURATION:
            return durations.parse(text)
        if self.type == SIZE:
            found = _SIZE.fullmatch(text)
            if found is None:
                raise Invalid(f"{text[:80]!r} is no size; write bytes, or 64k, 10M, 2G")
            return int(found[1]) * _UNITS[found[2]]
        if not (text.isascii() and text.isdigit() and len(text) <= 16):
            raise Invalid(f"{text[:80]!r} is no whole number")
        return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of security check."""

    help: str  # what it alerts on
    settings: Mapping[str, Setting]


def _common(interval: str, **more: Setting) -> Mapping[str, Setting]:
    """The settings that every kind has, and its own."""
    return {
        "interval": Setting(type=DURATION, default=interval, least=5, most=30 * 86400, help="how often to look"),
        "time-limit": Setting(type=DURATION, default="10m", least=1, most=86400, help="a scan is ended after this"),
        "level": Setting(type=CHOICE, default="CRITICAL", choices=("CRITICAL", "WARNING"), help="of its alerts"),
        **{name.replace("_", "-"): each for name, each in more.items()},
    }


_EXPIRATION: Final = Setting(type=DURATION, default="1d", least=1, help="an event is called off after this")

SECURITY: Final[Mapping[str, Kind]] = {
    "cve": Kind(
        help="known vulnerabilities of the installed packages",
        settings=_common(
            "1h",
            severity=Setting(
                type=CHOICE, default="high", choices=("low", "medium", "high", "critical"), help="the least to report"
            ),
            unrated=Setting(
                type=CHOICE,
                default="high",
                choices=("low", "medium", "high", "critical"),
                help="how severe those are taken to be that nobody has rated",
            ),
            unfixed=Setting(type=FLAG, default="true", help="those that no version has fixed yet are reported too"),
            alone=Setting(
                type=COUNT, default="10", help="of one look so many have alerts of their own, the others one together"
            ),
            ignore=Setting(type=LIST, default="", help="ids that are not reported: CVE-2024-1234, or package:CVE-..."),
            vex=Setting(
                type=LIST,
                default="/etc/mender-monitor/vex",
                help="OpenVEX documents, or directories of them, that say what does not affect this device",
            ),
            feed_age=Setting(
                type=DURATION, default="7d", least=3600, help="a feed older than this is a finding of its own"
            ),
            feed=Setting(type=TEXT, default="", help="directory of the feed; none: where the server's is kept"),
            ecosystem=Setting(
                type=TEXT, default="auto", help="whose advisories count, as Debian:12; auto: by /etc/os-release"
            ),
            pip=Setting(type=LIST, default="", help="directories with Python packages to look at besides the system's"),
        ),
    ),
    "pid-change": Kind(
        help="a watched process has another process id: it was restarted",
        settings=_common(
            "30s",
            process=Setting(
                type=LIST,
                default="",
                form=r"(systemd:|/?)[^/\s].*",
                required=True,
                help="names or absolute paths of executables, or systemd:UNIT",
            ),
            count=Setting(type=COUNT, default="1", least=1, help="so many changes ..."),
            within=Setting(type=DURATION, default="10m", least=1, help="... within this time raise an alert"),
            expiration=_EXPIRATION,
        ),
    ),
    "ports": Kind(
        help="a listening port on a non-loopback address that is not on the list",
        settings=_common(
            "1m",
            allow=Setting(
                type=LIST,
                default="",
                form=r"(tcp|udp|\*)/(([0-9.]+|\[[0-9a-fA-F:.]+\]|\*):)?([0-9]{1,5}|\*)(=[/*].*)?",
                help="PROTOCOL/PORT, PROTOCOL/ADDRESS:PORT, either with =EXECUTABLE; * is any",
            ),
            baseline=Setting(
                type=CHOICE,
                default="learn",
                choices=("learn", "given"),
                help="learn: what the first scan finds is allowed",
            ),
            dwell=Setting(type=DURATION, default="1m", help="ports that are open for less are not reported"),
            loopback=Setting(type=FLAG, default="false", help="look at loopback addresses too"),
        ),
    ),
    "setuid": Kind(
        help="a new or changed set-uid, set-gid or file-capability executable",
        settings=_common(
            "1h",
            paths=Setting(type=LIST, default="/", help="directories to look through"),
            exclude=Setting(
                type=LIST,
                default="/var/lib/docker /var/lib/containers /var/lib/containerd /run/containerd",
                help="directories and patterns of names to leave out",
            ),
            allow=Setting(type=LIST, default="", help="files that may be so, patterns too"),
            baseline=Setting(
                type=CHOICE,
                default="learn",
                choices=("learn", "given"),
                help="learn: what the first scan finds is allowed",
            ),
        ),
    ),
    "traffic": Kind(
        help="bytes per interface and period above a limit, or far from the device's own baseline",
        settings=_common(
            "1m",
            interfaces=Setting(type=LIST, default="", help="names or patterns; none: all but lo"),
            period=Setting(type=DURATION, default="1h", least=60, help="over which bytes are added up"),
            limit=Setting(type=SIZE, default="0", help="bytes in and out in a period; 0: only the baseline counts"),
            factor=Setting(type=COUNT, default="10", help="so many times the usual raises an alert; 0: only the limit"),
            least_bytes=Setting(type=SIZE, default="100M", help="less than this is never unusual"),
        ),
    ),
    "integrity": Kind(
        help="changed, moved or replaced executables and configuration files",
        settings=_common(
            "1h",
            paths=Setting(
                type=LIST,
                default="/bin /sbin /usr/bin /usr/sbin /usr/local/bin /usr/local/sbin /lib/systemd /etc",
                help="files and directories to watch",
            ),
            exclude=Setting(
                type=LIST,
                default="/etc/mtab /etc/resolv.conf /etc/adjtime /etc/fake-hwclock.data /etc/.updated /etc/.pwd.lock"
                " /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-"
                " /etc/mender-monitor/monitor.d",
                help="left out, also patterns",
            ),
            packages=Setting(type=FLAG, default="true", help="what a package update explains is only recorded"),
        ),
    ),
    "logins": Kind(
        help="root and failed logins, brute force, new accounts and keys, sudo failures",
        settings=_common(
            "15s",
            root=Setting(type=FLAG, default="true", help="each login of root is reported"),
            failures=Setting(
                type=COUNT, default="5", least=1, most=100, help="so many failed logins of a source or user ..."
            ),
            within=Setting(type=DURATION, default="10m", least=1, help="... within this time raise an alert"),
            allow=Setting(
                type=LIST,
                default="",
                form=r"(([01]?[0-9]?[0-9]|2[0-4][0-9]|25[0-5])(\.|(?=/|$))){4}(/([0-2]?[0-9]|3[0-2]))?"
                r"|[0-9a-fA-F]*:[0-9a-fA-F:.]*(/[0-9]{1,3})?|[A-Za-z][A-Za-z0-9_.-]*",
                help="addresses, networks, names of hosts, or local: not reported",
            ),
            accounts=Setting(type=FLAG, default="true", help="new accounts and authorised keys are reported"),
            log=Setting(
                type=TEXT, default="auto", form=r"auto|journal|/.*", help="auto, journal, or the path of a log"
            ),
            expiration=_EXPIRATION,
        ),
    ),
    "deployment": Kind(
        help="failed, rolled-back or inconsistent deployments of the device",
        settings=_common("1m"),
    ),
    "processes": Kind(
        help="executables running from where none should, unexpected root or listening processes and kernel modules",
        settings=_common(
            "1m",
            places=Setting(type=LIST, default="/tmp /var/tmp /dev/shm /run/user", help="where nothing may run from"),  # noqa: S108
            deleted=Setting(type=FLAG, default="true", help="executables that were deleted are reported"),
            root=Setting(type=FLAG, default="false", help="unknown executables that run as root are reported"),
            listening=Setting(type=FLAG, default="false", help="unknown executables that listen are reported"),
            modules=Setting(type=FLAG, default="true", help="kernel modules that are new are reported"),
            allow=Setting(type=LIST, default="", help="executables or modules that are all right; patterns too"),
        ),
    ),
}


def variable_of(kind: str, setting: str) -> str:
    """How a setting is called in the file of a check: `feed-age` of `cve` is CVE_FEED_AGE."""
    return f"{kind}_{setting}".replace("-", "_").upper()


def interpret(kind: str, given: Mapping[str, str]) -> dict[str, Any]:
    """All settings of `kind`: those in `given`, by their names, as they were meant; the others have their defaults.

    Raises:
        Invalid: there is no such kind or setting, or a value is wrong; names it.
    """
    if kind not in SECURITY:
        raise Invalid(f"there is no security check {kind!r}, only {', '.join(SECURITY)}")
    settings = SECURITY[kind].settings
    for name in given:
        if name not in settings:
            raise Invalid(f"{kind} has no setting {name[:80]!r}, only {', '.join(settings)}")
    out = {}
    for name, setting in settings.items():
        try:
            out[name] = setting.parse(given.get(name, setting.default))
        except Invalid as exc:
            raise Invalid(f"the setting {name} of {kind}: {exc}") from exc
        if setting.required and not out[name]:
            raise Invalid(f"{kind} needs the setting {name}: {setting.help}")
    return out
