"""Talking to an identity provider: where its endpoints are, a code into claims, and whether to believe them.

Everything is asked in a thread, within time and size. Sources: OpenID Connect Core 1.0 (3.1), Discovery 1.0 (4),
RFC 7636 (PKCE), RFC 6749 (2.3.1, 4.1.3).
"""

import asyncio
import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from vedette.clock import Clock
from vedette.errors import Unauthenticated, Unavailable

LIMIT_S: Final = 10.0  # for one answer
MAX_ANSWER: Final = 1024 * 1024  # bytes
FRESH_S: Final = 3600.0  # what was discovered, and the keys
KEYS_AT_MOST_EVERY_S: Final = 60.0  # for a key that is not known yet
LEEWAY_S: Final = 60  # between the clocks
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
SCOPE: Final = "openid email profile"
REFUSED: Final = "the identity provider did not vouch for you; try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one login asks of the provider; the three secrets come back, each in its own way."""

    redirect_uri: str
    state: str
    nonce: str
    verifier: str
    challenge: str


@dataclass(slots=True)
class Provider:
    """One identity provider, as far as it is known by now."""

    clock: Clock
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    _about: Mapping[str, Any] | None = None
    _about_until: float = 0.0
    _keys: KeySet | None = None
    _keys_at: float = 0.0

    async def login_url(self, wish: Wish) -> str:
        """Where a browser is sent to log in. Raises Unavailable."""
        endpoint = await self._endpoint("authorization_endpoint")
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": wish.redirect_uri,
            "scope": SCOPE,
            "state": wish.state,
            "nonce": wish.nonce,
            "code_challenge": wish.challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def claims(self, code: str, wish: Wish) -> Mapping[str, Any]:
        """Who has logged in, by the code that his browser has brought.

        Raises:
            Unavailable: the provider does not answer.
            Unauthenticated: it does not know the code, or what it says cannot be believed.
        """
        answer = await self._exchange(code, wish)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Unauthenticated(REFUSED)
        claims = await self._believed(token, wish.nonce)
        access = answer.get("access_token")
        about = await self._discovered()
        if isinstance(access, str) and "userinfo_endpoint" in about:  # many tell groups and addresses only here
            more = await self._ask(
                await self._endpoint("userinfo_endpoint"), headers={"Authorization": f"Bearer {access}"}
            )
            if more.get("sub") == claims["sub"]:  # else it speaks of somebody else (Core, 5.3.2)
                claims = {**more, **claims}
        return claims

    async def _exchange(self, code: str, wish: Wish) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": wish.redirect_uri,
            "code_verifier": wish.verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        methods = (await self._discovered()).get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if not self.client_secret:
            form["client_id"] = self.client_id
        elif "client_secret_basic" in methods:
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self.client_id, "client_secret": self.client_secret}
        return await self._ask(await self._endpoint("token_endpoint"), urlencode(form).encode(), headers)

    async def _believed(self, token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that is signed, for us, now, and for this login."""
        now = int(self.clock.now().timestamp())
        rules = jwt.JWTClaimsRegistry(
            now=now,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.client_id},
            sub={"essential": True},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        for again in (False, True):
            try:
                found = jwt.decode(token, await self._key_set(again=again), algorithms=list(ALGORITHMS))
                rules.validate(found.claims)
            except (JoseError, ValueError, TypeError) as exc:
                if again:
                    raise Unauthenticated(REFUSED) from exc
            else:
                break
        claims: Mapping[str, Any] = found.claims
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self.client_id:
            raise Unauthenticated(REFUSED)
        return claims

    async def _key_set(self, *, again: bool) -> KeySet:
        """The provider's keys; `again`: perhaps it has new ones."""
        now = self.clock.elapsed()
        old = now - self._keys_at
        if self._keys is None or old > FRESH_S or (again and old > KEYS_AT_MOST_EVERY_S):
            document = await self._ask(await self._endpoint("jwks_uri"))
            try:
                self._keys = KeySet.import_key_set({"keys": list(document["keys"])})
            except (JoseError, KeyError, TypeError, ValueError) as exc:
                raise Unavailable(f"the keys of the identity provider {self.issuer} cannot be read: {exc}") from exc
            self._keys_at = now
        return self._keys

    async def _discovered(self) -> Mapping[str, Any]:
        if self._about is None or self.clock.elapsed() > self._about_until:
            found = await self._ask(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.issuer:
                raise Unavailable(
                    f"setting oidc_issuer: {self.issuer} says that it is {str(found.get('issuer'))[:200]!r}; give that"
                )
            self._about, self._about_until = found, self.clock.elapsed() + FRESH_S
        return self._about

    async def _endpoint(self, name: str) -> str:
        url = (await self._discovered()).get(name)
        if not isinstance(url, str) or not trustworthy(url):
            raise Unavailable(f"the identity provider {self.issuer} tells no {name} with https")
        return url

    async def _ask(
        self, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        request = urllib.request.Request(url, body, {"Accept": "application/json", **(headers or {})})  # noqa: S310 - see `trustworthy`
        try:
            found = json.loads(await asyncio.to_thread(_read, request))
        except urllib.error.HTTPError as exc:
            exc.close()
            if body is not None and exc.code < 500:
                raise Unauthenticated(REFUSED) from exc
            raise Unavailable(f"the identity provider {self.issuer} answers {exc.code}") from exc
        except (OSError, ValueError) as exc:
            raise Unavailable(f"the identity provider {self.issuer} cannot be asked: {exc}") from exc
        if not isinstance(found, dict):
            raise Unavailable(f"the identity provider {self.issuer} answers with something else than an object")
        return found


def trustworthy(url: str) -> bool:
    """Whether nobody on the way can read or change what is said there: https, or on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "http":
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False
    return parts.scheme == "https" and bool(host)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An endpoint that sends us elsewhere is none: the code and our secret go nowhere else."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def _read(request: urllib.request.Request) -> bytes:
    opener = urllib.request.build_opener(_NoRedirects)
    with opener.open(request, timeout=LIMIT_S) as answer:
        body: bytes = answer.read(MAX_ANSWER + 1)
    if len(body) > MAX_ANSWER:
        raise ValueError(f"the answer is longer than {MAX_ANSWER} bytes")
    return body
