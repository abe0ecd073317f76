"""What clients keep on the server: one JSON object for a tenant, and one for each user. It means nothing to us."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from vedette.errors import Changed, Denied, Invalid, TooLarge
from vedette.server.access import second_factor_store, settings_store
from vedette.server.audit import service as audit
from vedette.server.caller import Caller
from vedette.server.db import Row, Tx
from vedette.server.services import Services

MAX_KEYS: Final = 1024
MAX_KEY: Final = 128  # characters
MAX_STRING: Final = 4096  # characters
MAX_DEPTH: Final = 16
MAX_SIZE: Final = 256 * 1024  # characters of JSON


@dataclass(frozen=True, slots=True)
class Saved:
    """What is kept; `etag` is None until something was."""

    document: Mapping[str, Any] = field(default_factory=dict)
    etag: str | None = None


async def load(services: Services, caller: Caller, *, own: bool) -> Saved:
    """What is kept for the caller himself, or for his tenant."""

    async def work(tx: Tx) -> Saved:
        return _saved(await _row(tx, caller, own=own))

    return await services.db.read(caller.at_home if own else caller.scope, work)


async def replace(
    services: Services, caller: Caller, document: Mapping[str, Any], *, own: bool, match: str | None
) -> None:
    """Keep `document` in place of what was kept.

    Args:
        match: of the header If-Match; None: whatever is there.
    Raises:
        Invalid: too many keys, or too long.
        Changed: `match` is not the etag of what is there.
        Denied: it speaks of a second factor, and nobody knows whether the caller reads his mails.
    """
    check(document)

    async def work(tx: Tx) -> None:
        before = _saved(await _row(tx, caller, own=own))
        if match is not None and not matches(match, before.etag):
            raise Changed("the settings have been changed since; load them again")
        if _speaks_of_second_factor(document, before.document) and not await second_factor_store.verified(
            tx, caller.user_id
        ):
            raise Denied("verify your e-mail address before you turn on 2fa")
        text, etag = json.dumps(document), str(uuid4())
        if own:
            await settings_store.save_of_user(tx, caller.user_id, text, etag)
            thing = audit.user(caller.user_id, caller.email)
        else:
            await settings_store.save_of_tenant(tx, text, etag)
            thing = audit.tenant(caller.scope.tenant)
        change = audit.diff("settings", before.document, document)
        await audit.record(tx, services, caller, "update", thing, change)

    await services.db.write(caller.at_home if own else caller.scope, work)


def check(document: Mapping[str, Any]) -> None:
    """Refuse what is too much.

    Raises:
        Invalid: too many keys, or one or a text is too long, or it is too deep.
        TooLarge: it is too long as a whole.
    """
    if len(document) > MAX_KEYS:
        raise Invalid(f"settings have at most {MAX_KEYS} keys")
    left: list[tuple[object, int]] = [(dict(document), 1)]
    while left:
        value, depth = left.pop()
        if depth > MAX_DEPTH:
            raise Invalid(f"settings are at most {MAX_DEPTH} levels deep")
        match value:
            case dict():
                for key, each in value.items():
                    if len(key) > MAX_KEY:
                        raise Invalid(f"settings: the key {key[:40]!r} is longer than {MAX_KEY} characters")
                    _check_text(key, each)
                    left.append((each, depth + 1))
            case list():
                for each in value:
                    _check_text("", each)
                    left.append((each, depth + 1))
    if len(json.dumps(document)) > MAX_SIZE:
        raise TooLarge(f"settings are at most {MAX_SIZE} characters of JSON")


def _check_text(key: str, value: object) -> None:
    if isinstance(value, str) and len(value) > MAX_STRING:
        raise Invalid(f"settings: the value of {key[:40]!r} is longer than {MAX_STRING} characters")


def matches(header: str, etag: str | None) -> bool:
    """Whether If-Match names what is there. Source: RFC 9110, section 13.1.1; clients also send it without quotes."""
    if etag is None:
        return False
    return header.strip() == "*" or etag in {each.strip().strip('"') for each in header.split(",")}


def _speaks_of_second_factor(document: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Older clients turn a second factor on by keys here, such as `2fa` and `<id>_2fa`."""
    return any("2fa" in key and document[key] != before.get(key) for key in document)


async def _row(tx: Tx, caller: Caller, *, own: bool) -> Row | None:
    return await (settings_store.of_user(tx, caller.user_id) if own else settings_store.of_tenant(tx))


def _saved(row: Row | None) -> Saved:
    return Saved() if row is None else Saved(json.loads(row["document"]), row["etag"])
