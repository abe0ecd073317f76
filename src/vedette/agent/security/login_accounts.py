"""Who may log in here, as the files say: accounts, groups that give power, and authorised keys.

Sources: passwd(5), shadow(5), group(5), sshd(8) "AUTHORIZED_KEYS FILE FORMAT", sshd_config(5) "AuthorizedKeysFile".
"""

import base64
import binascii
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from vedette.agent.security.stamp import stamp

FILE_BYTES: Final = 1024 * 1024
"""Of one file; more has none."""
MAX_ACCOUNTS: Final = 10_000
MAX_KEYS: Final = 10_000
NO_SHELL: Final = frozenset({"nologin", "false", "sync", "halt", "shutdown", "true"})
POWERFUL: Final = frozenset({"root", "sudo", "wheel", "admin", "shadow", "disk", "docker", "lxd", "kmem"})
"""Groups whose members can become root, or read what only root should."""
ACCOUNTS: Final = "/etc/passwd"
SHADOW: Final = "/etc/shadow"
GROUP: Final = "/etc/group"
KEYS: Final = "keys"
ROOT: Final = "root"
DROPBEAR: Final = "/etc/dropbear/authorized_keys"
DEFAULT_KEYS: Final = (".ssh/authorized_keys", ".ssh/authorized_keys2")

