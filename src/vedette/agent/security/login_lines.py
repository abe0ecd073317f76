"""What the programs that let people in write to the log: OpenSSH, Dropbear, login, su, sudo, PAM, useradd.

Every message is recognised as a whole, from its first character to its last: a name that somebody typed may look like a
message, or hold an address. What other programs say is nobody's login, whatever it says.
Sources: auth.c and monitor.c of OpenSSH; svr-auth*.c of Dropbear; login(1) and su(1) of util-linux, shadow and BusyBox;
pam_unix(8); sudoers(5), "Event logging"; useradd(8) of shadow.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from vedette.agent.linetime import time_of

LOGIN: Final = "login"
FAILED: Final = "failed"
PERHAPS: Final = "perhaps failed"  # counts when its connection has no other failure
REFUSED: Final = "refused"  # sudo: not allowed, whatever the password
ACCOUNT: Final = "account"  # made or changed by a tool
TOOL: Final = "tool"  # a tool that changes accounts was run through sudo

LOCAL: Final = "local"
"""Source of what comes over no network."""

TOOLS: Final = frozenset(
    {"useradd", "adduser", "usermod", "passwd", "chpasswd", "vipw", "chsh", "groupadd", "addgroup", "gpasswd"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that was said about a login. `at` is None where the line tells no time."""

    sort: str
    user: str  # who logs in, or tries to; may be anything, even a password
    source: str = LOCAL  # an address or a host's name
    method: str = ""  # "password", "publickey" ...
    key: str = ""  # fingerprint of the key
    by: str = ""  # who does it, where that is another: of su and sudo
    program: str = ""
    pid: str = ""
    times: int = 1
    at: datetime | None = None

    @property
    def connection(self) -> str:
        """The same for all that is said about one connection; "" when that cannot be known."""
        return f"{self.program}[{self.pid}]" if self.pid and self.program in _SSHD else ""


_SSHD: Final = frozenset({"sshd", "sshd-session", "sshd-auth"})
# The time, perhaps the host, perhaps facility and level (BusyBox), the program and its number.
_LINE: Final = re.compile(
    r"(?:<\d{1,3}>)?"
    r"(?:[A-Z][a-z]{2} (?=[A-Z]))?(?P<time>[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d(?:\.\d+)?(?: \d{4})?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?) "
    r"(?:(?!\S*: )\S+ )?(?:[a-z0-9]+\.[a-z]+ )?"
    r"(?P<program>[\w./-]+\]?)(?:\[(?P<pid>\d+)\])?: (?P<message>.*)",
    re.ASCII | re.DOTALL,
)
_TERMINAL: Final = re.compile(r"(?:/dev/)?(?:tty\w*|pts/\d+|console|hvc\d+|\(unknown\))")
_REPEATED: Final = re.compile(r"message repeated (\d{1,6}) times: \[ (.*)\]", re.DOTALL)

Maker = Callable[[re.Match[str]], Event | None]


def parse(line: bytes, written: datetime) -> Event | None:
    """What a line of the log says about a login; None: nothing. `written`: when the file was, for a time of no year."""
    found = _LINE.fullmatch(line.decode(errors="replace").rstrip("\r\n"))
    if found is None:
        return None
    event = of_message(found["program"], found["pid"] or "", found["message"])
    return None if event is None else replace(event, at=time_of(found["time"].encode(), written))


def of_message(program: str, pid: str, message: str) -> Event | None:
    """The same of a message whose program is known; `at` is left open."""
    program = program.rpartition("/")[2]
    times = 1
    if repeated := _REPEATED.fullmatch(message):  # rsyslog sums up lines that are the same
        times, message = int(repeated[1]), repeated[2]
    for pattern, make in _PROGRAMS.get(program, ()) + _ANY:
        if found := pattern.fullmatch(message):
            event = make(found)
            if event is None:
                return None
            return replace(event, program=program, pid=pid, times=times * event.times)
    return None


def _rule(pattern: str, make: Maker) -> tuple[re.Pattern[str], Maker]:
    return re.compile(pattern, re.DOTALL), make


