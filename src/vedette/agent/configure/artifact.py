"""Takes an artifact apart that brings a configuration: format 3, payload type `mender-configure`, nothing else.

It was made somewhere else and came over a network, so nothing is believed: which members there are and in which order,
how large they are, that each is what the manifest says. The tar is read by hand: it needs plain files of known names
only, and a library would follow links, sparse files and extended headers that nobody sends.
Source: the documented format, and what Debian's mender-artifact 3.9.0 writes; POSIX.1-2017, pax, "ustar Interchange
Format".
"""

import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from typing import Any, Final

from vedette.agent.configure import plan
from vedette.errors import Invalid

MODULE: Final = "mender-configure"
MAX_BYTES: Final = 1024 * 1024  # of an artifact, and of what is packed in it
BLOCK: Final = 512
_LINE: Final = re.compile(r"([0-9a-f]{64})  (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What it brings."""

    name: str
    device_types: tuple[str, ...]  # on which it may be installed
    values: plan.Values


def read(content: bytes) -> Artifact:
    """Take it apart. Raises Invalid with what is wrong; the caller names the artifact."""
    if len(content) > MAX_BYTES:
        raise Invalid(f"it is larger than {MAX_BYTES} bytes, which no configuration is")
    outer = _tar(content, "the artifact")
    names = list(outer)
    if names[:2] != ["version", "manifest"]:
        raise Invalid("it is no artifact: it does not begin with 'version' and 'manifest'")
    version = _json(outer["version"], "version")
    if (version.get("format"), version.get("version")) != ("mender", 3):
        raise Invalid("it is not of the format 3 of mender artifacts")
    names = [name for name in names[2:] if name != "manifest.sig"]  # we have no key to check it with
    header = next((name for name in names if name in ("header.tar", "header.tar.gz")), "")
    if not header or names[0] != header:
        raise Invalid("it has no header behind its manifest")
    _check(outer, _manifest(outer["manifest"]), header)
    return _header(_tar(_plain(outer[header], header), header), names[1:], outer)


def _header(header: dict[str, bytes], data: list[str], outer: dict[str, bytes]) -> Artifact:
    if "header-info" not in header:
        raise Invalid("its header has no header-info")
    info = _json(header["header-info"], "header-info")
    types = [each.get("type") if isinstance(each, dict) else None for each in _list(info.get("payloads"))]
    if types != [MODULE]:
        found = ", ".join(str(each)[:80] for each in types) or "nothing"
        raise Invalid(f"this device takes configurations ({MODULE}) alone, and it brings {found}")
    for name in data:
        if name not in ("data/0000.tar", "data/0000.tar.gz") or _tar(_plain(outer[name], name), name):
            raise Invalid(f"a configuration brings no files, and there is {name}")
    if set(header) - {"header-info", "headers/0000/type-info", "headers/0000/meta-data"}:
        raise Invalid("its header holds more than a configuration's")
    type_info = _json(header.get("headers/0000/type-info", b""), "type-info")
    if type_info.get("type") != MODULE:
        raise Invalid("its type-info contradicts its header-info")
    called = _dict(info.get("artifact_provides")).get("artifact_name")
    if not isinstance(called, str) or not 1 <= len(called) <= 256:
        raise Invalid("it has no name")
    device_types = _list(_dict(info.get("artifact_depends")).get("device_type"))
    return Artifact(
        name=called,
        device_types=tuple(str(each) for each in device_types),
        values=plan.parse(header.get("headers/0000/meta-data", b"{}")),
    )


def _manifest(content: bytes) -> dict[str, str]:
    """Checksum by name."""
    found: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[2] in found:
            raise Invalid(f"its manifest has the line {line[:80]!r}")
        found[match[2]] = match[1]
    return found


def _check(outer: dict[str, bytes], manifest: dict[str, str], header: str) -> None:
    for name in ("version", header):
        if name not in manifest:
            raise Invalid(f"its manifest says nothing of {name}")
    for name, checksum in manifest.items():
        if name not in outer:  # a payload file, which a configuration has none of
            raise Invalid(f"its manifest names {name[:80]!r}, which a configuration does not have")
        if hashlib.sha256(outer[name]).hexdigest() != checksum:
            raise Invalid(f"{name} is damaged: its checksum is another than the manifest says")


def _plain(content: bytes, name: str) -> bytes:
    """Unpacked, where it is packed."""
    if not name.endswith(".gz"):
        return content
    try:
        unpacking = zlib.decompressobj(wbits=31)
        found = unpacking.decompress(content, MAX_BYTES)
    except zlib.error as exc:
        raise Invalid(f"{name} cannot be unpacked: {exc}") from None
    if not unpacking.eof:
        raise Invalid(f"{name} is not whole, or larger than {MAX_BYTES} bytes")
    return found


def _tar(content: bytes, what: str) -> dict[str, bytes]:
    """The files of a tar, in their order."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(content):
        head = content[at : at + BLOCK]
        if not head.strip(b"\0"):
            return found  # the end: blocks of zeros
        name = head[:100].partition(b"\0")[0].decode("utf-8", "replace")
        size = _octal(head[124:136], what)
        summed = sum(head[:148]) + sum(head[156:]) + 8 * ord(" ")
        if len(head) < BLOCK or _octal(head[148:156], what) != summed:
            raise Invalid(f"{what} is damaged, or no tar")
        if head[156:157] not in (b"0", b"\0") or head[345:500].strip(b"\0"):
            raise Invalid(f"{what} holds {name[:80]!r}, which is no plain file")
        if name in found or at + BLOCK + size > len(content):
            raise Invalid(f"{what} holds {name[:80]!r} twice, or not all of it")
        found[name] = content[at + BLOCK : at + BLOCK + size]
        at += BLOCK + size + -size % BLOCK
    raise Invalid(f"{what} ends too early")


def _octal(field: bytes, what: str) -> int:
    text = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]{1,11}", text):
        raise Invalid(f"{what} is damaged, or no tar")
    return int(text, 8)


def _json(content: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid(f"its {name} is no JSON object")
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
