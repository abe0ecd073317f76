"""The management server's API for people and scripts: `vedette devices list` and all the others."""

from collections.abc import Mapping, Sequence
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

COMMON: Final[Mapping[str, bool]] = {
    "--json": False, "--server": True, "--ca": True, "--timeout": True, "--plain-http": False
}  # fmt: skip
"""The options of every command, and which of them take a value."""


def command_first(words: Sequence[str]) -> list[str]:
    """`--server URL devices list` as `devices list --server URL`: what all commands take may stand before them, too.

    What begins in another way stays as it is.
    """
    at = 0
    while at < len(words) and (name := words[at].partition("="))[0] in COMMON:
        at += 2 if COMMON[name[0]] and not name[1] else 1
    if at == 0 or at >= len(words) or words[at] not in COMMANDS:
        return list(words)
    behind = at + 1
    if behind < len(words) and not words[behind].startswith("-"):
        behind += 1  # the second word of a command, or its first argument
    return [*words[at:behind], *words[:at], *words[behind:]]
