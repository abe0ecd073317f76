"""A second factor at login: six digits from an app on the user's phone. Source: RFC 6238 (TOTP), 30 s, SHA-1.

The secret stands in the database as it is: who reads the database also reads the key that signs all tokens. It leaves
the server once, as a picture for the app, and never again after the first code was right.
"""

import asyncio
import hmac
import io
from dataclasses import dataclass
from typing import Final

import pyotp
import segno

from vedette.errors import Denied, Invalid, NotFound, Unacceptable, Unauthenticated
from vedette.server.access import personal_tokens
from vedette.server.access import second_factor_store as store
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import Tx, UserScope
from vedette.server.services import Services

STEP_S: Final = 30
MAX_CODE: Final = 64  # characters of what may be a code
STEPS: Final = (0, -1, 1)  # clocks may be half a minute apart
ISSUER: Final = "Vedette"
NEEDED: Final = "2fa needed"
WRONG: Final = "2fa: the code is not right, or was used already"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That it is the user himself: his password, or a code of his app."""

    password: str = ""
    code: str = ""


async def enable(services: Services, caller: Caller, user_id: str) -> None:
    """Prepare a second factor for the caller; it counts once `verify` has seen a code of it.

    Raises:
        NotFound: no such user.
        Denied: not the caller himself, or his address is not known to be his.
        Invalid: he has one.
    """

    async def work(tx: Tx) -> None:
        address = await store.email(tx, user_id)
        if address is None:
            raise NotFound("user not found")
        if user_id != caller.user_id:
            raise Denied("a second factor can only be enabled by its user")
        if not await store.verified(tx, user_id):
            raise Denied("verify your e-mail address before you turn on 2fa")
        factor = await store.of_user(tx, user_id)
        if factor is not None and factor["enabled"]:
            raise Invalid("2fa is enabled already; disable it first to use another app")
        if factor is None:
            await store.add(tx, user_id, pyotp.random_base32())
            change = audit.diff("2fa", {"status": "disabled"}, {"status": "unverified"})
            await audit.record(tx, services, caller, "update", audit.user(user_id, address), change)

    await services.db.write(caller.at_home, work)


async def disable(services: Services, caller: Caller, user_id: str, proof: Proof) -> None:
    """Forget a second factor, one's own or, for an administrator, that of somebody who has lost his phone.

    One's own only with a proof that it is oneself: a session alone may be stolen.

    Raises:
        NotFound: no such user.
        Denied: the caller speaks through a token that he has made for a program.
        Unacceptable: the proof is missing or wrong.
        TooMany: too many were. Logging in is not kept from anybody by that.
    """
    if user_id == caller.user_id:
        await _require_proof(services, caller, proof)

    async def work(tx: Tx) -> None:
        if user_id == caller.user_id:
            await personal_tokens.require_session(tx, caller)
        address = await store.email(tx, user_id)
        if address is None:
            raise NotFound("user not found")
        if await store.remove(tx, user_id):
            change = audit.diff("2fa", {"status": "enabled"}, {"status": "disabled"})
            await audit.record(tx, services, caller, "update", audit.user(user_id, address), change)

    await services.db.write(caller.at_home if user_id == caller.user_id else caller.scope, work)


async def _require_proof(services: Services, caller: Caller, proof: Proof) -> None:
    factor = await services.db.read(caller.at_home, store.of_user, caller.user_id)
    if factor is None or not factor["enabled"]:
        return  # nothing is given up that has ever counted
    if not proof.password and not proof.code:
        raise Unacceptable("2fa: give your password or a code to turn it off")
    services.confirmations.take(caller.user_id)
    if proof.code:
        right = await services.db.write(
            caller.at_home, _accept, services, caller.user_id, factor["secret"], proof.code[:MAX_CODE]
        )
    else:
        hashed = await services.db.read(caller.at_home, store.password_hash, caller.user_id)
        right = hashed is not None and await services.passwords.check(proof.password[:1024], hashed)
    if not right:
        raise Unacceptable("2fa: the password or code is not right; a code counts once")
    services.confirmations.give_back(caller.user_id)


async def uri(services: Services, caller: Caller) -> str:
    """What an app has to know, as the URI that it reads out of the picture: it holds the secret.

    Raises:
        Invalid: there is no second factor that waits for its first code.
    """
    factor = await services.db.read(caller.at_home, store.of_user, caller.user_id)
    if factor is None or factor["enabled"]:
        raise Invalid("there is no 2fa to be set up; enable it first")
    return pyotp.TOTP(factor["secret"]).provisioning_uri(name=caller.email, issuer_name=ISSUER)


async def picture(services: Services, caller: Caller) -> bytes:
    """The same as a QR code, PNG. Raises as `uri`."""
    text = await uri(services, caller)

    def draw() -> bytes:
        out = io.BytesIO()
        segno.make_qr(text).save(out, kind="png", scale=6)
        return out.getvalue()

    return await asyncio.to_thread(draw)


async def verify(services: Services, caller: Caller, code: str) -> None:
    """The caller shows a code: from his first right one on he needs one to log in.

    Raises:
        Invalid: he has no second factor.
        Unauthenticated: the code is wrong.
        TooMany: too many were.
    """
    services.codes.take(caller.user_id)

    async def work(tx: Tx) -> bool:
        factor = await store.of_user(tx, caller.user_id)
        if factor is None:
            raise Invalid("there is no 2fa to be set up; enable it first")
        if not await _accept(tx, services, caller.user_id, factor["secret"], code):
            return False
        if not factor["enabled"]:
            change = audit.diff("2fa", {"status": "unverified"}, {"status": "enabled"})
            await audit.record(tx, services, caller, "update", audit.user(caller.user_id, caller.email), change)
        return True

    if not await services.db.write(caller.at_home, work):
        raise Unauthenticated(WRONG)
    services.codes.give_back(caller.user_id)


async def at_login(services: Services, tenant: str, user_id: str, code: str) -> None:
    """Whoever knows the password of this user also needs a code, if he has a second factor.

    Raises:
        CodeNeeded: none was given.
        Unauthenticated: it is wrong, or has been used.
        TooMany: too many were wrong.
    """
    scope = UserScope(tenant)
    factor = await services.db.read(scope, store.of_user, user_id)
    if factor is None or not factor["enabled"]:
        return
    if not code:
        raise CodeNeeded(NEEDED)
    services.codes.take(user_id)

    async def work(tx: Tx) -> bool:
        now = await store.of_user(tx, user_id)
        return now is None or await _accept(tx, services, user_id, now["secret"], code)

    if not await services.db.write(scope, work):
        raise WrongCode(WRONG)
    services.codes.give_back(user_id)


class CodeNeeded(Unauthenticated):
    """The password is right; now the code is wanted."""


class WrongCode(CodeNeeded):
    """The password is right, but the code is not."""


async def _accept(tx: Tx, services: Services, user_id: str, secret: str, code: str) -> bool:
    """Whether `code` is one of now that was not used before; it is from here on."""
    code = code.strip().replace(" ", "")
    step = int(services.clock.now().timestamp()) // STEP_S
    app = pyotp.TOTP(secret, interval=STEP_S)
    for each in STEPS:
        right = app.generate_otp(step + each)
        if hmac.compare_digest(right.encode(), code.encode("utf-8", "replace")):
            return await store.accept(tx, user_id, step + each)
    return False
