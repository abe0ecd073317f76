"""What there is to be allowed: the permission sets, and the roles that every tenant has, as data.

Source of the names, methods and paths: the published permission sets of the compatible server (docs/compatibility.md).
Lines marked "ours" are for paths of ours, or for calls that only do what the same set allows in another way.
"""

from collections.abc import Mapping
from typing import Final

from vedette.server.access.permissions import (
    DEVICE_GROUPS,
    RELEASE_TAGS,
    Grant,
    Permission,
    PermissionSet,
    Rights,
    Role,
)

ADMIN: Final = "RBAC_ROLE_PERMIT_ALL"
OBSERVER: Final = "RBAC_ROLE_OBSERVER"  # sees every device, changes nothing

BASIC: Final = "Basic"
SUPER_USER: Final = "SuperUser"


def _set(
    name: str, description: str, *permissions: tuple[str, str], scopes: tuple[str, ...] = (), action: str = ""
) -> PermissionSet:
    return PermissionSet(
        name=name,
        description=description,
        action=action or name,
        object="any" if not scopes else {DEVICE_GROUPS: "DEVICE_GROUP", RELEASE_TAGS: "RELEASE_TAG"}[scopes[0]],
        permissions=tuple(
            Permission(method, f"^/api/management/{path}" if path else ".*") for method, path in permissions
        ),
        scopes=scopes,
    )


_V: Final = "(v[1-9])"
_GROUPS: Final = (DEVICE_GROUPS,)
_TAGS: Final = (RELEASE_TAGS,)

PERMISSION_SETS: Final[Mapping[str, PermissionSet]] = {
    each.name: each
    for each in (
        _set(
            BASIC,
            "Own account and what every client reads at start; part of every role",
            ("any", f"{_V}/useradm/settings$"),
            ("any", f"{_V}/useradm/settings/me$"),  # ours: clients read it at start
            ("any", f"{_V}/useradm/settings/tokens(/[^/]+)?$"),  # ours: one's own tokens
            ("any", f"{_V}/useradm/users/me$"),
            ("PUT", f"{_V}/useradm/2faverify$"),
            ("GET", f"{_V}/useradm/2faqr$"),  # ours: without it the second factor cannot be set up
            ("POST", f"{_V}/useradm/users/me/2fa/(enable|disable)$"),
            ("GET", f"{_V}/useradm/roles"),
            ("GET", f"{_V}/useradm/(plans|plan_binding)$"),  # ours: clients read them at start
            ("GET", f"{_V}/useradm/users/tenants/[^/]+/token$"),  # ours: to go to another of one's own tenants
            ("GET", f"{_V}/tenantadm/user/tenant"),
            ("GET", f"{_V}/vedette/feed$"),  # ours: how old the known vulnerabilities are, which are public
            action="",
        ),
        _set("ReadUsers", "See users, roles and permission sets", ("GET", f"{_V}/useradm/")),
        _set("ManageUsers", "Manage users and roles", ("any", f"{_V}/useradm/")),
        _set("ReadAuditLogs", "Read the audit log", ("GET", f"{_V}/auditlogs/logs")),
        _set(
            "ReadDevices",
            "See devices and what is known of them",
            ("POST", "v2/inventory/filters/search"),
            ("POST", "v2/devauth/devices/search$"),  # ours: what GET of the same list tells
            ("POST", "v1/deployments/deployments/statistics/list$"),  # ours: what GET of each tells
            ("GET", f"{_V}/(deployments|devauth|inventory|deviceconfig|devicemonitor)/"),
            ("GET", f"{_V}/deviceconnect/devices/[^/]+$"),
            ("GET", "v1/vedette/devices/"),  # ours: completeness, who was told
            ("GET", "v1/vedette/problems$"),  # ours: what is open on all of them
            ("GET", "v1/vedette/configuration/"),  # ours: layers of configurations, and how they reach devices
            scopes=_GROUPS,
            action="VIEW_DEVICE",
        ),
        _set(
            "ManageDevices",
            "Accept, reject, remove, group and tag devices; acknowledge their problems",
            ("POST", f"{_V}/(devauth|inventory)/"),
            ("PUT", f"{_V}/(devauth|inventory)/"),
            ("PATCH", f"{_V}/(devauth|inventory)/"),  # ours: a part of what PUT of the same may change
            ("DELETE", f"{_V}/(devauth|inventory)/"),
            ("any", "v1/vedette/devices/[^/]+/problems/"),  # ours: to take a problem over
            scopes=_GROUPS,
            action="MANAGE_DEVICE",
        ),
        _set(
            "ConfigureDevices",
            "Configure devices",
            ("any", f"{_V}/deviceconfig/"),
            ("any", "v1/vedette/configuration/"),  # ours: the same for many of them
            scopes=_GROUPS,
        ),
        _set(
            "DeployToDevices",
            "Deploy to devices",
            ("any", f"{_V}/(deployments|deviceconfig)/"),
            ("any", "v1/vedette/configuration/"),  # ours: configurations for many devices
            scopes=_GROUPS,
            action="CREATE_DEPLOYMENT",
        ),
        _set(
            "ConnectToDevices",
            "Open a terminal, send and fetch files",
            ("GET", f"{_V}/deviceconnect/devices/[^/]+/connect$"),
            ("GET", f"{_V}/deviceconnect/devices/[^/]+/download$"),
            ("PUT", f"{_V}/deviceconnect/devices/[^/]+/upload$"),
            scopes=_GROUPS,
            action="REMOTE_TERMINAL",
        ),
        _set("ReadReleases", "See releases", ("GET", "v1/deployments/artifacts"), scopes=_TAGS),
        _set(
            "ManageReleases",
            "Change and remove releases",
            ("PUT", "v1/deployments/artifacts/[^/]+$"),
            ("DELETE", "v1/deployments/artifacts/[^/]+$"),
            scopes=_TAGS,
        ),
        _set("UploadArtifacts", "Add artifacts", ("POST", "v1/deployments/artifacts"), scopes=_TAGS),
        _set("ReadTenants", "See tenants", ("GET", f"{_V}/tenantadm/")),
        _set("ManageTenants", "Manage tenants", ("any", f"{_V}/tenantadm/")),
        _set(SUPER_USER, "Everything", ("any", ""), action="any"),
    )
}

ROLES: Final[Mapping[str, Role]] = {
    name: Role(name=name, description=description, grants=tuple(Grant(each) for each in sets))
    for name, description, sets in (
        (ADMIN, "Full access", (SUPER_USER,)),
        (OBSERVER, "See releases and devices, change nothing", ("ReadReleases", "ReadDevices")),
        (
            "RBAC_ROLE_CI",
            "Manage releases and add artifacts",
            ("ReadReleases", "ManageReleases", "UploadArtifacts"),
        ),
        ("RBAC_ROLE_DEPLOYMENTS_MANAGER", "Deploy to devices", ("DeployToDevices",)),
        ("RBAC_ROLE_REMOTE_TERMINAL", "Connect to devices", ("ConnectToDevices",)),
    )
}
"""The roles that every tenant has."""


def of_everybody(*names: str) -> Rights:
    """What the roles of these names allow, which every tenant has."""
    return Rights.of([ROLES[each] for each in names], PERMISSION_SETS)
