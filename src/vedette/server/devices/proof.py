"""What a device shows of itself: its identity, its key, and a signature that both belong together.

Pure functions. Sources: server-side of the published device authentication API (docs/compatibility.md);
RFC 8017 (RSASSA-PKCS1-v1_5), RFC 3279 (ECDSA-Sig-Value), RFC 8032 (Ed25519).
"""

import binascii
import hashlib
from base64 import b64decode
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from vedette.errors import Invalid, Unauthenticated

MAX_IDENTITY: Final = 8192  # bytes of canonical JSON
MAX_IDENTITY_KEYS: Final = 64
MAX_DEPTH: Final = 8  # of what is in an identity
MAX_RSA_BITS: Final = 8192  # verifying takes time with the square of it
_encode = msgspec.json.Encoder(order="sorted").encode

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def canonical_identity(text: str) -> str:
    """The JSON object in `text` with sorted keys and without spaces, so that the same values are the same device.

    Raises:
        Invalid: not a JSON object, too long, nested too deeply, or with a NUL character.
    """
    try:
        identity = msgspec.json.decode(text.encode(), type=dict[str, Any])
        canonical = _encode(identity).decode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise Invalid(f"invalid auth request: id_data is not a JSON object: {exc}") from exc
    if not identity or len(canonical) > MAX_IDENTITY:
        raise Invalid(f"invalid auth request: id_data must have 1 to {MAX_IDENTITY} bytes of content")
    if len(identity) > MAX_IDENTITY_KEYS:
        raise Invalid(f"invalid auth request: id_data must have at most {MAX_IDENTITY_KEYS} keys")
    if r"\u0000" in canonical.replace(r"\\", ""):
        raise Invalid("invalid auth request: id_data has a NUL character, which no database of ours can search")
    if _deeper(identity, MAX_DEPTH):
        raise Invalid(f"invalid auth request: id_data must not be nested more than {MAX_DEPTH} deep")
    return canonical


def _deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects in `value` are nested in more than this many levels."""
    if not isinstance(value, list | dict):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(each, levels - 1) for each in inside)


def identity_hash(canonical: str) -> str:
    """What an identity is found by: SHA-256, hex."""
    return hashlib.sha256(canonical.encode()).hexdigest()


def public_key(pem: str) -> tuple[PublicKey, str]:
    """The key in `pem` and its canonical PEM.

    Raises:
        Invalid: not a PEM public key.
        Unauthenticated: of a kind that no device of ours uses.
    """
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm, UnicodeError) as exc:
        raise Invalid("invalid auth request: cannot decode public key") from exc
    if not isinstance(key, PublicKey):
        raise Unauthenticated("signature verification failed")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size > MAX_RSA_BITS:
        raise Invalid(f"invalid auth request: cannot decode public key: more than {MAX_RSA_BITS} bits")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key, key.public_bytes(serialization.Encoding.PEM, form).decode()


def check_signature(key: PublicKey, signature: str, body: bytes) -> None:
    """`signature` (Base64) must be the one of `key` over the bytes of `body`.

    Raises:
        Unauthenticated: it is not.
    """
    try:
        raw = b64decode(signature, validate=True)
        match key:
            case rsa.RSAPublicKey():
                key.verify(raw, body, padding.PKCS1v15(), hashes.SHA256())
            case ec.EllipticCurvePublicKey():
                key.verify(raw, body, ec.ECDSA(hashes.SHA256()))
            case ed25519.Ed25519PublicKey():
                key.verify(raw, body)
    except (InvalidSignature, binascii.Error, ValueError, UnsupportedAlgorithm) as exc:
        raise Unauthenticated("signature verification failed") from exc
