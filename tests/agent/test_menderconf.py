"""mender.conf: what the device's other client reads there, we read there."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.menderconf import MenderConf, read
from vedette.errors import Invalid, NotFound, VedetteError


def conf(tmp_path: Path, text: str) -> MenderConf:
    path = tmp_path / "mender.conf"
    path.write_text(text)
    return read(path)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"ServerURL": "https://host/"}, MenderConf(server_url="https://host")),
        ({"Servers": [{"ServerURL": "https://a"}, {"ServerURL": "https://b"}]}, MenderConf(server_url="https://a")),
        ({"ServerURL": "", "Servers": [{}, {"ServerURL": "https://b"}]}, MenderConf(server_url="https://b")),
        ({"serverurl": "http://[::1]:8080/x"}, MenderConf(server_url="http://[::1]:8080/x")),
        (
            {
                "ServerURL": "https://host",
                "TenantToken": " abc\n",
                "ServerCertificate": "/etc/mender/ca.pem",
                "SkipVerify": True,
                "DeviceKeyType": "RSA",
                "UpdatePollIntervalSeconds": 5,
            },
            MenderConf(
                server_url="https://host",
                tenant_token="abc",
                server_certificate=Path("/etc/mender/ca.pem"),
                skip_verify=True,
                key_type="rsa",
                update_poll_interval_s=5,
            ),
        ),
        (
            {"ServerURL": "https://host", "UpdatePollIntervalSeconds": "soon"},
            MenderConf(server_url="https://host"),
        ),
    ],
)
def test_what_is_read(tmp_path: Path, table: dict[str, object], expected: MenderConf) -> None:
    assert conf(tmp_path, json.dumps(table)) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "one JSON object"),
        ('{"ServerURL": 5}', "ServerURL must be a text"),
        ('{"ServerURL": "host"}', "not of the form"),
        ('{"ServerURL": "ftp://host"}', "not of the form"),
        ('{"ServerURL": "https://host:99999"}', "not of the form"),
        ('{"ServerURL": "https://"}', "not of the form"),
        ('{"ServerURL": "https://me:secret@host"}', "must not hold a user name"),
        ('{"ServerURL": "https://h", "SkipVerify": "no"}', "SkipVerify must be true or false"),
        ('{"ServerURL": "https://h", "TenantToken": 5}', "TenantToken must be a text"),
        ('{"ServerURL": "https://h", "DeviceKeyType": "dsa"}', "DeviceKeyType must be one of"),
        ('{"Servers": {"ServerURL": "https://h"}}', "Servers must be a list"),
        ('{"Servers": ["https://h"]}', "Servers must be a list"),
        (" " * (1 << 20) + "{}", "is larger than"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Invalid, match=says) as caught:
        conf(tmp_path, text)
    assert str(tmp_path / "mender.conf") in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "{}", '{"Servers": []}', '{"ServerURL": null}'])
def test_without_a_server(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "mender.conf"
    if text is not None:
        path.write_text(text)
    with pytest.raises(NotFound, match="everything is kept"):
        read(path)


def test_the_tenant_token_is_never_shown() -> None:
    made = MenderConf(server_url="https://h", tenant_token="secret")
    assert "secret" not in repr(made)
    assert "secret" not in made.belonging
    assert made.belonging != MenderConf(server_url="https://h", tenant_token="other").belonging


@given(st.text(max_size=40))
def test_any_url_is_taken_or_refused(url: str) -> None:
    try:
        MenderConf(server_url=url)
    except VedetteError:
        return
    assert url.startswith(("http://", "https://", "HTTP", "Http", "h", "H"))