def _ssh_accepted(found: re.Match[str]) -> Event:
    return Event(sort=LOGIN, user=found["user"], source=found["source"], method=found["method"], key=found["key"] or "")


def _ssh_failed(found: re.Match[str]) -> Event | None:
    """Not a key or "none": a client offers every key that it has until one fits."""
    if not found["method"].startswith(("password", "keyboard-interactive")):
        return None
    return Event(sort=FAILED, user=found["user"], source=found["source"], method=found["method"])


def _perhaps(found: re.Match[str]) -> Event:
    return Event(sort=PERHAPS, user=found["user"], source=found["source"])


def _failed(found: re.Match[str]) -> Event:
    return Event(sort=FAILED, user=found["user"], source=_source(found["source"]), method="password")


def _unnamed(found: re.Match[str]) -> Event:
    return Event(sort=FAILED, user="", source=found["source"], method="password")


def _login(found: re.Match[str]) -> Event:
    return Event(sort=LOGIN, user=found["user"], source=found["source"], method=found["method"].lower())


def _dropbear_key(found: re.Match[str]) -> Event:
    return Event(sort=LOGIN, user=found["user"], source=found["source"], method="publickey", key=found["key"])


def _root_on(found: re.Match[str]) -> Event:
    return Event(sort=LOGIN, user="root", source=_source(found["source"]), method=f"login on {found['tty']}")


def _su(found: re.Match[str]) -> Event:
    return Event(sort=FAILED, user=found["user"], by=found["by"], method="su")


def _sudo_failed(found: re.Match[str]) -> Event:
    return Event(sort=FAILED, user=found["by"], by=found["by"], method="sudo", times=int(found["times"]))


def _sudo_refused(found: re.Match[str]) -> Event:
    return Event(sort=REFUSED, user=found["by"], by=found["by"], method="sudo")


def _sudo_tool(found: re.Match[str]) -> Event | None:
    tool = found["command"].partition(" ")[0].rpartition("/")[2]
    return Event(sort=TOOL, user=tool, by=found["by"], method="sudo") if tool in TOOLS else None


def _account(found: re.Match[str]) -> Event:
    groups = found.groupdict()
    return Event(sort=ACCOUNT, user=found["user"], by=groups.get("tty") or "")


# Those programs say by themselves who failed or came in, or open sessions for others than people.
_SAID_OTHERWISE: Final = frozenset(
    {"sshd", "login", "su", "su-l", "sudo", "sudo-i", "runuser", "runuser-l", "dropbear", "cron", "crond", "atd",
     "systemd-user", "polkit-1", "pkexec", "passwd", "chpasswd", "useradd", "usermod"}
)  # fmt: skip


def _pam_failed(found: re.Match[str]) -> Event | None:
    if found["service"] in _SAID_OTHERWISE:
        return None
    fields = dict(each.partition("=")[::2] for each in found["fields"].split() if "=" in each)
    return Event(
        sort=FAILED,
        user=fields.get("user", ""),
        source=_source(fields.get("rhost", "")),
        method=found["service"],
    )


def _pam_session(found: re.Match[str]) -> Event | None:
    if found["service"] in _SAID_OTHERWISE:
        return None
    return Event(sort=LOGIN, user=found["user"], method=found["service"])


def _source(text: str | None) -> str:
    return LOCAL if not text or _TERMINAL.fullmatch(text) else text


