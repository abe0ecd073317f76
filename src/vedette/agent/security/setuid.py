"""Which files give whoever runs them the rights of another one: set-uid, set-gid, or file capabilities?

What the first scan finds is right, if the settings say so; later ones tell what came and what changed, also while the
device was off. Where a file system is mounted so that such bits have no effect ("nosuid"), nobody need look.
"""

import stat
from collections.abc import Iterator
from dataclasses import replace
from shlex import quote
from typing import Final

from vedette.agent.security import explain, filecaps, filestate
from vedette.agent.security.explain import Change, Deployments
from vedette.agent.security.filestate import UNKNOWN, FileState
from vedette.agent.security.mounts import Mount
from vedette.agent.security.owners import Owners
from vedette.agent.security.packages import Claim, Packages
from vedette.agent.security.patterns import Patterns
from vedette.agent.security.presence import Presence
from vedette.agent.security.scanner import Context, Finding, Report
from vedette.agent.security.settled import settled
from vedette.agent.security.walk import Entry, Seen, Walk
from vedette.errors import Unavailable

MAX_FILES: Final = 10_000
_EXECUTABLE: Final = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


class Scanner:
    """The kind `setuid`."""

    heavy = True

    def scan(self, context: Context) -> Report:
        """Look once."""
        packages = Packages(context.root)
        return settled(context, packages, lambda: _Scan(context, packages).report())


