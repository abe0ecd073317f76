"""Which device people mean: by its id, the beginning of it, or something that only this device is called."""

import re
from collections.abc import Iterable
from typing import Any, Final

from vedette.cli.command import Context
from vedette.cli.errors import Usage
from vedette.errors import NotFound

SEARCH: Final = "/api/management/v2/inventory/filters/search"
HELP: Final = "device: its id, the beginning of it, or a value of its identity (a serial number) or its tag `name`"
MAX_TEXT: Final = 256  # characters; the server looks for no more
MAX_FOUND: Final = 100  # devices that hold the text somewhere; among more it is looked for in vain

_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def device(context: Context, text: str) -> str:
    """The id of the device that `text` means.

    Raises:
        NotFound: there is none, or none that the caller may see.
        Usage: it could be one of several.
    """
    if _UUID.fullmatch(text):
        return text
    if not text or len(text) > MAX_TEXT:
        raise Usage("a device is named by 1 to 256 characters")
    found = context.client.pages(SEARCH, limit=MAX_FOUND, body={"text": text})
    ids = [each["id"] for each in found.items if each["id"].startswith(text) or text in _names(each)]
    if len(ids) == 1 and not found.more:
        return str(ids[0])
    if not ids and not found.more:
        raise NotFound(f"there is no device {text!r}")
    raise Usage(f"{text!r} could be several devices; give the whole id")


def devices(context: Context, texts: Iterable[str]) -> list[str]:
    """The same of several, each once. All of them are found before anything is done to one."""
    return list(dict.fromkeys(device(context, text) for text in texts))


def _names(item: dict[str, Any]) -> list[object]:
    return [
        each["value"]
        for each in item["attributes"]
        if (each["scope"] == "identity" and each["name"] != "status")
        or (each["scope"], each["name"]) == ("tags", "name")
    ]
