"""The one place that decides what a user may do, and with which devices. Pure; default deny.

A call (method and path) is allowed when a permission of one of the user's roles matches it. Each permission holds for
the whole tenant or for some static groups: the devices of exactly these can be reached in this call.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from vedette.errors import Denied
from vedette.server.db.regex import matches

Call = tuple[str, str]
"""Method and path of the management API; what a page does is allowed as the call of the API that does the same."""

# What pages and services ask for. Only SuperUser matches what is no path of the API.
ANYBODY: Final[Call] = ("", "")  # who has logged in, whatever he may do; reaches no device
EVERYTHING: Final[Call] = ("any", "everything")
SEE_DEVICES: Final[Call] = ("GET", "/api/management/v1/inventory/devices")
SEE_ALERTS: Final[Call] = ("GET", "/api/management/v1/devicemonitor/devices")
SEE_PROBLEMS: Final[Call] = ("GET", "/api/management/v1/vedette/problems")
ACKNOWLEDGE: Final[Call] = ("PUT", "/api/management/v1/vedette/devices/-/problems/")
MANAGE_DEVICES: Final[Call] = ("PUT", "/api/management/v2/devauth/devices/")
SEE_CONFIGURATION: Final[Call] = ("GET", "/api/management/v1/deviceconfig/configurations/device/")
STOP_DEPLOYMENTS: Final[Call] = ("PUT", "/api/management/v1/deployments/deployments/")
CONFIGURE_DEVICES: Final[Call] = ("PUT", "/api/management/v1/deviceconfig/configurations/device/")
SWITCH_ALERTS: Final[Call] = ("PUT", "/api/management/v1/devicemonitor/settings/global/channel/alerts/email/status")
SEE_USERS: Final[Call] = ("GET", "/api/management/v1/useradm/users")
MANAGE_USERS: Final[Call] = ("POST", "/api/management/v1/useradm/users")

OWN_ACCOUNT: Final = re.compile(r"/api/management/v[1-9]/useradm/(settings/(me|tokens)|users/me|2fa)")

DEVICE_GROUPS: Final = "DeviceGroups"
RELEASE_TAGS: Final = "ReleaseTags"
METHODS: Final = ("any", "GET", "POST", "PUT", "PATCH", "DELETE")
FORBIDDEN: Final = "forbidden by role-based access control"
MAX_RULES: Final = 100  # patterns of one user, of all his roles together
RULE_STEPS: Final = 1000  # of PCRE for one of them: everybody waits for it; a pattern for paths takes some tens
MAX_PATH: Final = 1024  # characters; what a pattern cannot see whole is refused
NOBODY: Final[frozenset[str]] = frozenset()

Groups = frozenset[str] | None
"""Static groups; None: every device of the tenant."""


@dataclass(frozen=True, slots=True)
class Permission:
    """A method ("any": all) and a PCRE that a path begins with."""

    method: str
    path: str

    def allows(self, method: str, path: str) -> bool:
        return self.method in {"any", method} and matches(self.whole(), path, RULE_STEPS)

    def whole(self) -> str:
        """The pattern as it is matched: also one that begins and ends with a slash means what it says."""
        return f"(?:{self.path})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionSet:
    """Permissions that go together, under a name that roles refer to."""

    name: str
    description: str
    action: str  # its name in the older form of roles
    object: str
    permissions: tuple[Permission, ...]
    scopes: tuple[str, ...]  # what it can be narrowed to

    def allows(self, method: str, path: str) -> bool:
        return any(each.method in {"any", method} and _compiled(each.path).match(path) for each in self.permissions)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Of our own table only: a pattern that somebody gave us goes through PCRE, which can be bounded in time."""
    return re.compile(pattern)


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission set given by a role, perhaps for some device groups or release tags only."""

    set: str
    groups: Groups = None
    tags: Groups = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What somebody is allowed by having it."""

    name: str
    description: str = ""
    grants: tuple[Grant, ...] = ()
    rules: tuple[Permission, ...] = ()  # of the older form of roles: calls by path

    @property
    def powerful(self) -> bool:
        """Whether it allows everything, or may: what a rule's pattern means, nobody can tell from outside."""
        return bool(self.rules) or any(each.set == "SuperUser" for each in self.grants)


@dataclass(frozen=True, slots=True)
class _Entry:
    permissions: PermissionSet | Permission
    groups: Groups


@dataclass(frozen=True, slots=True)
class Rights:
    """What the roles of one user allow together."""

    everything: bool = False
    entries: tuple[_Entry, ...] = field(default=())

    @classmethod
    def of(cls, roles: Iterable[Role], sets: Mapping[str, PermissionSet]) -> "Rights":
        """The union of `roles`, and what everybody may do: the set `Basic`. Rules beyond MAX_RULES allow nothing."""
        entries = [_Entry(sets["Basic"], NOBODY)]
        everything, left = False, MAX_RULES
        for role in roles:
            scoped = [each.groups for each in role.grants if each.groups is not None]
            for grant in role.grants:
                if grant.set not in sets:
                    continue
                everything = everything or grant.set == "SuperUser"
                entries.append(_Entry(sets[grant.set], grant.groups if grant.tags is None else NOBODY))
            # The older form confines a role to groups by naming them beside its rules.
            groups = NOBODY.union(*scoped) if scoped else None
            entries += [_Entry(rule, groups) for rule in role.rules[:left]]
            left = max(0, left - len(role.rules))
        return cls(everything, tuple(entries))

    def groups(self, call: Call) -> Groups:
        """The groups whose devices can be reached in `call`; none are: an empty set.

        Raises:
            Denied: the call is not allowed at all.
        """
        if self.everything:
            return None
        if call == ANYBODY:
            return NOBODY
        method, path = call
        if len(path) > MAX_PATH or not path.isprintable():
            raise Denied(FORBIDDEN)
        allowed = False
        found: set[str] = set()
        for entry in self.entries:
            if not entry.permissions.allows("GET" if method == "HEAD" else method, path):
                continue
            if entry.groups is None:
                return None
            allowed = True
            found |= entry.groups
        if not allowed:
            raise Denied(FORBIDDEN)
        return frozenset(found)

    def may(self, call: Call) -> bool:
        """Whether `call` is allowed, perhaps for some devices only."""
        try:
            self.groups(call)
        except Denied:
            return False
        return True

    def cover(self, role: Role) -> bool:
        """Whether all that `role` allows is allowed anyway, in the whole tenant."""
        whole = [each.permissions for each in self.entries if each.groups is None]
        own = {each.name for each in whole if isinstance(each, PermissionSet)}
        return self.everything or (not role.rules and {each.set for each in role.grants} <= own)

    def reach(self, call: Call, group: str | None) -> bool:
        """Whether `call` is allowed on a device that is in `group` (None: in none)."""
        try:
            groups = self.groups(call)
        except Denied:
            return False
        return groups is None or group in groups


NOTHING: Final = Rights()