class _Scan:
    """One scan. `_files` is what counts as right, a line for each; `_now` is what there is."""

    def __init__(self, context: Context, packages: Packages) -> None:
        settings = context.settings
        self._context, self._packages, self._before = context, packages, context.baseline or {}
        self._allow = Patterns(settings["allow"])
        self._walk = Walk(
            context.root,
            settings["paths"],
            exclude=settings["exclude"],
            clock=context.clock,
            until=context.until,
            leave=_without_effect,
        )
        self._given = settings["baseline"] == "given"
        if self._given:
            self._before = {}  # only the list counts, and nothing is kept
        self._may_learn = not self._given and context.baseline != {}
        self._learns = not self._before or bool(self._before.get("learns"))
        self._seen_before = Seen(self._before.get("seen", {}))
        self._files: dict[str, str] = dict(self._before.get("files", {}))
        self._now: dict[str, FileState] = {}
        self._deployments = Deployments(context.root, context.state)
        self._hashes: dict[str, dict[str, bytes]] = {}
        self._partial = False
        self._owners, self._presence = Owners(context.root), Presence(context.root)
        self._notes: list[str] = []

    def report(self) -> Report:
        """Look at all, and tell."""
        self._look()
        self._partial |= self._walk.partial
        findings = tuple(self._judged())
        if not self._partial:
            for path in self._files.keys() - self._now.keys():
                if not self._walk.hidden(path):
                    del self._files[path]  # should it come again, that is news
        seen_before = self._before.get("seen", {})
        seen = self._walk.seen() if not self._partial else seen_before
        baseline = {
            "files": self._files,
            "learns": self._learns and self._partial,
            "packages": self._packages.changed(),
            "deployed": self._deployments.mark() if not self._partial else self._before.get("deployed", {}),
            "seen": seen,
        }
        left = seen.get("left", [])
        if left and left != seen_before.get("left") and not self._given:
            self._notes.append(f"not looked at, as set-uid bits have no effect there: {', '.join(left)}")
        return Report(
            findings=findings,
            baseline=baseline if baseline != self._before and not self._given else None,
            notes=self._notes,
            unseen=self._walk.unseen,
            partial=self._partial,
        )

    # --- what is there -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        for entry in self._walk:
            mode = entry.stat.st_mode
            if not mode & _EXECUTABLE or not stat.S_ISREG(mode):
                continue
            capabilities = _capabilities(entry)
            # Without the group's right to execute, the set-gid bit once meant something else, and gives nothing.
            group = mode & stat.S_ISGID and mode & stat.S_IXGRP
            if not (capabilities or mode & stat.S_ISUID or group):
                continue
            if len(self._now) >= MAX_FILES:
                self._partial = True
                self._notes.append(f"more than {MAX_FILES} such files: leave some places out")
                return
            path = entry.path
            try:
                self._now[path] = self._state(entry, path, capabilities)
            except FileNotFoundError:
                continue
            except Unavailable:
                self._partial = True
                return

    def _state(self, entry: Entry, path: str, capabilities: str) -> FileState:
        state = replace(filestate.of(entry), capabilities=capabilities)
        if path in self._files:
            old = FileState.parse(self._files[path])
            if old.untouched(state) and old.content != UNKNOWN:
                return replace(state, content=old.content)
        try:
            hashes = filestate.digests(entry, {"sha256", *self._packages.algorithms}, self._late)
        except FileNotFoundError:
            raise
        except OSError:  # such files often may not be read: then size and time have to do
            return state
        self._hashes[path] = hashes
        return replace(state, content=filestate.content(hashes["sha256"]))

    def _late(self) -> bool:
        return self._context.clock.elapsed() > self._context.until

    # --- what it means -----------------------------------------------------------------------------------------------

    def _judged(self) -> Iterator[Finding]:
        """What is not right. All else goes into the baseline."""
        olds = {path: FileState.parse(self._files[path]) for path in self._now if path in self._files}
        news = {path for path, new in self._now.items() if path not in olds or not new.same(olds[path])}
        asked = {path for path in news if not self._allow.match(path) and not self._is_learned(path, olds.get(path))}
        claims = self._packages.claims(asked) if asked else {}
        for path, new in sorted(self._now.items()):
            old, claim = olds.get(path), claims.get(path)
            if path in asked:
                if not (by := self._update(path, old, new, claim)):
                    yield self._tell(path, old, new, claim)
                    continue
                self._notes.append(f"{path} changed by {by}")
            elif path in news and self._allow.match(path):
                continue
            if old is None or new.content != UNKNOWN or old.content == UNKNOWN:
                self._files[path] = new.text()

    def _is_learned(self, path: str, old: FileState | None) -> bool:
        """Is it looked at for the first time, and taken for right?"""
        return old is None and self._may_learn and (self._learns or not self._seen_before.covers(path))

    def _update(self, path: str, old: FileState | None, new: FileState, claim: Claim | None) -> str:
        """The package or deployment that changed what it does, but not what it may do; "" when none did."""
        if old is None or not new.has_rights_of(old):
            return ""
        hashes = self._hashes.get(path, {})
        if claim is not None:
            agrees = explain.as_packaged(claim, new, hashes)
            if claim.installed > int(self._before.get("packages", 0)) if agrees is None else agrees:
                return f"the package {claim}"
        change = Change(path=path, old=old, new=new, hashes=hashes)
        deployment = self._deployments.explains(change, self._before.get("deployed", {}))
        return deployment and f"the deployment {deployment}"

    def _tell(self, path: str, old: FileState | None, new: FileState, claim: Claim | None) -> Finding:
        owner = f"its owner is {self._owners.user(new.uid)}"
        package = f"it is of the package {claim}" if claim else "it is of no package"
        return Finding(
            key=path,
            name=f"File '{path}' gives the rights of another one",
            status="SETUID_NEW" if old is None else "SETUID_CHANGED",
            what=f"{path} {self._words(old, new)}",
            where=path,
            since=new.since,
            by="; ".join(each for each in ("not recorded", self._presence.at(new.since), owner, package) if each),
            do=f"take the rights away: {' && '.join(_commands(path, new))}",
            fingerprint=new.identity(),
        )

    def _words(self, old: FileState | None, new: FileState) -> str:
        modified = filestate.moment(new.modified)
        when = f", modified {modified.isoformat(timespec='seconds')}" if modified else ""
        looks = f"{stat.filemode(new.mode)} {self._owners.both(new.uid, new.gid)}, {new.size} bytes{when}"
        gives = " and ".join(self._rights(new))
        if old is None:
            news = " and is not on the list" if self._given else " and did not before" if self._before else ""
            return f"gives {gives}{news}: {looks}"
        parts = []
        if old.mode != new.mode:
            parts.append(f"its rights, before {stat.filemode(old.mode)}")
        if (old.uid, old.gid) != (new.uid, new.gid):
            parts.append(f"its owner, before {self._owners.both(old.uid, old.gid)}")
        if old.capabilities != new.capabilities:
            parts.append(f"its capabilities, before {old.capabilities or 'none'}")
        if old.content != new.content or not parts:
            parts.append(f"its content, before {old.size} bytes")
        return f"gives {gives} and has changed {', '.join(parts)}: {looks}"

    def _rights(self, state: FileState) -> Iterator[str]:
        user, _, group = self._owners.both(state.uid, state.gid).partition(":")
        if state.mode & stat.S_ISUID:
            yield f"the rights of the user {user}"
        if state.mode & stat.S_ISGID:
            yield f"the rights of the group {group}"
        if state.capabilities:
            yield state.capabilities


def _capabilities(entry: Entry) -> str:
    try:
        value = entry.attribute(filecaps.ATTRIBUTE)
    except FileNotFoundError:
        return ""
    except OSError as exc:
        return f"unreadable: {exc.strerror}"
    return filecaps.decode(value) if value else ""


def _commands(path: str, state: FileState) -> Iterator[str]:
    bits = ("u" if state.mode & stat.S_ISUID else "") + ("g" if state.mode & stat.S_ISGID else "")
    if bits:
        yield f"chmod {bits}-s {quote(path)}"
    if state.capabilities:
        yield f"setcap -r {quote(path)}"


def _without_effect(mount: Mount) -> bool:
    return mount.nosuid or mount.image
