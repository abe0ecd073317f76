"""Tokens that only this server can have made: JSON Web Tokens signed with RS256. Sources: RFC 7515, RFC 7519."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from vedette.errors import Unauthenticated

ISSUER: Final = "Mender"  # clients of the compatible API may look at it
LIFETIME_S: Final = 7 * 24 * 3600
MAX_TOKEN: Final = 4096  # characters; ours have about 700
_HEADER: Final = b'{"alg":"RS256","typ":"JWT","kid":0}'


class Claims(msgspec.Struct, frozen=True):
    """What a token says, as far as this server asks."""

    jti: str
    sub: str
    exp: int | None = None  # unix seconds; None: never
    tenant: str = msgspec.field(name="mender.tenant", default="")
    home: str = msgspec.field(name="vedette.home", default="")  # of a user who acts in another tenant than his own
    user: bool = msgspec.field(name="mender.user", default=False)
    device: bool = msgspec.field(name="mender.device", default=False)


_decode_claims = msgspec.json.Decoder(Claims).decode
_decode_header = msgspec.json.Decoder(dict[str, Any]).decode


class Signer:
    """Signs and verifies with one RSA key."""

    def __init__(self, pem: str) -> None:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._private = key
        self._public = key.public_key()
        self._padding = padding.PKCS1v15()
        self._hash = hashes.SHA256()
        self._header = _encode(_HEADER)

    def sign(self, claims: dict[str, Any]) -> str:
        """A token that says `claims`."""
        text = self._header + b"." + _encode(msgspec.json.encode(claims))
        return (text + b"." + _encode(self._private.sign(text, self._padding, self._hash))).decode()

    def verify(self, token: str) -> Claims:
        """What `token` says, if this server has signed it. Expiry and revocation are the caller's to ask.

        Raises:
            Unauthenticated: not a token of ours, whatever is wrong with it.
        """
        if len(token) > MAX_TOKEN:
            raise Unauthenticated("the token is not valid")
        try:
            text, _, signature = token.encode("ascii").rpartition(b".")
            header, _, body = text.partition(b".")
            if header != self._header and _decode_header(_decode(header)).get("alg") != "RS256":
                raise Unauthenticated("the token is not valid")
            raw = _decode(signature)
            if _encode(raw) != signature:  # one token has one text, by which it is remembered and forgotten
                raise Unauthenticated("the token is not valid")
            self._public.verify(raw, text, self._padding, self._hash)
            return _decode_claims(_decode(body))
        except (InvalidSignature, binascii.Error, UnicodeError, msgspec.MsgspecError, RecursionError) as exc:
            raise Unauthenticated("the token is not valid") from exc


def new_key() -> str:
    """A new private key, PEM. Takes a fraction of a second."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain).decode()


def _encode(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return urlsafe_b64decode(text + b"=" * (-len(text) % 4))
