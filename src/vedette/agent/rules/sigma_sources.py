"""Where the events of a Sigma rule for Linux are on a device, and how their fields stand in a line.

Sources: "Sigma Rules Specification", Log Sources, and the taxonomy; auditd's description of its records; sudoers(5).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from vedette.agent.rules.logic import Claim, Every, Found, Not
from vedette.agent.rules.sigma_value import ONE, Value
from vedette.errors import Invalid

AUDIT_LOG: Final = "/var/log/audit/audit.log"
AUTH: Final = "/var/log/auth.log"


class Fields(Protocol):
    """How the fields of a kind of log stand in its lines."""

    def claim(self, name: str, value: Value) -> Claim:
        """The field has that value. Raises Invalid: such a line has no such field."""
        ...

    def present(self, name: str) -> Claim:
        """There is such a field, and it is not empty."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One kind of log."""

    files: Sequence[str]  # LOG_FILE, the usual one first
    fields: Fields
    always: Sequence[Claim] = ()  # what holds of its lines besides
    notes: Sequence[str] = ()  # what is done otherwise than the rule says
    notes_on_fields: Sequence[str] = ()  # the same, where the rule has fields
    hints: Sequence[str] = field(default=())


class _Named:
    """NAME=value somewhere in the line, up to the next separator."""

    def claim(self, name: str, value: Value) -> Claim:
        start = rf"(?<![\w-])(?i:{re.escape(name)})[=:]\s?\"?"
        if value.searched is not None:
            return Found(start + value.within(r"[^;]*?", r"(?=\"?\s*(?:;|$))"))
        return Found(rf"{start}{value.write()}(?=[\s;,\"'\])]|$)")

    def present(self, name: str) -> Claim:
        return Found(rf"(?<![\w-])(?i:{re.escape(name)})[=:]\s?\"?[^\s;,\"]")


_UNTRUSTED: Final = re.compile(r"a\d+|comm|exe|name|cwd|path|proctitle|cmd|acct|data|key", re.IGNORECASE)


END: Final = r"(?=[\s\"')]|$)"
"""Behind a value of a record of auditd."""


class _Audit:
    """name=value, name="value", or, where a value has blanks or the like in it, name=HEX."""

    def claim(self, name: str, value: Value) -> Claim:
        start = rf"(?<![\w-]){re.escape(name)}="
        if value.searched is not None:
            return Found(rf"{start}\"?" + value.within(r"[^\"]*?", END))
        if value.regex:
            return Found(rf"{start}\"?{value.write()}{END}")
        quoted, plain = value.write('[^"]*', '[^"]'), value.write(r"[^\s\"')]*", r"[^\s\"')]")
        ways = [rf"\"{quoted}\"", f"{plain}{END}"]
        if _UNTRUSTED.fullmatch(name):
            ways.append(f"{_hex(value)}{END}")
        return Found(f"{start}(?:{'|'.join(ways)})")

    def present(self, name: str) -> Claim:
        return Found(rf"(?<![\w-]){re.escape(name)}=(?!\"\"|\(null\)|\s|$)")


def _hex(value: Value) -> str:
    """The value as auditd encodes it."""
    out = ""
    for part in value.parts:
        if part is None:
            out += "(?:[0-9A-F]{2})*"
        elif part == ONE:
            out += "[0-9A-F]{2}"
        else:
            for char in part:
                ways = dict.fromkeys((char,) if value.cased else (char, char.lower(), char.upper()))
                codes = [each.encode(errors="replace").hex().upper() for each in ways]
                out += codes[0] if len(set(codes)) == 1 else f"(?:{'|'.join(codes)})"
    return out


class _Execve:
    """The command line of a process, as the arguments a0="..." a1="..." of the record EXECVE."""

    def claim(self, name: str, value: Value) -> Claim:
        if name == "CommandLine":
            return Found(self._command(value))
        if name in ("Image", "OriginalFileName"):
            return Found(self._program(value))
        raise Invalid(f"the field {name}: the audit log does not tell it beside the command line")

    def present(self, name: str) -> Claim:
        return self.claim(name, Value((None,)))

    def _command(self, value: Value) -> str:
        if value.searched is not None:
            return r"\ba0=\"?" + value.within(".*?", r"(?=\"?\s*$)")
        open_start, middle, open_end = value.shape()
        text = Value(middle, cased=value.cased).write().replace(r"\ ", r"\"?\s+a\d+=\"?")
        before = r"\ba0=.*?" if open_start else r"\ba0=\"?"
        return rf"{before}{text}" + ("" if open_end else r"\"?\s*$")

    def _program(self, value: Value) -> str:
        if value.searched is not None:
            return r"\ba0=\"?" + value.within(r"[^\"\s]*?", END)
        open_start, middle, open_end = value.shape()
        last = middle[-1] if middle else None
        if not open_end and last and "/" in last:  # called by its name alone, or with its directory
            name = Value((last.rpartition("/")[2],), cased=value.cased)
            return rf"\ba0=\"?(?:[^\"\s]*/)?{name.write()}(?=[\"\s]|$)"
        if not middle:
            return r"\ba0="
        inside = r"[^\"\s]*"
        text = Value(middle, cased=value.cased).write(inside, r"[^\"\s]")
        before, behind = inside if open_start else "", "" if open_end else r"(?=[\"\s]|$)"
        return rf"\ba0=\"?{before}{text}{behind}"


