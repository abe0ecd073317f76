"""The management server's API for people and scripts: `vedette devices list` and all the others."""

from collections.abc import Mapping
from typing import Final

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "login": ("session", "log in to a server"),
    "logout": ("session", "end the login"),
    "whoami": ("session", "who is logged in, and where"),
    "devices": ("devices", "let devices in, look at them, search them"),
    "groups": ("groups", "static groups of devices"),
    "filters": ("filters", "saved filters: groups that fill themselves"),
    "alerts": ("alerts", "what devices report, who was told, and why"),
    "config": ("config", "wanted and reported settings of devices"),
    "deployments": ("deployments", "how settings reach devices"),
    "users": ("users", "people"),
    "roles": ("roles", "who may do what"),
    "tokens": ("tokens", "personal access tokens, for programs"),
    "audit": ("audit", "who changed what"),
    "tenants": ("tenants", "the tenant one acts in, and those of a service provider"),
    "settings": ("settings", "settings of the tenant, and one's own"),
    "api": ("api", "any other call of the API"),
    "completion": ("completion", "completion for bash"),
}
"""Name of each command: the module below `commands` that has it, and what it is for."""
