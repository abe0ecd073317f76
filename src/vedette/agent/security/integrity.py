"""Have executables or configuration files been changed, added, moved or taken away?

What a package or a deployment explains is recorded and becomes the new baseline; all else is a finding until the file
is as it was, or is accepted. Files are read when their size, times or inode say so, and each at least once a day, so
that a change with times set back is found too.
"""

import hashlib
import os
import zlib
from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from shlex import quote
from stat import S_ISSOCK, filemode
from typing import Any, Final

from vedette.agent.security import accountlines, explain, filestate
from vedette.agent.security.accountlines import AccountLines
from vedette.agent.security.explain import Change, Deployments
from vedette.agent.security.filestate import UNKNOWN, FileState
from vedette.agent.security.owners import Owners
from vedette.agent.security.packages import Claim, Packages
from vedette.agent.security.presence import Presence
from vedette.agent.security.scanner import Context, Finding, Report
from vedette.agent.security.settled import settled
from vedette.agent.security.walk import Entry, Seen, Walk
from vedette.errors import Unavailable

MAX_FILES: Final = 50_000
READ_ALL_S: Final = 86_400
"""Each file is read again at least so often, a part with each scan."""


class Scanner:
    """The kind `integrity`."""

    heavy = True

    def scan(self, context: Context) -> Report:
        """Look once."""
        packages = Packages(context.root)
        turn = int((context.memory or {}).get("turn", 0))
        return settled(context, packages, lambda: _Scan(context, packages, turn).report())


@dataclass(slots=True)
class _Open:
    """Something that is not as it was, and has been reported."""

    now: str  # the state of the file in a line, "" when it is gone
    package: str = ""  # that brought it, with its version
    restore: str = ""  # the command that brings it back
    unlike: bool = False  # it differs from what its package says

    def pack(self) -> list[Any]:
        return [self.now, self.package, self.restore, self.unlike]