class _NewFile:
    """The name of a file that was made, of the record PATH."""

    def claim(self, name: str, value: Value) -> Claim:
        if name != "TargetFilename":
            raise Invalid(f"the field {name}: the audit log tells it in another line than the name of the file")
        return _Audit().claim("name", value)

    def present(self, name: str) -> Claim:
        return self.claim(name, Value((None,)))


_BY_NAME: Final = ("its fields are looked for as NAME=value in the line",)
_ONE_RECORD: Final = ("all of it must stand in one record of the audit log",)
_AUDITD: Final = "needs auditd on the device, and rules that let it write such records"


def _text(*files: str) -> Source:
    return Source(files=files, fields=_Named(), notes_on_fields=_BY_NAME)


SERVICES: Final[Mapping[str, Source]] = {
    "auditd": Source(files=(AUDIT_LOG,), fields=_Audit(), notes_on_fields=_ONE_RECORD, hints=(_AUDITD,)),
    "auth": _text(AUTH, "/var/log/secure", "@journalctl -f -n0 --facility=auth,authpriv"),
    "sshd": _text(AUTH, "/var/log/secure", "@journalctl -f -n0 -t sshd -t sshd-session"),
    "sudo": _text(AUTH, "/var/log/secure", "@journalctl -f -n0 -t sudo"),
    "su": _text(AUTH, "/var/log/secure", "@journalctl -f -n0 -t su"),
    "syslog": _text("/var/log/syslog", "/var/log/messages", "@journalctl -f -n0"),
    "cron": _text("/var/log/cron", "/var/log/cron.log", "/var/log/syslog", "@journalctl -f -n0 -t CRON -t cron"),
    "vsftpd": _text("/var/log/vsftpd.log"),
    "clamav": _text("/var/log/clamav/clamav.log"),
    "modsecurity": _text("/var/log/modsec_audit.log"),
    "guacamole": _text("/var/log/syslog", "@journalctl -f -n0 -t guacd"),
}
CATEGORIES: Final[Mapping[str, Source]] = {
    "process_creation": Source(
        files=(AUDIT_LOG,),
        fields=_Execve(),
        always=(Found("^(?:node=\\S+ )?type=EXECVE "),),
        notes=("the program is known by the name that it was called with, as the audit log's record EXECVE tells it",),
        hints=(f"{_AUDITD}: auditctl -a always,exit -F arch=b64 -S execve",),
    ),
    "file_event": Source(
        files=(AUDIT_LOG,),
        fields=_NewFile(),
        always=(Found("^(?:node=\\S+ )?type=PATH "), Found("nametype=CREATE")),
        notes=("the file is known by the name it was made with, as the audit log's record PATH tells it",),
        hints=(f"{_AUDITD}: auditctl -w DIRECTORY -p wa",),
    ),
}


def find(logsource: Mapping[str, object]) -> Source:
    """Where events of that kind are. Raises Invalid: not on a device with Linux, or nowhere that is known."""
    product, category, service = (str(logsource.get(each) or "").lower() for each in ("product", "category", "service"))
    if product not in ("linux", ""):
        raise Invalid(f"it is for {product}, not for Linux")
    if category and category in CATEGORIES:
        return CATEGORIES[category]
    if category and not service:
        raise Invalid(f"what Sigma calls {category} is in no log that a device has")
    if service in SERVICES:
        return SERVICES[service]
    if product == "linux" and not service and not category:
        return SERVICES["syslog"]
    raise Invalid(f"where the logs of {service or 'that'} are is not known; give --log")


def nowhere() -> Source:
    """Lines of text somewhere."""
    return _text("")


def absent(fields: Fields, name: str) -> Claim:
    """There is no such field, or it is empty."""
    return Not(fields.present(name))


def with_all(source: Source, claim: Claim) -> Claim:
    """What the rule says, of the lines that it is about."""
    return Every([*source.always, claim]) if source.always else claim
