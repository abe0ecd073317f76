"""Is a file as a package brought it, or a deployment? Then its change is recorded and no finding."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from vedette.agent.security.filestate import FileState
from vedette.agent.security.packages import Claim
from vedette.agent.security.patterns import Patterns

GENERATED: Final = Patterns(("/etc/ld.so.cache", "/etc/mailcap", "/etc/rc?.d", "/etc/ssl/certs"))
"""What the scripts of packages write, and no package claims: taken for theirs when packages came or went meanwhile."""
_LEFT: Final = (".dpkg-dist", ".dpkg-old", ".dpkg-bak", ".ucf-dist", ".ucf-old", ".apk-new", "-opkg")
"""Behind the names of configuration files that a package manager puts beside one that people have changed."""
_RISKY: Final = stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH
_APPLYING: Final = timedelta(minutes=10)
"""A configuration changes files for so long at most before its deployment is noted as done."""
_ARTIFACT: Final = "etc/mender/artifact_info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One path that is not as it was."""

    path: str
    old: FileState | None  # None: there was nothing
    new: FileState | None  # None: there is nothing
    hashes: Mapping[str, bytes]  # of the new content, by name; empty where it was not read


def as_packaged(claim: Claim, state: FileState, hashes: Mapping[str, bytes]) -> bool | None:
    """Has it the content that its package says? None: the package does not say, or nobody knows."""
    if state.is_link:
        if claim.link is not None:
            return state.content == claim.link
        if claim.digest and claim.algorithm and not claim.configuration:
            target = state.content.encode("utf-8", "surrogateescape")
            return hashlib.new(claim.algorithm, target, usedforsecurity=False).digest() == claim.digest
        return None
    if not claim.digest or not state.is_file or claim.algorithm not in hashes:
        return None
    return hashes[claim.algorithm] == claim.digest


def kin(change: Change) -> str:
    """The file that a package should have brought when its scripts, or its manager, made this one: "" when none is."""
    if change.new is None:
        return ""
    if change.new.is_link:
        target = change.new.content
        return os.path.normpath(target if target.startswith("/") else f"{change.path.rpartition('/')[0]}/{target}")
    base = change.path.removesuffix(next((each for each in _LEFT if change.path.endswith(each)), ""))
    return base if base != change.path else ""


def by_package(change: Change, claim: Claim | None, kin: Claim | None, before: int, now: int) -> bool:
    """Has a package made this change?

    Args:
        kin: what packages say of the file that the function `kin` names.
        before, now: when packages last came or went (`Packages.changed`) at the last scan, and at this one.
    """
    old, new = change.old, change.new
    if claim is None:
        if now == before:
            return False
        if new is None:
            return old is not None and (old.packaged or GENERATED.match(change.path))
        if new.is_link:
            alternative = new.content.startswith("/etc/alternatives/")
            return alternative or (change.path.startswith("/etc/") and kin is not None)
        return GENERATED.match(change.path) or (old is None and kin is not None and kin.configuration)
    if new is None or (claim.mode and stat.S_IFMT(claim.mode) not in {0, stat.S_IFMT(new.mode)}):
        return False
    fresh = claim.installed > before
    rights = new.is_link or (_mode(old, new, claim, fresh) and _owner(old, new, claim, fresh))
    agrees = as_packaged(claim, new, change.hashes)
    return rights and (fresh if agrees is None else agrees)


def _mode(old: FileState | None, new: FileState, claim: Claim, fresh: bool) -> bool:
    """Has the package, as far as it says, given these rights?"""
    if claim.mode is not None:
        return stat.S_IMODE(new.mode) == stat.S_IMODE(claim.mode)
    if old is not None and old.mode == new.mode:
        return True
    gained = new.mode & _RISKY if old is None or old.is_link else new.mode & ~old.mode & _RISKY
    return not gained and (old is None or fresh)


def _owner(old: FileState | None, new: FileState, claim: Claim, fresh: bool) -> bool:
    if claim.owner is not None:
        return claim.owner == (new.uid, new.gid)
    return fresh or old is None or (old.uid, old.gid) == (new.uid, new.gid)


class Deployments:
    """What has been deployed to this device, as far as its files say. One that is new explains what changed."""

    def __init__(self, root: Path, state: Path) -> None:
        try:
            self.artifact = (root / _ARTIFACT).read_text(errors="replace")[:4096].strip()
        except OSError:
            self.artifact = ""
        try:
            self._device = root.stat().st_dev
        except OSError:
            self._device = 0
        self._last = {str(each.get("id")): each for each in _record(state / "deployments.json")}

    def mark(self) -> dict[str, Any]:
        """To be kept, and given to `explains` by the next scan."""
        return {"artifact": self.artifact, "device": self._device, "ids": list(self._last)}

    def explains(self, change: Change, mark: Mapping[str, Any]) -> str:
        """The deployment that made this change since `mark`, "" when none did.

        Another artifact of the whole system explains all, if the system also lies on another file system, as it does
        after such an update; a configuration explains what was changed while it was applied.
        """
        if self.artifact and mark.get("artifact") not in {None, "", self.artifact} and mark["device"] != self._device:
            return self.artifact.rpartition("=")[2]
        if change.new is None or change.new.since is None:
            return ""
        for id_, each in self._last.items():
            if id_ in mark.get("ids", ()):
                continue
            try:
                done = datetime.fromisoformat(str(each.get("at")))
                if done - _APPLYING <= change.new.since <= done:
                    return str(each.get("artifact", id_))
            except (ValueError, TypeError):
                continue
        return ""


def _record(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