class _Scan:
    """One scan. `_files` is what counts as right, `_open` what is not so, `_now` what is there."""

    def __init__(self, context: Context, packages: Packages, turn: int) -> None:
        self._context, self._packages, self._packages_now = context, packages, packages.changed()
        settings, self._before = context.settings, context.baseline or {}
        self._turn, self._turns = turn, max(1, READ_ALL_S // settings["interval"])
        self._by_packages: bool = settings["packages"]
        self._seen_before = Seen(self._before.get("seen", {}))
        self._walk = Walk(
            context.root,
            settings["paths"],
            exclude=settings["exclude"],
            clock=context.clock,
            until=context.until,
        )
        self._owners, self._presence = Owners(context.root), Presence(context.root)
        self._deployments = Deployments(context.root, context.state)
        self._files: dict[str, str] = dict(self._before.get("files", {}))
        self._open = {path: _Open(*each) for path, each in self._before.get("open", {}).items()}
        self._accounts = AccountLines(context.root, self._before.get("accounts", {}))
        self._now: dict[str, FileState] = {}
        self._hashes: dict[str, dict[str, bytes]] = {}
        self._unread = 0
        self._partial = False
        self._notes: list[str] = []

    def report(self) -> Report:
        """Look at all, and tell."""
        self._look()
        self._partial |= self._walk.partial
        changes = {change.path: change for change in self._changes()}
        self._judge(changes)
        self._open = {path: each for path, each in self._open.items() if path in changes or self._kept(path)}
        baseline = self._baseline()
        if self._unread and not self._before.get("learned"):
            self._notes.append(f"{self._unread} files cannot be read: only their rights, sizes and times are watched")
        return Report(
            findings=tuple(self._findings()),
            baseline=baseline if baseline != self._before else None,
            memory={"turn": (self._turn + 1) % self._turns},
            notes=self._notes,
            unseen=self._walk.unseen,
            partial=self._partial,
        )

    # --- what is there -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        for entry in self._walk:
            if len(self._now) >= MAX_FILES:
                self._partial = True
                self._notes.append(f"more than {MAX_FILES} files: the others are not watched; leave some places out")
                return
            if S_ISSOCK(entry.stat.st_mode):
                continue
            path = entry.path
            try:
                self._now[path] = self._state(entry, path)
            except FileNotFoundError:
                continue
            except Unavailable:
                self._partial = True
                return

    def _state(self, entry: Entry, path: str) -> FileState:
        state = filestate.of(entry)
        due = zlib.crc32(os.fsencode(path)) % self._turns == self._turn
        opened = self._open.get(path)
        texts = (opened.now if opened else "", self._files.get(path, ""))
        again = opened is not None and self._news  # it may be explained now: that takes all hashes
        known = [FileState.parse(text) for text in texts if text and not again]
        for each in known:
            if state.untouched(each) and not (state.is_file and due):
                return replace(state, content=each.content)
        try:
            if state.is_link:
                return replace(state, content=entry.target())
            if not state.is_file:
                return state
            content = ""
            if due and known:  # most likely nothing has changed
                content = filestate.content(filestate.digests(entry, ("sha256",), self._late)["sha256"])
                if any(content == each.content for each in known):
                    return replace(state, content=content)
            hashes = filestate.digests(entry, {"sha256", *self._packages.algorithms}, self._late)
            self._hashes[path] = hashes
            return replace(state, content=filestate.content(hashes["sha256"]))
        except FileNotFoundError:
            raise
        except OSError:
            self._unread += 1
            return state

    def _late(self) -> bool:
        return self._context.clock.elapsed() > self._context.until

    def _changes(self) -> Iterator[Change]:
        """What is not as it was. On the way, what only has other times is taken over."""
        for path, new in self._now.items():
            old = FileState.parse(self._files[path]) if path in self._files else None
            if old is None or not new.same(old):
                yield Change(path=path, old=old, new=new, hashes=self._hashes.get(path, {}))
            elif new.content != UNKNOWN and not (new.untouched(old) and new.content == old.content):
                self._files[path] = replace(new, packaged=old.packaged).text()
        if self._partial:
            return
        for path in [path for path in self._files if path not in self._now]:
            if self._walk.covers(path):
                yield Change(path=path, old=FileState.parse(self._files[path]), new=None, hashes={})
            elif not self._walk.hidden(path):
                del self._files[path]  # it is watched no more

    # --- what it means -----------------------------------------------------------------------------------------------

    def _judge(self, changes: dict[str, Change]) -> None:
        """Each change is taken over, or opened."""
        mark = self._before.get("deployed", {})
        asked = {path: change for path, change in changes.items() if self._news or not self._is_open(change)}
        claims = self._claims(asked.values())
        explained: dict[str, list[str]] = {}
        for path, change in asked.items():
            claim = claims.get(path)
            kin = claims.get(self._kin(change))
            if self._by_packages and (
                explain.by_package(change, claim, kin, self._last_packages, self._packages_now)
                or self._is_of_service(change)
            ):
                by = f"the package {claim}" if claim else "a package that came or went"
            else:
                by = self._deployments.explains(change, mark)
                by = by and f"the deployment {by}"
            unlike = (
                change.new is not None
                and claim is not None
                and self._by_packages
                and not claim.configuration
                and bool(change.hashes)
                and explain.as_packaged(claim, change.new, change.hashes) is False
            )
            if by or (self._learns(path) and change.old is None and not unlike):
                self._take_over(change, claim)
                if by and not self._learns(path):
                    explained.setdefault(by, []).append(path)
                continue
            self._open[path] = _Open(
                change.new.text() if change.new else "",
                str(claim or ""),
                claim.restore if claim else "",
                unlike,
            )
        for by, paths in explained.items():
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            self._notes.append(f"{min(paths)}{more} changed by {by}")

    @property
    def _last_packages(self) -> int:
        return int(self._before.get("packages", 0))

    @cached_property
    def _news(self) -> bool:
        """Were there packages or deployments since, which may explain what is known already?"""
        deployed = self._deployments.mark() != self._before.get("deployed", {})
        return deployed or self._packages_now != self._last_packages

    def _is_of_service(self, change: Change) -> bool:
        """Has a package made an account for its service?"""
        path, old, new = change.path, change.old, change.new
        if path not in accountlines.PATHS or old is None or new is None or self._packages_now == self._last_packages:
            return False
        return new.has_rights_of(old) and self._accounts.only_services_came(path, new)

    def _claims(self, changes: Iterable[Change]) -> dict[str, Claim]:
        return self._packages.claims({path for change in changes for path in (change.path, self._kin(change)) if path})

    def _kin(self, change: Change) -> str:
        return self._packages.seen(explain.kin(change))

    def _is_open(self, change: Change) -> bool:
        """Is it known already, just so?"""
        known = self._open.get(change.path)
        if known is None or (change.new is None) != (not known.now):
            return False
        return change.new is None or change.new.same(FileState.parse(known.now))

    def _learns(self, path: str) -> bool:
        """Is it looked at for the first time, so that all is taken for right?"""
        return not self._before.get("learned") or not self._seen_before.covers(path)

    def _take_over(self, change: Change, claim: Claim | None) -> None:
        self._open.pop(change.path, None)
        if change.new is None:
            self._files.pop(change.path, None)
        else:
            self._files[change.path] = replace(change.new, packaged=claim is not None).text()

    def _kept(self, path: str) -> bool:
        """It was open; was it not looked at this time?"""
        return path not in self._now and (self._partial or self._walk.hidden(path))

    def _baseline(self) -> dict[str, Any]:
        before, whole = self._before, not self._partial
        return {
            "learned": bool(before.get("learned")) or whole,
            "seen": self._walk.seen() if whole else before.get("seen", {}),
            "packages": self._packages_now if whole else self._last_packages,
            "deployed": self._deployments.mark() if whole else before.get("deployed", {}),
            "files": self._files,
            "accounts": before.get("accounts", {}) | self._accounts.kept(self._right_accounts()),
            "open": {path: each.pack() for path, each in self._open.items()},
        }

    def _right_accounts(self) -> dict[str, FileState]:
        there = (path for path in accountlines.PATHS if path in self._files and path in self._now)
        return {path: self._now[path] for path in there if self._now[path].text() == self._files[path]}

    # --- what is told ------------------------------------------------------------------------------------------------

    def _findings(self) -> Iterator[Finding]:
        """The worst first. A directory that came or went stands for all that is in it."""
        states = {
            path: (
                FileState.parse(self._files[path]) if path in self._files else None,
                FileState.parse(each.now) if each.now else None,
            )
            for path, each in self._open.items()
        }
        gone = _Group({path: old for path, (old, new) in states.items() if old is not None and new is None})
        added = _Group({path: new for path, (old, new) in states.items() if old is None and new is not None})
        origins = {
            state.content: path
            for path, state in sorted(gone.items(), reverse=True)
            if state.is_file and state.size and state.content != UNKNOWN
        }
        moved = {path: origins[state.content] for path, state in added.items() if state.content in origins}
        left = set(moved.values())
        told: list[tuple[int, Finding]] = []
        for path, (old, new) in states.items():
            each = self._open[path]
            if new is None:
                if path not in left and not gone.is_inside(path):
                    inside, _ = gone.inside(path)
                    told.append((3, self._tell(path, "GONE", f"{path} is gone{inside}", None, "", each)))
            elif old is not None:
                status, what = self._difference(path, old, new)
                repair = self._repair(path, old, new) if status == "RIGHTS" else ""
                told.append((0, self._tell(path, status, what, new, "", each, repair)))
            elif path in moved:
                what = f"{moved[path]} was moved to {path}"
                told.append((1, self._tell(path, "MOVED", what, new, moved[path], each)))
            elif each.unlike:
                what = f"{path} is not as the package {each.package} brought it: {self._looks(new)}"
                told.append((1, self._tell(path, "UNLIKE_PACKAGE", what, new, "", each)))
            elif not added.is_inside(path):
                inside, print_ = added.inside(path)
                what = f"{path} was not there before: {self._looks(new)}{inside}"
                told.append((2, self._tell(path, "ADDED", what, new, print_, each)))
        yield from (each for _, each in sorted(told, key=lambda pair: (pair[0], pair[1].key)))

    def _difference(self, path: str, old: FileState, new: FileState) -> tuple[str, str]:
        """The status, and what has changed, in words."""
        parts = []
        if old.is_link and new.is_link and old.content != new.content:
            parts.append(f"points to {new.content}, before to {old.content}")
        elif filemode(old.mode)[0] != filemode(new.mode)[0]:
            parts.append(f"was {_sort(old)} and is {_sort(new)}")
        elif old.content != new.content or UNKNOWN in {old.content, new.content}:
            not_newer = old.modified >= new.modified and UNKNOWN not in {old.content, new.content}
            parts.append(
                f"has other content ({old.size} bytes before, {new.size} now)"
                + (", though its time of modification is not newer" if not_newer else "")
            )
        status = "CHANGED" if parts else "RIGHTS"
        if status == "CHANGED" and old.inode != new.inode:
            status = "REPLACED"
        if old.mode != new.mode and not new.is_link:
            parts.append(f"has the rights {filemode(new.mode)}, before {filemode(old.mode)}")
        if (old.uid, old.gid) != (new.uid, new.gid):
            before, now = self._owners.both(old.uid, old.gid), self._owners.both(new.uid, new.gid)
            parts.append(f"belongs to {now}, before to {before}")
        return status, f"{path} {'; '.join(parts)}"

    def _looks(self, state: FileState) -> str:
        if state.is_link:
            return f"a link to {state.content}"
        size = f", {state.size} bytes" if state.is_file else ""
        return f"{filemode(state.mode)} {self._owners.both(state.uid, state.gid)}{size}"

    def _repair(self, path: str, old: FileState, new: FileState) -> str:
        owner = f"chown -h {self._owners.both(old.uid, old.gid)} {quote(path)}"
        mode = f"chmod {old.mode & 0o7777:o} {quote(path)}"  # behind the owner: his change takes set-uid bits away
        return " && ".join([owner] * ((old.uid, old.gid) != (new.uid, new.gid)) + [mode] * (not new.is_link))

    def _tell(
        self, path: str, status: str, what: str, new: FileState | None, more: str, opened: _Open, repair: str = ""
    ) -> Finding:
        """`more` belongs to what people accept: where it came from, or what is in it."""
        if status == "ADDED":
            repair = f"remove it: rm -r {quote(path)}"
        elif not repair:
            repair = f"bring it back: {opened.restore}" if opened.restore else "bring it back as it was"
        since = new.since if new is not None else None
        owner = f"its owner is {self._owners.user(new.uid)}" if new is not None else ""
        package = f"it is of the package {opened.package}, which did not make this change" if opened.package else ""
        return Finding(
            key=path,
            name=f"File '{path}' is not as it was",
            status=f"FILE_{status}",
            what=what,
            where=path,
            since=since,
            by="; ".join(each for each in ("not recorded", self._presence.at(since), owner, package) if each),
            do=repair,
            fingerprint=f"{more} {new.identity() if new is not None else 'gone'}".strip(),
        )


class _Group(dict[str, FileState]):
    """Paths that came, or that went."""

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self)

    def is_inside(self, path: str) -> bool:
        """Did the directory that it is in come or go too?"""
        above = self.get(path.rpartition("/")[0])
        return above is not None and above.is_directory

    def inside(self, path: str) -> tuple[str, str]:
        """How much is in it, in words, and a digest of it."""
        first, end = (bisect(self._sorted, path + each) for each in ("/", "0"))  # "0" is what comes behind "/"
        if first == end:
            return "", ""
        text = "\n".join(f"{each} {self[each].identity()}" for each in self._sorted[first:end])
        what = f", with {end - first} {'file' if end - first == 1 else 'files and directories'} in it"
        return what, hashlib.sha256(os.fsencode(text)).hexdigest()


def _sort(state: FileState) -> str:
    return {"d": "a directory", "l": "a link", "-": "a file"}.get(filemode(state.mode)[0], "a device or a pipe")