_FROM: Final = r"(?P<source>\S+) port \d+"
_SSH: Final = (
    _rule(rf"Accepted (?P<method>\S+) for (?P<user>\S+) from {_FROM}(?: ssh2?)?"
          r"(?:: (?:\S+ (?P<key>(?:SHA256|MD5):\S+))?.*)?", _ssh_accepted),
    _rule(rf"Failed (?P<method>\S+) for (?:invalid user )?(?P<user>.*) from {_FROM}(?: ssh2?)?(?:: \S+ \S+)?",
          _ssh_failed),
    _rule(r"Invalid user (?P<user>.*) from (?P<source>\S+)(?: port \d+)?", _perhaps),
    _rule(rf"(?:Connection (?:closed|reset) by|Disconnected from) (?:authenticating|invalid) user (?P<user>.*) {_FROM}"
          r" \[preauth\]", _perhaps),
)  # fmt: skip
_PORT: Final = r"(?P<source>\S+):\d+"
_DROPBEAR: Final = (
    _rule(rf"(?P<method>Password) auth succeeded for '(?P<user>[^']*)' from {_PORT}", _login),
    _rule(rf"Pubkey auth succeeded for '(?P<user>[^']*)' with (?:\S+ )?key (?:md5 |sha1!! )?(?P<key>\S+) from {_PORT}",
          _dropbear_key),
    _rule(rf"Bad (?:password|PAM password) attempt for '(?P<user>.*)' from {_PORT}", _failed),
    _rule(rf"Login attempt (?:for nonexistent user|with wrong user '?.*'?)(?: '.*')? from {_PORT}", _unnamed),
)  # fmt: skip
_LOGIN_PROGRAM: Final = (
    _rule(r"(?:ROOT LOGIN|root login) +(?:ON|on) '?(?P<tty>[^\s']+)'?(?: (?:FROM|from) '?(?P<source>[^\s']*)'?)?",
          _root_on),
    _rule(r"FAILED LOGIN (?:SESSION|\d+) FROM (?P<source>\S+) FOR (?P<user>.*), [^,]*", _failed),
    _rule(r"FAILED LOGIN \(\d+\) on '[^']*'(?: from '(?P<source>[^']*)')? FOR '(?P<user>.*)', [^,]*", _failed),
    _rule(r"invalid password for '(?P<user>.*)' on '[^']*'(?: from '(?P<source>[^']*)')?", _failed),
)  # fmt: skip
_SU: Final = (
    _rule(r"FAILED SU \(to (?P<user>\S+)\) (?P<by>\S+) on \S+", _su),
    _rule(r"FAILED su for (?P<user>\S+) by (?P<by>\S+)", _su),
    _rule(r"- \S+ (?P<by>[^\s:]+):(?P<user>\S+)", _su),  # shadow, BusyBox
)
_SUDO: Final = (
    _rule(r"\s*(?P<by>\S+) : (?P<times>\d{1,4}) incorrect password attempts? ; .*", _sudo_failed),
    _rule(
        r"\s*(?P<by>\S+) : (?:user NOT in sudoers|command not allowed|user NOT authorized on host) ; .*", _sudo_refused
    ),
    _rule(r"\s*(?P<by>\S+) : (?:TTY=\S+ ; )?PWD=.* ; USER=\S+ ;(?: \w+=.* ;)* COMMAND=(?P<command>.*)", _sudo_tool),
)
_ACCOUNTS: Final = (
    _rule(r"new user: name=(?P<user>[^,]+), .*?(?:, from=(?P<tty>\S+))?", _account),
    _rule(r"(?:add '(?P<user>[^']+)' to (?:shadow )?group '[^']+'|change user '(?P<other>[^']+)' .*)",
          lambda found: Event(sort=ACCOUNT, user=found["user"] or found["other"])),
)  # fmt: skip
_PROGRAMS: Final[Mapping[str, tuple[tuple[re.Pattern[str], Maker], ...]]] = {
    **dict.fromkeys(_SSHD, _SSH),
    "dropbear": _DROPBEAR,
    "login": _LOGIN_PROGRAM,
    "su": _SU,
    "sudo": _SUDO,
    **dict.fromkeys(("useradd", "usermod", "adduser", "gpasswd"), _ACCOUNTS),
}
_ANY: Final = (
    _rule(r"pam_unix\((?P<service>[^:)]+):auth\): authentication failure; (?P<fields>.*)", _pam_failed),
    _rule(r"pam_unix\((?P<service>[^:)]+):session\): session opened for user (?P<user>[^\s(]+)(?:\(uid=\d+\))? by .*",
          _pam_session),
)  # fmt: skip

PROGRAMS: Final = frozenset(_PROGRAMS)
"""Whose messages are wanted by name; of others only what PAM says through them."""
