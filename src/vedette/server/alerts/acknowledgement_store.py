"""The SQL of who has taken a problem over; the only module that writes the table `acknowledgement`."""

from vedette.server.db import Row, Tx


async def problem(tx: Tx, device: str, alert: str) -> Row | None:
    """The open problem that an alert has opened, or is the newest of, with its acknowledgement (NULLs: none)."""
    return await tx.one(
        "SELECT coalesce(subject.opened_by, subject.alert_id) AS problem, subject.type, subject.name,"
        " device.identity, device.group_name,"
        " acknowledgement.email, acknowledgement.note, acknowledgement.until_at FROM subject"
        " JOIN device ON device.tenant = subject.tenant AND device.id = subject.device"
        " LEFT JOIN acknowledgement ON acknowledgement.tenant = subject.tenant"
        " AND acknowledgement.device = subject.device"
        " AND acknowledgement.problem = coalesce(subject.opened_by, subject.alert_id)"
        " WHERE {visible} AND subject.tenant = :tenant AND subject.device = :id AND subject.open = 1"
        " AND (subject.opened_by = :alert OR subject.alert_id = :alert)",
        id=device,
        alert=alert,
    )


async def put(
    tx: Tx, device: str, problem: str, user_id: str, email: str, note: str, now: int, until: int | None
) -> None:
    """In place of an older one. The device is visible: it has just been found."""
    await tx.execute(
        "INSERT INTO acknowledgement (tenant, device, problem, user_id, email, note, created_at, until_at)"
        " VALUES (:tenant, :id, :problem, :user, :email, :note, :now, :until)"
        " ON CONFLICT (tenant, device, problem) DO UPDATE SET user_id = excluded.user_id, email = excluded.email,"
        " note = excluded.note, created_at = excluded.created_at, until_at = excluded.until_at",
        id=device, problem=problem, user=user_id, email=email, note=note, now=now, until=until,
    )  # fmt: skip


async def remove(tx: Tx, device: str, problem: str) -> None:
    await tx.execute(
        "DELETE FROM acknowledgement WHERE acknowledgement.tenant = :tenant AND acknowledgement.device = :id"
        " AND acknowledgement.problem = :problem AND EXISTS (SELECT 1 FROM device"
        " WHERE device.tenant = acknowledgement.tenant AND device.id = acknowledgement.device AND {visible})",
        id=device,
        problem=problem,
    )
