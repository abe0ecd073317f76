"""The artifact that a device fetches: its form, its link, and what Debian's own tool says of it."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import httpx
import pytest
from serving import FakeDevice, RealServer

from vedette.errors import Denied, Invalid
from vedette.server.db import DeviceScope
from vedette.server.deployments.artifact import of_configuration
from vedette.server.deployments.links import Links

NEXT = "/api/devices/v1/deployments/device/deployments/next"
CONFIG = "/api/management/v1/deviceconfig/configurations/device"
UNPACKED = Path(__file__).parents[3] / "build/debian/mender-artifact/usr/bin/mender-artifact"
TOOL = str(UNPACKED) if UNPACKED.exists() else shutil.which("mender-artifact")
VALUES = {"timezone": "Europe/Oslo", "motto": 'æ "quoted"\n', "empty": ""}
NOON = datetime(2026, 8, 22, 12, tzinfo=UTC)


def made() -> bytes:
    return of_configuration("configuration-1", 'a "board"', json.dumps(VALUES))


def members(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {each.name: (tar.extractfile(each) or io.BytesIO()).read() for each in tar}


def test_the_form_of_an_artifact() -> None:
    whole = members(made())
    assert list(whole) == ["version", "manifest", "header.tar", "data/0000.tar"]
    assert json.loads(whole["version"]) == {"format": "mender", "version": 3}
    assert whole["manifest"].decode().splitlines() == [
        f"{hashlib.sha256(whole[name]).hexdigest()}  {name}" for name in ("header.tar", "version")
    ]
    assert whole["data/0000.tar"] == bytes(1024)
    header = members(whole["header.tar"])
    assert list(header) == ["header-info", "headers/0000/type-info", "headers/0000/meta-data"]
    assert json.loads(header["header-info"])["artifact_depends"] == {"device_type": ['a "board"']}
    assert json.loads(header["headers/0000/meta-data"]) == VALUES


def test_the_same_is_made_every_time() -> None:
    assert made() == made()
    assert len(made()) % 512 == 0


@pytest.mark.skipif(TOOL is None, reason="Debian's mender-artifact is not here; .ci/system-packages brings it")
@pytest.mark.parametrize(
    "configuration", [VALUES, {}, {str(n): "x" * 4096 for n in range(200)}], ids=["some", "none", "much"]
)
def test_debians_own_tool_reads_it(tmp_path: Path, configuration: dict[str, str]) -> None:
    path = tmp_path / "made.mender"
    path.write_bytes(of_configuration("configuration-1", "board", json.dumps(configuration)))
    for command in ("validate", "read"):
        done = subprocess.run([str(TOOL), command, path], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    for said in ("Name: configuration-1", "Format: mender", "Version: 3", "Compatible devices: '[board]'",
                 "mender-configure", "data-partition.mender-configure.version: configuration-1"):  # fmt: skip
        assert said in done.stdout, done.stdout


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def uri(admin: httpx.Client, device: FakeDevice, accept: Callable[[FakeDevice], str]) -> str:
    """A link that a device was given, as path and query."""
    device_id = accept(device)
    assert admin.put(f"{CONFIG}/{device_id}", json=VALUES).status_code == 204
    assert admin.post(f"{CONFIG}/{device_id}/deploy", json={}).status_code == 200
    answer = device.client().post(NEXT, json={"device_type": "a/b c", "artifact_name": "x"}).json()
    parts = urlsplit(answer["artifact"]["source"]["uri"])
    assert (parts.scheme, parts.netloc) == ("http", "vedette.test")
    return f"{parts.path}?{parts.query}"


def test_the_link_is_all_that_is_needed(server: RealServer, uri: str) -> None:
    answer = server.client().get(uri)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.mender-artifact"
    assert answer.headers["content-disposition"] == 'attachment; filename="artifact.mender"'
    assert answer.headers["content-length"] == str(len(answer.content))
    header = members(members(answer.content)["header.tar"])
    assert json.loads(header["headers/0000/meta-data"]) == VALUES
    assert json.loads(header["header-info"])["artifact_depends"] == {"device_type": ["a/b c"]}
    assert server.client().head(uri).headers["content-length"] == answer.headers["content-length"]


def test_a_broken_download_goes_on(server: RealServer, uri: str) -> None:
    client = server.client()
    whole = client.get(uri)
    size = len(whole.content)
    assert whole.headers["accept-ranges"] == "bytes"
    for asked, first, last in (
        ("0-99", 0, 99),
        ("100-", 100, size - 1),
        ("-50", size - 50, size - 1),
        (f"10-{size}0", 10, size - 1),
    ):
        part = client.get(uri, headers={"Range": f"bytes={asked}"})
        assert (part.status_code, part.headers["content-range"]) == (206, f"bytes {first}-{last}/{size}")
        assert part.content == whole.content[first : last + 1]
        assert part.headers["content-length"] == str(len(part.content))
    for asked in (f"{size}-", "-0", "5-4"):
        answer = client.get(uri, headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")
    for asked in ("bytes=-", "bytes=0-1,5-6", "lines=1-2", "bytes=x-"):
        assert client.get(uri, headers={"Range": asked}).content == whole.content
    for etag, status in ((whole.headers["etag"], 206), ('"other"', 200)):
        answer = client.get(uri, headers={"Range": "bytes=0-9", "If-Range": etag})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"x-men-signature": None}, 400),
        ({"x-men-expire": None}, 400),
        ({"x-men-expire": "tomorrow"}, 400),
        ({"x-men-signature": "AAAA"}, 403),
        ({"x-men-signature": "é"}, 403),
        ({"x-men-expire": "2100-01-01T00:00:00Z"}, 403),
        ({"tenant_id": "other"}, 403),
        ({"tenant_id": None}, 403),
    ],
)
def test_links_that_lead_nowhere(server: RealServer, uri: str, changes: dict[str, str | None], status: int) -> None:
    path, _, query = uri.partition("?")
    changed = dict(parse_qsl(query)) | changes
    asked = urlencode({key: value for key, value in changed.items() if value is not None})
    assert server.client().get(f"{path}?{asked}").status_code == status


def test_a_link_is_for_one_path_alone(server: RealServer, admin: httpx.Client, uri: str) -> None:
    path, _, query = uri.partition("?")
    for part in path.split("/")[-3:]:
        assert server.client().get(f"{path.replace(part, 'other')}?{query}").status_code == 403
    assert server.client().get(f"{unquote(path)}?{query}").status_code == 403
    device_id = path.rpartition("/")[2]
    assert admin.delete(f"/api/management/v2/devauth/devices/{device_id}").status_code == 204
    assert server.client().get(uri).status_code == 404


def test_a_link_is_good_for_a_quarter_of_an_hour() -> None:
    links, scope = Links(b"key"), DeviceScope("t", "d/1")
    link, expires = links.make(scope, "dep", "type", NOON + timedelta(microseconds=7))
    assert expires == NOON + timedelta(minutes=15)
    path, _, query = link.partition("?")
    assert path.endswith("/dep/type/d%2F1")
    asked = dict(parse_qsl(query))
    assert links.check(path, asked, expires - timedelta(seconds=1)) == "t"
    with pytest.raises(Denied, match="expired"):
        links.check(path, asked, expires)
    with pytest.raises(Denied, match="signature"):
        Links(b"another").check(path, asked, NOON)
    with pytest.raises(Invalid):
        links.check(path, asked | {"x-men-expire": "x"}, NOON)
