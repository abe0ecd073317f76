"""The device's key: made once, whole, for its owner's eyes; signatures as the authentication API checks them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from vedette.agent import keys
from vedette.agent.keys import PrivateKey, load_or_make
from vedette.errors import Invalid, Unavailable


def verify(pem: str, signature: bytes, data: bytes) -> None:
    """As the server does it; raises when the signature does not fit."""
    public = load_pem_public_key(pem.encode())
    if isinstance(public, ed25519.Ed25519PublicKey):
        public.verify(signature, data)
    elif isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(signature, data, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("key_type", ["ed25519", "rsa"])
def test_a_key_is_made_once(tmp_path: Path, key_type: str) -> None:
    path = tmp_path / "state" / "device.pem"
    first = load_or_make(path, key_type)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_make(path, "ed25519").public_pem() == first.public_pem()
    assert first.public_pem().startswith("-----BEGIN PUBLIC KEY-----\n")
    verify(first.public_pem(), first.sign(b"data"), b"data")
    if isinstance(first.private, rsa.RSAPrivateKey):
        assert first.private.key_size == 3072
    assert [each.name for each in path.parent.iterdir()] == ["device.pem"]


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())])
def test_a_key_that_is_there_is_used(tmp_path: Path, key: PrivateKey, form: PrivateFormat) -> None:
    path = tmp_path / "device.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, form, NoEncryption()))
    before = path.read_bytes()
    loaded = load_or_make(path)
    verify(loaded.public_pem(), loaded.sign(b"data"), b"data")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no PEM private key"),
        (b"rubbish", "holds no PEM private key"),
        (b"\xff" * 100_000, "holds no PEM private key"),
        (
            dsa.generate_private_key(1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "neither RSA",
        ),
        (
            ed25519.Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
            ),
            "locked by a password",
        ),
    ],
)
def test_what_is_no_key_is_not_replaced(tmp_path: Path, content: bytes, says: str) -> None:
    """A new key would make the device a stranger to its server: that is for a person to decide."""
    path = tmp_path / "device.pem"
    path.write_bytes(content)
    with pytest.raises(Invalid, match=says):
        load_or_make(path)
    assert path.read_bytes() == content


def test_a_key_that_cannot_be_made_or_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be"):
        load_or_make(tmp_path / "file" / "device.pem")
    (tmp_path / "directory.pem").mkdir()
    with pytest.raises(Unavailable, match="cannot be read"):
        load_or_make(tmp_path / "directory.pem")
    with pytest.raises(Invalid, match="no device key type"):
        load_or_make(tmp_path / "new.pem", "dsa")
    assert not (tmp_path / "new.pem").exists()


def test_a_leftover_of_a_crash_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / f".device.pem.{os.getpid()}").write_text("half a k")
    load_or_make(tmp_path / "device.pem")
    assert [each.name for each in tmp_path.iterdir()] == ["device.pem"]


def test_two_who_make_one_at_once_end_with_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another is faster while we are still generating."""
    path, generate, faster = tmp_path / "device.pem", keys._generate, []

    def slow(key_type: str) -> PrivateKey:
        with monkeypatch.context() as inner:
            inner.setattr(keys, "_generate", generate)
            faster.append(load_or_make(path).public_pem())
        return generate(key_type)

    monkeypatch.setattr(keys, "_generate", slow)
    assert [load_or_make(path).public_pem()] == faster


def test_processes_at_once_end_with_one_key(tmp_path: Path) -> None:
    path = tmp_path / "device.pem"
    code = (
        "import sys, pathlib; from vedette.agent.keys import load_or_make; sys.stdin.read();"
        "print(load_or_make(pathlib.Path(sys.argv[1])).public_pem())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    assert len({process.communicate()[0] for process in started}) == 1
    assert all(process.returncode == 0 for process in started)
