"""Artifacts of format 3, as devices install them, made on the fly: the same bytes every time.

Source: the documented format, and what Debian's mender-artifact 3.9.0 writes and reads: a tar of `version`, `manifest`
(checksums), `header.tar` and one tar of files for each payload, in this order. No compression, no signature.
"""

import hashlib
from collections.abc import Mapping
from tarfile import BLOCKSIZE, NUL, USTAR_FORMAT, TarInfo
from typing import Any, Final

import msgspec

MODULE: Final = "mender-configure"  # what installs it on the device
_VERSION: Final = b'{"format":"mender","version":3}'
_END: Final = NUL * (2 * BLOCKSIZE)  # of a tar; alone, an empty one


def of_configuration(artifact_name: str, device_type: str, configuration: str) -> bytes:
    """An artifact that carries a configuration and no files.

    Args:
        device_type: the only one that may install it.
        configuration: the JSON object that the device's update module is given.
    """
    header = _tar(
        {
            "header-info": _json(
                {
                    "payloads": [{"type": MODULE}],
                    "artifact_provides": {"artifact_name": artifact_name},
                    "artifact_depends": {"device_type": [device_type]},
                }
            ),
            "headers/0000/type-info": _json(
                {
                    "type": MODULE,
                    "artifact_provides": {f"data-partition.{MODULE}.version": artifact_name},
                    "clears_artifact_provides": [f"data-partition.{MODULE}.*"],
                }
            ),
            "headers/0000/meta-data": configuration.encode(),
        }
    )
    checked = {"header.tar": header, "version": _VERSION}
    manifest = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in checked.items())
    return _tar({"version": _VERSION, "manifest": manifest.encode(), "header.tar": header, "data/0000.tar": _END})


def _tar(members: Mapping[str, bytes]) -> bytes:
    """A tar of these files, in this order; nothing in it depends on the time or on this machine."""
    parts = []
    for name, content in members.items():
        member = TarInfo(name)
        member.size = len(content)
        parts += [member.tobuf(USTAR_FORMAT), content, NUL * (-len(content) % BLOCKSIZE)]
    return b"".join([*parts, _END])


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)
