"""Everybody there is to ask, and devices in two groups: what the tests of who may see and do what share."""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from serving import DEVAUTH, PASSWORD, FakeDevice, RealServer

from vedette.server.access.permissions import Grant, Rights, Role
from vedette.server.access.role_service import create as create_role
from vedette.server.access.roles import ADMIN, OBSERVER
from vedette.server.caller import Caller
from vedette.server.db import Tx, UserScope

ALPHA, BETA = "alpha", "beta"
ROLES = [
    Role(name="users", grants=(Grant("ManageUsers"),)),
    Role(name="reads-alpha", grants=(Grant("ReadDevices", frozenset({ALPHA})),)),
    Role(
        name="manages-alpha",
        grants=(Grant("ManageDevices", frozenset({ALPHA})), Grant("ReadDevices", frozenset({ALPHA, BETA}))),
    ),
]
PEOPLE = {  # column of the table: roles
    "admin": (ADMIN,),
    "observer": (OBSERVER,),
    "releases": ("RBAC_ROLE_CI",),
    "deploys": ("RBAC_ROLE_DEPLOYMENTS_MANAGER",),
    "terminal": ("RBAC_ROLE_REMOTE_TERMINAL",),
    "users": ("users",),
    "reads alpha": ("reads-alpha",),
    "manages alpha": ("manages-alpha",),
    "no role": (),
}


@dataclass
class Made:
    """A device with something of everything, which nobody else has touched."""

    id: str
    group: str
    auth: str
    alert: str
    secret: str  # stands in all that is said of it
    deployment: str = ""

    @property
    def marks(self) -> tuple[str, ...]:
        """What tells of it, wherever it stands."""
        return tuple(each for each in (self.id, self.secret, self.auth, self.alert, self.deployment) if each)


@dataclass
class World:
    """A server, its people, and devices as they are needed."""

    server: RealServer
    tokens: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def __post_init__(self) -> None:
        tenant = UserScope(self.server.tenant.id, None)
        maker = Caller(scope=tenant, user_id="", email="", session="", rights=Rights(everything=True))
        self.execute("UPDATE tenant SET service_provider = 1 WHERE id = :tenant")
        for role in ROLES:
            self.server.run(create_role(self.server.services, maker, role))
        for number, (name, roles) in enumerate(PEOPLE.items()):
            self.server.add_user(f"user{number}@example.com", roles=roles)
            self.tokens[name] = self.login(name)
        self.tokens["device"] = self._device()  # as long as there is one tenant, it needs no token of it
        other = self.server.add_tenant("other")
        self.server.add_user("stranger@example.com", tenant=other.id)
        self.tokens["other tenant"] = self.login("other tenant")
        self.tokens["no token"] = ""
        self.tokens["expired"] = self._expired()
        self.tokens["revoked"] = self.login("admin")
        assert self.client("revoked").post("/api/management/v1/useradm/auth/logout").status_code == 202

    def login(self, name: str) -> str:
        if name == "other tenant":
            return self.server.login("stranger@example.com", PASSWORD)
        return self.server.login(f"user{list(PEOPLE).index(name)}@example.com", PASSWORD)

    def client(self, name: str) -> httpx.Client:
        return self.server.client(self.tokens[name])

    def _device(self) -> str:
        device, admin = FakeDevice(self.server, {"sn": "real"}), self.client("admin")
        assert device.request().status_code == 401
        (found,) = admin.get(f"{DEVAUTH}/devices").json()
        path = f"{DEVAUTH}/devices/{found['id']}/auth/{found['auth_sets'][0]['id']}/status"
        assert admin.put(path, json={"status": "accepted"}).status_code == 204
        return device.request().text

    def _expired(self) -> str:
        claims = {"jti": str(uuid4()), "sub": str(uuid4()), "iss": "Mender", "exp": 1, "mender.user": True}
        return self.server.services.signer.sign(claims | {"mender.tenant": self.server.tenant.id})

    @property
    def people(self) -> list[str]:
        """Whose address is user0@example.com, user1 ..."""
        return list(PEOPLE)

    def execute(self, sql: str, **params: object) -> None:
        """A statement for the whole tenant."""

        async def work(tx: Tx) -> None:
            await tx.execute(sql, **params)

        self.server.run(self.server.services.db.write(UserScope(self.server.tenant.id, None), work))

    def make(self, *groups: str) -> list[Made]:
        """A new device in each of these groups."""
        made = []
        for group in groups:
            self.count += 1
            secret = f"secret-of-{group}-{self.count}"
            made.append(Made(str(uuid4()), group, str(uuid4()), str(uuid4()), secret))
        self.server.run(self.server.services.db.write(UserScope(self.server.tenant.id, None), _insert, made))
        return made


async def _insert(tx: Tx, made: list[Made]) -> None:
    for each in made:
        values: dict[str, Any] = {"of": each.id, "secret": each.secret, "json": json.dumps(each.secret)}
        await tx.execute(
            "INSERT INTO device (tenant, id, identity, identity_hash, status, group_name, created_at, updated_at,"
            " open_count) VALUES (:tenant, :of, :identity, :secret, 'accepted', :group, 1, 1, 1)",
            identity=json.dumps({"sn": each.secret}), group=each.group, **values,
        )  # fmt: skip
        await tx.execute(
            "INSERT INTO auth_set (tenant, device, id, pubkey, status, token_hash, created_at)"
            " VALUES (:tenant, :of, :auth, :secret, 'accepted', :secret, 1)",
            auth=each.auth, **values,
        )  # fmt: skip
        for scope, name in (("identity", "sn"), ("inventory", f"name-{each.secret}"), ("tags", "name")):
            await tx.execute(
                "INSERT INTO attribute (tenant, device, scope, name, value, updated_at)"
                " VALUES (:tenant, :of, :scope, :name, :json, 1)",
                scope=scope, name=name, **values,
            )  # fmt: skip
        await tx.execute(
            "INSERT INTO alert (tenant, device, id, name, level, at, received_at, subject_type, subject_name,"
            " subject_status) VALUES (:tenant, :of, :alert, :secret, 'CRITICAL', 1, 1, 'log', :secret, 'x')",
            alert=each.alert, **values,
        )  # fmt: skip
        await tx.execute(
            "INSERT INTO subject (tenant, device, type, name, level, open, alert_id, at, account)"
            " VALUES (:tenant, :of, 'log', :secret, 'CRITICAL', 1, :alert, 1, '')",
            alert=each.alert, **values,
        )  # fmt: skip
        await tx.execute(
            "INSERT INTO monitor_config (tenant, device, document, updated_at)"
            " VALUES (:tenant, :of, :document, 1)",
            document=json.dumps([{"name": each.secret, "type": "log", "status": "enabled"}]), **values,
        )  # fmt: skip
        await tx.execute(
            "INSERT INTO delivery (tenant, device, alert_id, thread, user_id, channel, address, state, reason, due_at,"
            " created_at, ended_at) VALUES (:tenant, :of, :alert, :alert, :secret, 'email', :secret, 'withheld',"
            " :secret, 1, 1, 1)",
            alert=each.alert, **values,
        )  # fmt: skip
