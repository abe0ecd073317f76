"""A tenant with many devices that take what they are given, and a clock that the test moves."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from serving import EMAIL, RealServer, real_server

from vedette.clock import FakeClock
from vedette.server.configuration import rollout_steps
from vedette.server.configuration import service as configurations
from vedette.server.db import DeviceScope, Tx, UserScope
from vedette.server.deployments import polls, reports
from vedette.server.deployments.values import Poll
from vedette.server.settings import Settings
from vedette.server.times import micros

API = "/api/management/v1/vedette/configuration"
TENANT = f"{API}/layers/tenant"
GROUPS = f"{API}/layers/groups"
DEVICES = f"{API}/layers/devices"
ROLLOUTS = f"{API}/rollouts"


@dataclass
class Fleet:
    """See above."""

    server: RealServer
    admin: httpx.Client
    clock: FakeClock
    installed: dict[str, str] = field(default_factory=dict)  # artifact names, by device

    @property
    def scope(self) -> UserScope:
        return UserScope(self.server.tenant.id, None)

    def add(self, number: int, group: str | None = None) -> list[str]:
        """So many devices that are let in, none of which has been heard of."""
        ids = sorted(str(uuid4()) for _ in range(number))
        self.server.run(self.server.services.db.write(self.scope, _insert, ids, group))
        return ids

    def put(self, path: str, values: Mapping[str, str | None], **more: Any) -> dict[str, Any]:
        answer = self.admin.put(path, json={"values": values, **more})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def get(self, path: str, **query: Any) -> Any:
        answer = self.admin.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def act(self, rollout: str, what: str, comment: str = "") -> dict[str, Any]:
        answer = self.admin.post(f"{ROLLOUTS}/{rollout}/{what}", json={"comment": comment})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def rollout(self, rollout: str) -> dict[str, Any]:
        return dict(self.get(f"{ROLLOUTS}/{rollout}"))

    def settle(self, turns: int = 1000) -> int:
        """Let the server do what there is to do now; in how many turns."""
        for turn in range(turns):
            if not self.server.run(rollout_steps.turn(self.server.services)):
                return turn
        raise AssertionError(f"there is still something to do after {turns} turns")

    def pass_time(self, seconds: float) -> None:
        """With what the server does meanwhile."""
        self.clock.advance(seconds)
        self.settle()

    def poll(self, device: str) -> str | None:
        """What a device is offered when it asks; it has been heard of then."""
        scope, services = DeviceScope(self.server.tenant.id, device), self.server.services
        self.server.run(services.db.write(self.scope, _check_in, device, micros(self.clock.now())))
        poll = Poll(device_type="box", artifact_name=self.installed.get(device, "none"))
        told = self.server.run(polls.next_deployment(services, scope, poll))
        return None if told is None else told.deployment

    def report(self, device: str, values: Mapping[str, str]) -> None:
        """A device says what it has, a little later."""
        self.clock.advance(1)
        scope = DeviceScope(self.server.tenant.id, device)
        self.server.run(configurations.report(self.server.services, scope, values))

    def say(self, device: str, deployment: str, status: str) -> None:
        scope = DeviceScope(self.server.tenant.id, device)
        self.server.run(reports.report_status(self.server.services, scope, deployment, status, ""))

    def take(self, device: str, status: str = "success") -> dict[str, str] | None:
        """A device asks, and takes up what it is given; what that was."""
        deployment = self.poll(device)
        if deployment is None:
            return None
        self.say(device, deployment, "downloading")
        self.say(device, deployment, status)
        if status == "success":
            self.installed[device] = f"configuration-{deployment}"
        content = self.value("SELECT content FROM deployment WHERE tenant = :tenant AND id = :id", id=deployment)
        values: dict[str, str] = json.loads(content)
        return values

    def take_all(self, devices: Sequence[str], status: str = "success") -> dict[str, dict[str, str]]:
        """All of them ask; what each of those got that got something."""
        found = {device: self.take(device, status) for device in devices}
        return {device: values for device, values in found.items() if values is not None}

    def move(self, device: str, group: str | None) -> None:
        path = f"/api/management/v1/inventory/devices/{device}/group"
        if group is None:
            old = self.get(path)["group"]
            assert self.admin.delete(f"{path}/{old}").status_code == 204
        else:
            assert self.admin.put(path, json={"group": group}).status_code == 204

    def raise_problem(self, device: str) -> None:
        """An alert of a device, as of now."""
        self.server.run(self.server.services.db.write(self.scope, _raise, device, micros(self.clock.now())))

    def effective(self, device: str) -> dict[str, Any]:
        return dict(self.get(f"{API}/devices/{device}/effective"))

    def wanted(self, device: str) -> dict[str, str]:
        return {key: each["value"] for key, each in self.effective(device)["values"].items()}

    def value(self, sql: str, **params: object) -> Any:
        async def work(tx: Tx) -> Any:
            return await tx.value(sql, **params)

        return self.server.run(self.server.services.db.read(self.scope, work))


async def _insert(tx: Tx, ids: Sequence[str], group: str | None) -> None:
    await tx.many(
        "INSERT INTO device (tenant, id, identity, identity_hash, status, group_name, created_at, updated_at)"
        " VALUES (:tenant, :of, '{}', :of, 'accepted', :group, 1, 1)",
        [{"of": each, "group": group} for each in ids],
    )


async def _check_in(tx: Tx, device: str, at: int) -> None:
    await tx.execute("UPDATE device SET check_in_at = :at WHERE {visible} AND id = :of", of=device, at=at)


async def _raise(tx: Tx, device: str, at: int) -> None:
    values = {"of": device, "alert": str(uuid4()), "at": at}
    await tx.execute(
        "INSERT INTO alert (tenant, device, id, name, level, at, received_at, subject_type, subject_name,"
        " subject_status) VALUES (:tenant, :of, :alert, 'x', 'CRITICAL', :at, :at, 'log', 'x', 'x')",
        **values,
    )
    await tx.execute(
        "INSERT INTO subject (tenant, device, type, name, level, open, alert_id, at, account, opened_by)"
        " VALUES (:tenant, :of, 'log', 'x', 'CRITICAL', 1, :alert, :at, '', :alert)",
        **values,
    )


@contextmanager
def fleet(data: Path) -> Iterator[Fleet]:
    clock = FakeClock()
    settings = Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")
    with real_server(settings, clock) as server:
        server.add_user(EMAIL)
        yield Fleet(server, server.client(server.login()), clock)