_KEY: Final = re.compile(
    r"(?:^|[ \t])((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[\w@.-]+)[ \t]+(AAAA[\w+/]+=*)(?:[ \t]+(.*))?$", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A line of passwd."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str

    @property
    def logs_in(self) -> bool:
        """Has it a shell? Those of services have none."""
        return self.shell.rpartition("/")[2] not in NO_SHELL


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key with which somebody may log in as `user`."""

    path: str  # of its file, as the device names it
    user: str
    sort: str  # "ssh-ed25519"
    fingerprint: str  # as `ssh-keygen -l` shows it: "SHA256:..."
    options: str = ""  # what it is restricted to, as a digest
    comment: str = ""


@dataclass(slots=True, kw_only=True)
class People:
    """All of it. `unseen`: files that may not be read, "PATH: why"."""

    accounts: dict[str, Account] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)  # accounts that need no password
    powers: dict[str, set[str]] = field(default_factory=dict)  # members of each powerful group
    keys: list[Key] = field(default_factory=list)
    written: dict[str, datetime] = field(default_factory=dict)  # files, and when each was last written
    unseen: list[str] = field(default_factory=list)
    stamps: dict[str, str] = field(default_factory=dict)  # of all files that were looked for, before they were read


def look(root: Path) -> People:
    """Read it all."""
    people = People()
    for fields in _fields(people, root, ACCOUNTS, 7):
        name, _, uid, gid, _, home, shell = fields
        if uid.isdigit() and gid.isdigit() and name[:1] not in ("+", "-", ""):  # NIS
            account = Account(name=name, uid=int(uid), gid=int(gid), home=home, shell=shell or "/bin/sh")
            people.accounts.setdefault(name, account)
            if not fields[1]:
                people.open.add(name)
    people.open |= {fields[0] for fields in _fields(people, root, SHADOW, 9) if not fields[1]} & people.accounts.keys()
    for name, _, gid, members in _fields(people, root, GROUP, 4):
        if name in POWERFUL:
            primary = {each.name for each in people.accounts.values() if gid == str(each.gid)}
            people.powers[name] = ({*members.split(",")} | primary) - {"", ROOT}
    _look_for_keys(people, root)
    return people


def _fields(people: People, root: Path, path: str, count: int) -> Iterator[list[str]]:
    """The lines of a file of the system, each cut at its colons; at least so many fields."""
    for line in _lines(people, root, path)[:MAX_ACCOUNTS]:
        fields = line.split(":")
        if len(fields) >= count and not line.startswith("#"):
            yield fields[:count]


def _look_for_keys(people: People, root: Path) -> None:
    patterns = key_files(root, people)
    seen: set[str] = set()
    for account in people.accounts.values():
        for pattern in patterns:
            path = _expand(pattern, account)
            if path in seen:
                continue
            seen.add(path)
            people.keys += _keys(people, root, path, account.name)
    if DROPBEAR not in seen:
        people.keys += _keys(people, root, DROPBEAR, "root")


def _keys(people: People, root: Path, path: str, user: str) -> Iterator[Key]:
    for line in _lines(people, root, path):
        if len(people.keys) < MAX_KEYS and (key := parse_key(line, path, user)) is not None:
            yield key


def parse_key(line: str, path: str, user: str) -> Key | None:
    """One line of authorized_keys; None: it holds no key."""
    line = line.strip()
    found = None if line.startswith("#") else _KEY.search(line)
    if found is None:
        return None
    import hashlib  # mostly nobody has keys

    try:
        blob = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        return None
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    options = line[: found.start()].strip()
    return Key(
        path=path,
        user=user,
        sort=found[1],
        fingerprint=f"SHA256:{digest}",
        options=hashlib.sha256(options.encode(errors="replace")).hexdigest()[:12] if options else "",
        comment=(found[3] or "").strip()[:80],
    )


def key_files(root: Path, people: People) -> Sequence[str]:
    """Where sshd looks for keys: as `AuthorizedKeysFile` outside of `Match` says; else in the usual places."""
    for line in _configuration(root, people, "/etc/ssh/sshd_config", depth=0):
        word, *values = line.replace("=", " ", 1).split()
        if word.lower() == "authorizedkeysfile" and values:
            return () if values == ["none"] else tuple(each.strip('"') for each in values)
    return DEFAULT_KEYS


def _configuration(root: Path, people: People, path: str, depth: int) -> Iterator[str]:
    """Its lines up to the first `Match`, with those of included files."""
    for line in _lines(people, root, path):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].lower() == "match":
            return
        if words[0].lower() != "include":
            yield line
        elif depth < 4:
            for pattern in words[1:]:
                absolute = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
                directory = str((root / absolute.lstrip("/")).parent)
                people.stamps[directory] = stamp(directory)
                for each in sorted(root.glob(absolute.lstrip("/"))):
                    yield from _configuration(root, people, f"/{each.relative_to(root)}", depth + 1)


def _expand(pattern: str, account: Account) -> str:
    """%h is the home, %u the name; what is not absolute is in the home."""
    tokens = {"%%": "%", "%h": account.home, "%u": account.name, "%U": str(account.uid)}
    path = re.sub(r"%.", lambda found: tokens.get(found[0], found[0]), pattern)
    return path if path.startswith("/") else f"{account.home.rstrip('/')}/{path}"


def _lines(people: People, root: Path, path: str) -> list[str]:
    """The lines of a file, none when there is no such file; notes when it was written, or that it cannot be read."""
    people.stamps[str(root / path.lstrip("/"))] = stamp(str(root / path.lstrip("/")))
    try:
        fd = os.open(root / path.lstrip("/"), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        people.unseen.append(f"{path}: {exc.strerror}")
        return []
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return []
        people.written[path] = datetime.fromtimestamp(status.st_mtime, UTC)
        return file.read(FILE_BYTES).decode(errors="replace").splitlines()


def snapshot(people: People) -> dict[str, dict[str, str]]:
    """What there is, in short: by the file (of keys: all files) that says it, each fact and what it says."""
    return {
        ACCOUNTS: {each.name: f"{each.uid}:{each.shell}" for each in people.accounts.values()},
        SHADOW: dict.fromkeys(sorted(people.open), ""),
        GROUP: {f"{name} {member}": "" for name, members in people.powers.items() for member in sorted(members)},
        KEYS: {f"{each.path} {each.fingerprint}": each.options for each in people.keys},
    }
