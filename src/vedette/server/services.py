"""What the parts of a running server share, handed to every service as its first argument."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from vedette.clock import Clock, SystemClock
from vedette.server.access import keys
from vedette.server.access.limits import Limit, per_minute
from vedette.server.access.oidc_provider import Provider
from vedette.server.access.passwords import Passwords
from vedette.server.access.signer import Signer
from vedette.server.access.tokens import TokenCache
from vedette.server.alerts import lately
from vedette.server.alerts import leaving as alerts_leaving
from vedette.server.caller import Caller
from vedette.server.db import Database, DeviceScope, Tx, open_database
from vedette.server.deployments.due import Due
from vedette.server.deployments.leaving import device_leaves
from vedette.server.deployments.links import Links
from vedette.server.devices.check_ins import CheckIns
from vedette.server.devices.turns import Turns
from vedette.server.letters import Letters
from vedette.server.live import Live
from vedette.server.notify import leaving as deliveries_leaving
from vedette.server.settings import Settings

Emptying = Callable[[Tx, str, int], Awaitable[int]]
"""Removes at most so much of what a device has that may be too much for one transaction; how much it was."""
Leaving = Callable[[Tx, str, int], Awaitable[None]]
"""Called with a device that is about to be removed, and the time, in that transaction."""
Problems = Callable[[Tx, int], Awaitable[Mapping[str, int]]]
"""Devices with an open problem that began after a time, and when the last of these did (microseconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One running server. Nothing in it is state that another process would miss: that is in `db`."""

    settings: Settings
    db: Database
    clock: Clock
    live: Live
    signer: Signer
    user_tokens: TokenCache[Caller]
    device_tokens: TokenCache[DeviceScope]
    passwords: Passwords
    logins_of_account: Limit  # from anywhere
    logins_from_one_place: Limit  # of an account, from one address: whoever guesses elsewhere locks nobody out
    logins_from_address: Limit
    user_calls: Limit | None  # by user
    device_calls: Limit | None  # by device
    codes: Limit  # of second factors, by user
    confirmations: Limit  # with the current password, by user
    letters: Letters
    identity: Provider  # used where the settings name one
    recoveries_of_account: Limit
    recoveries_from_address: Limit
    check_ins: CheckIns
    searches: Turns  # of devices, by user
    due: Due
    links: Links
    emptying: Sequence[Emptying]  # what the slices to the right of `devices` do before
    leaving: Sequence[Leaving]  # and what they do then
    problems_since: Problems  # what `alerts` knows, for the slices to its left


@asynccontextmanager
async def open_services(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Services]:
    """Open the database of `settings` and everything around it; closed in reverse.

    Raises:
        Invalid: not a database this program knows.
        Unavailable: the database cannot be opened.
    """
    clock = clock or SystemClock()
    db = await open_database(settings.database_url)
    passwords, live = Passwords(), Live()
    user_tokens, device_tokens = TokenCache[Caller]("user token"), TokenCache[DeviceScope]("device token")
    db.hear(live.topic, live.publish, live.doubt)
    for cache in (user_tokens, device_tokens):
        db.hear(cache.topic, cache.withdrawn, cache.doubt)
    try:
        yield Services(
            settings=settings,
            db=db,
            clock=clock,
            live=live,
            signer=await keys.signer(db),
            user_tokens=user_tokens,
            device_tokens=device_tokens,
            passwords=passwords,
            logins_of_account=Limit(clock, burst=100, every_s=30),
            logins_from_one_place=Limit(clock, burst=10, every_s=30),
            logins_from_address=Limit(clock, burst=30, every_s=10),
            user_calls=per_minute(clock, settings.calls_of_user, 10_000),
            device_calls=per_minute(clock, settings.calls_of_device, 200_000),
            codes=Limit(clock, burst=5, every_s=60),
            confirmations=Limit(clock, burst=10, every_s=60),
            letters=Letters(),
            identity=Provider(clock, settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret),
            recoveries_of_account=Limit(clock, burst=3, every_s=600),
            recoveries_from_address=Limit(clock, burst=20, every_s=60),
            check_ins=CheckIns(),
            searches=Turns(),
            due=Due(db, clock),
            links=Links(await keys.link_key(db)),
            emptying=(alerts_leaving.some_leave, deliveries_leaving.some_leave),
            leaving=(device_leaves,),
            problems_since=lately.problems_since,
        )
    finally:
        passwords.close()
        await db.close()
