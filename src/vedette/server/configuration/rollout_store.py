"""The SQL of rollouts."""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vedette.server.db import Row, Tx

OPEN: Final = ("running", "paused", "halted")
_SEEN: Final = "(:all = 1 OR group_name IN {each:mine})"


async def add(tx: Tx, values: Mapping[str, object]) -> None:
    await tx.execute(
        "INSERT INTO rollout (tenant, id, group_name, version, state, reason, author, comment, parameters, waves, wave,"
        " reached, stopped, handed_to, forgiven, too_large, cleaning, look_at, leased_until, created_at)"
        " VALUES (:tenant, :id, :of, :version, :state, '', :author, :comment, :parameters, :waves, 0,"
        " -1, 0, NULL, :forgiven, 0, 0, :look_at, 0, :now)",
        **values,
    )


async def supersede(tx: Tx, group: str, now: int) -> None:
    """Whatever is under way of a layer ends here; what was stopped is called off."""
    await tx.execute(
        "UPDATE rollout SET state = 'superseded', finished_at = :now, cleaning = stopped,"
        " look_at = CASE WHEN stopped = 1 THEN CAST(:now AS bigint) END, leased_until = 0"
        f" WHERE tenant = :tenant AND group_name = :of AND state IN {OPEN!r}",
        of=group, now=now,
    )  # fmt: skip


async def one(tx: Tx, rollout: str) -> Row | None:
    return await tx.one("SELECT * FROM rollout WHERE tenant = :tenant AND id = :id", id=rollout)


async def of_version(tx: Tx, group: str, version: int) -> Row | None:
    return await tx.one(
        "SELECT * FROM rollout WHERE tenant = :tenant AND group_name = :of AND version = :version",
        of=group, version=version,
    )  # fmt: skip


async def under_way(tx: Tx, group: str) -> Row | None:
    """What is under way of a layer."""
    return await tx.one(
        f"SELECT * FROM rollout WHERE tenant = :tenant AND group_name = :of AND state IN {OPEN!r}", of=group
    )


async def find(
    tx: Tx, mine: Sequence[str] | None, state: str | None, group: str | None, limit: int, offset: int
) -> tuple[list[Row], int]:
    """Rollouts, newest first; `mine`: of the layers of these groups only."""
    where = f" FROM rollout WHERE tenant = :tenant AND {_SEEN}"
    params: dict[str, Any] = {"all": int(mine is None), "mine": json.dumps(list(mine or ()))}
    if state is not None:
        where += " AND state = :state"
        params["state"] = state
    if group is not None:
        where += " AND group_name = :of"
        params["of"] = group
    total: int = await tx.value(f"SELECT count(*){where}", **params)
    rows = await tx.all(
        f"SELECT *{where} ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :offset",
        **params, limit=limit, offset=offset,
    )  # fmt: skip
    return rows, total


async def lease(tx: Tx, now: int, until: int) -> Row | None:
    """A rollout with something to do, for whoever asks first. Runs as the system."""
    rows = await tx.all(
        "UPDATE rollout SET leased_until = :until WHERE (tenant, id) IN (SELECT tenant, id FROM rollout"
        " WHERE look_at IS NOT NULL AND look_at <= :now AND leased_until <= :now ORDER BY look_at, id LIMIT 1)"
        " RETURNING *",
        now=now, until=until,
    )  # fmt: skip
    return rows[0] if rows else None


async def next_look(tx: Tx) -> int | None:
    """When there is something to do. Runs as the system."""
    at: int | None = await tx.value("SELECT min(look_at) FROM rollout WHERE look_at IS NOT NULL")
    return at


async def change(tx: Tx, rollout: str, **columns: object) -> None:
    """Set columns, by our own names."""
    assert columns.keys() <= _CHANGING
    setting = ", ".join(f"{name} = :{name}" for name in columns)
    await tx.execute(f"UPDATE rollout SET {setting} WHERE tenant = :tenant AND id = :id", id=rollout, **columns)


_CHANGING: Final = frozenset(
    {
        "state",
        "reason",
        "waves",
        "wave",
        "reached",
        "stopped",
        "handed_to",
        "forgiven",
        "too_large",
        "cleaning",
        "look_at",
        "leased_until",
        "finished_at",
    }
)


async def deployment(tx: Tx, rollout: str, wave: int, content_hash: str) -> str | None:
    """A deployment that carries this content in this wave."""
    found: str | None = await tx.value(
        "SELECT deployment FROM rollout_deployment WHERE tenant = :tenant AND rollout = :of AND wave = :wave"
        " AND content_hash = :hash ORDER BY deployment LIMIT 1",
        of=rollout, wave=wave, hash=content_hash,
    )  # fmt: skip
    return found


async def add_deployment(tx: Tx, rollout: str, wave: int, content_hash: str, deployment: str) -> None:
    await tx.execute(
        "INSERT INTO rollout_deployment (tenant, rollout, wave, content_hash, deployment)"
        " VALUES (:tenant, :of, :wave, :hash, :deployment) ON CONFLICT (tenant, rollout, deployment) DO NOTHING",
        of=rollout, wave=wave, hash=content_hash, deployment=deployment,
    )  # fmt: skip


async def free_deployments(tx: Tx, rollout: str) -> list[str]:
    """The deployments that carry it, and that carry no other one that was stopped."""
    rows = await tx.all(
        "SELECT deployment FROM rollout_deployment WHERE tenant = :tenant AND rollout = :of AND NOT EXISTS"
        " (SELECT 1 FROM rollout_deployment AS other JOIN rollout ON rollout.tenant = other.tenant"
        " AND rollout.id = other.rollout WHERE other.tenant = :tenant"
        " AND other.deployment = rollout_deployment.deployment AND other.rollout <> :of AND rollout.stopped = 1)",
        of=rollout,
    )
    return [row["deployment"] for row in rows]


async def deployments(tx: Tx, rollout: str) -> dict[str, int]:
    """The deployments that carry it, each with its wave."""
    rows = await tx.all(
        "SELECT deployment, wave FROM rollout_deployment WHERE tenant = :tenant AND rollout = :of", of=rollout
    )
    return {row["deployment"]: row["wave"] for row in rows}
