"""What the server is told of the settings of a check, so that people see there what it watches. Without secrets."""

from typing import Final

from vedette.agent import redact

MAX_SETTINGS: Final = 32
MAX_CHARACTERS: Final = 500  # of one


def told(**settings: str | int) -> dict[str, str | int]:
    """The first of these settings that say anything, each cut at what a page has room for."""
    out: dict[str, str | int] = {}
    for name, value in settings.items():
        if isinstance(value, str):
            # With its name before it: that a value is a password, often only its name says.
            value = redact.text(f"{name}={value}").removeprefix(f"{name}=")
            if len(value) > MAX_CHARACTERS:
                value = value[:MAX_CHARACTERS] + " ..."
        if value != "" and len(out) < MAX_SETTINGS:
            out[name] = value
    return out
