"""What comes over the network as a configuration is taken apart with suspicion."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.configure import artifact
from vedette.errors import Invalid
from vedette.server.deployments.artifact import of_configuration

TOOL = Path(__file__).parents[3] / "build/debian/mender-artifact/usr/bin/mender-artifact"
VALUES = {"timezone": "Europe/Oslo", "security.ports.interval": "5m", "é": 'x"\n'}
NAME = "configuration-5f3e0b5e"
Members = dict[str, bytes]


def tar(members: Members) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return out.getvalue()


def untar(content: bytes) -> Members:
    with tarfile.open(fileobj=io.BytesIO(content)) as file:
        return {each.name: file.extractfile(each).read() for each in file}  # type: ignore[union-attr]


def changed(header: Members | None = None, outer: Members | None = None, *, sum_anew: bool = True) -> bytes:
    """The server's artifact with other members in it; the manifest agrees unless it is to be as it was."""
    members = untar(of_configuration(NAME, "board", json.dumps(VALUES)))
    inner = untar(members["header.tar"]) | (header or {})
    members["header.tar"] = tar({name: content for name, content in inner.items() if content != b"-"})
    members |= outer or {}
    if sum_anew:
        named = [name for name in ("header.tar", "header.tar.gz", "version") if name in members]
        members["manifest"] = "".join(
            f"{hashlib.sha256(members[name]).hexdigest()}  {name}\n" for name in named
        ).encode()
    return tar({name: content for name, content in members.items() if content != b"-"})


def info(**more: object) -> Members:
    whole: dict[str, object] = {
        "payloads": [{"type": "mender-configure"}],
        "artifact_provides": {"artifact_name": NAME},
        "artifact_depends": {"device_type": ["board"]},
    }
    return {"header-info": json.dumps(whole | more).encode()}


def test_what_our_server_makes() -> None:
    found = artifact.read(of_configuration(NAME, "board", json.dumps(VALUES)))
    assert (found.name, found.device_types, found.values) == (NAME, ("board",), VALUES)


@pytest.mark.skipif(not TOOL.exists(), reason="Debian's mender-artifact is not here; .ci/system-packages brings it")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_the_reference_tool_makes(tmp_path: Path, compression: str) -> None:
    (tmp_path / "meta.json").write_text(json.dumps(VALUES))
    out = tmp_path / "out.mender"
    subprocess.run(
        [TOOL, "--compression", compression, "write", "module-image", "-T", "mender-configure", "-n", NAME,
         "-t", "board", "-t", "other", "-m", tmp_path / "meta.json", "-o", out],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    found = artifact.read(out.read_bytes())
    assert (found.name, found.device_types, found.values) == (NAME, ("board", "other"), VALUES)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "ends too early"),
        (b"\0" * 1024, "does not begin with 'version'"),
        (b"<html>" * 200, "no tar"),
        (b"x" * (artifact.MAX_BYTES + 1), "larger than"),
        (changed(outer={"version": b'{"format":"mender","version":2}'}), "not of the format 3"),
        (changed(outer={"version": b"3"}), "no JSON object"),
        (changed(outer={"header.tar": b"-"}), "has no header"),
        (changed(info(artifact_provides={}), sum_anew=False), "header.tar is damaged"),
        (changed(outer={"manifest": b"nonsense\n"}, sum_anew=False), "manifest has the line"),
        (changed(outer={"manifest": b""}, sum_anew=False), "says nothing of version"),
        (changed(outer={"data/0000.tar": tar({"a-file": b"x"})}), "brings no files"),
        (changed(outer={"data/0001.tar": tar({})}), "brings no files"),
        (changed(outer={"header-augment.tar": tar({})}), "brings no files"),
        (changed(info(payloads=[{"type": "rootfs-image"}])), "takes configurations .* alone, and it brings rootfs"),
        (changed(info(payloads=[{"type": "mender-configure"}] * 2)), "mender-configure, mender-configure"),
        (changed(info(payloads=[])), "it brings nothing"),
        (changed(info(payloads="mender-configure")), "it brings nothing"),
        (changed(info(artifact_provides={})), "it has no name"),
        (changed({"headers/0000/type-info": b'{"type":"rootfs-image"}'}), "contradicts"),
        (changed({"header-info": b"-"}), "no header-info"),
        (changed({"scripts/ArtifactInstall_Enter_00": b"#!/bin/sh\n"}), "more than a configuration"),
        (changed({"headers/0000/meta-data": b'{"a": 1}'}), "'a' in the configuration is no text"),
        (changed({"headers/0000/meta-data": b"[]"}), "must be one JSON object"),
    ],
)
def test_everything_else_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        artifact.read(content)


def test_a_header_that_unpacks_to_too_much_is_refused() -> None:
    bomb = gzip.compress(b"\0" * (artifact.MAX_BYTES + 1))
    members = {"version": b'{"format":"mender","version":3}', "manifest": b"", "header.tar.gz": bomb}
    members["manifest"] = "".join(
        f"{hashlib.sha256(members[name]).hexdigest()}  {name}\n" for name in ("header.tar.gz", "version")
    ).encode()
    with pytest.raises(Invalid, match="larger than"):
        artifact.read(tar(members))


def test_links_and_long_names_are_no_plain_files() -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE, b"S"):
        member = tarfile.TarInfo("version")
        member.type, member.linkname = kind, "/etc/passwd"
        with pytest.raises(Invalid, match="no plain file"):
            artifact.read(member.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 1024)
    twice = of_configuration(NAME, "board", "{}")
    with pytest.raises(Invalid, match="twice"):
        artifact.read(twice[:1024] + twice)


@given(st.data())
def test_no_damage_goes_unnoticed(data: st.DataObject) -> None:
    """Wherever a byte is changed or the rest is missing: refused, or (in what means nothing) read as it was sent."""
    whole = bytearray(of_configuration(NAME, "board", json.dumps(VALUES)))
    at = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    if cut:
        del whole[at:]
    else:
        whole[at] ^= data.draw(st.integers(1, 255))
    try:
        found = artifact.read(bytes(whole))
    except Invalid:
        return
    assert (found.name, found.values) == (NAME, VALUES)
