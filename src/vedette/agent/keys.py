"""The device's key pair. Imports `cryptography`, so only short-lived children import this."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from vedette.errors import Invalid, Unavailable

RSA_BITS = 3072  # what Mender clients make
MAX_BYTES = 64 * 1024

PrivateKey = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """A private key that signs what this device says of itself."""

    private: PrivateKey

    def public_pem(self) -> str:
        """The public half as PEM `PUBLIC KEY` (PKIX)."""
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(self, data: bytes) -> bytes:
        """The signature over `data` as the device authentication API wants it for this kind of key.

        RSA: PKCS#1 v1.5 over SHA-256; EC: DER over SHA-256; Ed25519: the data itself (RFC 8032).
        """
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.private.sign(data, ec.ECDSA(hashes.SHA256()))


def load_or_make(path: Path, key_type: str = "ed25519") -> DeviceKey:
    """The key at `path`, of whatever kind; made on first use ("ed25519" or "rsa"), mode 0600, whole or not at all.

    Processes that come at once end with one key. A key that cannot be read is never replaced: the server
    would take the device for a stranger.

    Raises:
        Invalid: the file holds no key, or one that cannot be used.
        Unavailable: the file cannot be read or made.
    """
    try:
        return _load(path)
    except FileNotFoundError:
        pass
    try:
        _place(path, _generate(key_type))
        return _load(path)
    except OSError as error:
        raise Unavailable(f"the device key {path} cannot be made: {error.strerror}") from error


def _load(path: Path) -> DeviceKey:
    try:
        with path.open("rb") as file:
            pem = file.read(MAX_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unavailable(f"the device key {path} cannot be read: {error.strerror}") from error
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise Invalid(f"the device key {path} is locked by a password: it must be readable without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid(f"{path} holds no PEM private key: restore it, or move it away for a new one") from None
    if not isinstance(key, PrivateKey):
        raise Invalid(f"the device key {path} is neither RSA, nor EC, nor Ed25519")
    return DeviceKey(key)


def _generate(key_type: str) -> PrivateKey:
    if key_type == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if key_type == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    raise Invalid(f"no device key type {key_type!r}, only ed25519 and rsa")


def _place(path: Path, key: PrivateKey) -> None:
    """Write the key so that it appears complete and durable under its name, unless another was there first."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        temporary.unlink()
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
