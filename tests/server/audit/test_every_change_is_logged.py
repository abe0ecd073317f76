"""Every route that changes something leaves an entry in the audit log: asked of the routing table itself.

A new route needs a recipe here that succeeds, or a reason why there is nothing to log.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pyotp
import pytest
from fleet_of_two import ALPHA, Made, World
from serving import PASSWORD, FakeDevice, real_server
from starlette.routing import Route

from vedette.server.app import routes
from vedette.server.configuration import rollout_steps
from vedette.server.http.routes import SAFE
from vedette.server.settings import Settings

LOGS = "/api/management/v1/auditlogs/logs"
USERADM = "/api/management/v1/useradm"
ROLES = "/api/management/v2/useradm/roles"
DEVAUTH = "/api/management/v2/devauth"
INVENTORY = "/api/management/v1/inventory"
FILTERS = "/api/management/v2/inventory/filters"
DEPLOYMENTS = "/api/management/v1/deployments/deployments"
CONFIG = "/api/management/v1/deviceconfig/configurations/device"
TENANTS = "/api/management/v2/tenantadm/tenants"
LAYERS = "/api/management/v1/vedette/configuration/layers"
ROLLOUTS = "/api/management/v1/vedette/configuration/rollouts"

PROBLEM = "PUT /api/management/v1/vedette/devices/{device}/problems/{alert}/acknowledgement"

NOTHING_TO_LOG = {
    "POST /api/management/v1/useradm/auth/login": "signing in changes nothing that others see; login_ts tells of it",
    "POST /login": "the same, by the page",
    "POST /api/management/v1/useradm/auth/logout": "ends the caller's own session",
    "POST /logout": "the same, by the page",
    "POST /api/management/v1/useradm/auth/password-reset/start": "sends a mail, if at all",
    "POST /api/management/v1/useradm/auth/verify-email/start": "sends a mail, if at all",
    "POST /password": "the same, by the page",
    "POST /api/management/v1/useradm/auth/password-reset/complete": "no token: see test_password_reset",
    "POST /password/new": "the same, by the page",
    "POST /api/management/v1/useradm/auth/verify-email/complete": "no token: see test_password_reset",
    "POST /verify-email": "the same, by the page",
    f"POST {USERADM}/users/{{id}}/assign": "is in the log of the tenant that he is assigned to: see test_tenants",
    "POST /api/management/v2/devauth/devices/search": "only asks",
    "POST /api/management/v2/inventory/filters/search": "only asks",
    "POST /api/management/v1/deployments/deployments/statistics/list": "only asks",
    f"POST {LAYERS}/tenant/preview": "only asks",
    f"POST {LAYERS}/groups/{{name}}/preview": "only asks",
    f"POST {LAYERS}/devices/{{device}}/preview": "only asks",
}


@dataclass
class Asked:
    """One call that changes something."""

    path: str
    body: Any = None
    client: httpx.Client | None = None  # None: the administrator
    form: dict[str, str] = field(default_factory=dict)


Recipe = Callable[["Office"], Asked]
RECIPES: dict[str, Recipe] = {}


def recipe(*routes: str) -> Callable[[Recipe], Recipe]:
    def keep(made: Recipe) -> Recipe:
        RECIPES.update(dict.fromkeys(routes, made))
        return made

    return keep


class Office:
    """A server with everything that somebody could want to change."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.server = world.server
        self.admin = world.client("admin")
        self.asked = ("", "")  # method, path of the route

    def device(self) -> Made:
        return self.world.make(ALPHA)[0]

    def user(self) -> tuple[str, httpx.Client]:
        email = f"{uuid4()}@example.com"
        return self.server.add_user(email).id, self.server.client(self.server.login(email))

    def role(self) -> str:
        name = f"role-{uuid4()}"
        body = {"name": name, "permission_sets_with_scope": [{"name": "ReadUsers"}]}
        assert self.admin.post(ROLES, json=body).status_code == 201
        return name

    def count(self) -> int:
        return int(self.admin.get(LOGS, params={"per_page": 1}).headers["x-total-count"])


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    data = tmp_path_factory.mktemp("data")
    with real_server(Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")) as server:
        yield Office(World(server))


def changing() -> list[str]:
    """All routes of people that may change something."""
    found = set()
    for route in routes():
        assert isinstance(route, Route)
        for method in getattr(route.app, "_handlers", ()):
            if method not in SAFE and not route.path.startswith(("/api/devices/", "/api/0.1.0/", "/api/internal/")):
                found.add(f"{method} {route.path}")
    return sorted(found)


# --- users -----------------------------------------------------------------------------------------------------------


@recipe(f"POST {USERADM}/users")
def _(office: Office) -> Asked:
    return Asked(f"{USERADM}/users", {"email": f"{uuid4()}@example.com", "password": PASSWORD})


@recipe(f"PUT {USERADM}/users/{{id}}")
def _(office: Office) -> Asked:
    return Asked(f"{USERADM}/users/{office.user()[0]}", {"roles": ["RBAC_ROLE_OBSERVER"]})


@recipe(f"DELETE {USERADM}/users/{{id}}")
def _(office: Office) -> Asked:
    return Asked(f"{USERADM}/users/{office.user()[0]}")


@recipe("PUT /api/management/v2/useradm/users/me")
def _(office: Office) -> Asked:
    body = {"password": "another good one", "current_password": PASSWORD}
    return Asked("/api/management/v2/useradm/users/me", body, office.user()[1])


@recipe(f"POST {USERADM}/settings", f"POST {USERADM}/settings/me")
def _(office: Office) -> Asked:
    return Asked(office.asked[1], {"key": str(uuid4())})


@recipe(f"POST {USERADM}/settings/tokens")
def _(office: Office) -> Asked:
    return Asked(f"{USERADM}/settings/tokens", {"name": "ci"}, office.user()[1])


@recipe(f"DELETE {USERADM}/settings/tokens/{{id}}")
def _(office: Office) -> Asked:
    client = office.user()[1]
    assert client.post(f"{USERADM}/settings/tokens", json={"name": "ci"}).status_code == 200
    return Asked(f"{USERADM}/settings/tokens/{client.get(f'{USERADM}/settings/tokens').json()[0]['id']}", None, client)


@recipe(f"POST {USERADM}/users/{{id}}/2fa/enable")
def _(office: Office) -> Asked:
    return Asked(f"{USERADM}/users/me/2fa/enable", None, office.user()[1])


@recipe(f"POST {USERADM}/users/{{id}}/2fa/disable")
def _(office: Office) -> Asked:
    user, client = office.user()
    assert client.post(f"{USERADM}/users/me/2fa/enable").status_code == 200
    return Asked(f"{USERADM}/users/{user}/2fa/disable")


@recipe(f"PUT {USERADM}/2faverify")
def _(office: Office) -> Asked:
    user, client = office.user()
    assert client.post(f"{USERADM}/users/me/2fa/enable").status_code == 200

    async def work(tx: Any) -> Any:
        return await tx.value("SELECT secret FROM second_factor WHERE tenant = :tenant AND user_id = :user", user=user)

    from vedette.server.db import UserScope

    secret = office.server.run(office.server.services.db.read(UserScope(office.server.tenant.id), work))
    code = pyotp.TOTP(secret).at(office.server.services.clock.now() + timedelta(seconds=1))
    return Asked(f"{USERADM}/2faverify", {"token2fa": code}, client)


@recipe(f"POST {ROLES}", "POST /api/management/v1/useradm/roles")
def _(office: Office) -> Asked:
    body: dict[str, Any] = {"name": f"role-{uuid4()}", "permission_sets_with_scope": [{"name": "ReadUsers"}]}
    if "/v1/" in office.asked[1]:
        body = {"name": f"role-{uuid4()}", "permissions": [{"action": "VIEW_DEVICE", "object": _ANY_GROUP}]}
    return Asked(office.asked[1], body)


@recipe(f"PUT {ROLES}/{{name}}", "PUT /api/management/v1/useradm/roles/{name}")
def _(office: Office) -> Asked:
    body: dict[str, Any] = {"description": "x", "permission_sets_with_scope": [{"name": "ReadDevices"}]}
    if "/v1/" in office.asked[1]:
        body = {"description": "x", "permissions": [{"action": "VIEW_DEVICE", "object": _ANY_GROUP}]}
    return Asked(office.asked[1].replace("{name}", office.role()), body)


@recipe(f"DELETE {ROLES}/{{name}}", "DELETE /api/management/v1/useradm/roles/{name}")
def _(office: Office) -> Asked:
    return Asked(office.asked[1].replace("{name}", office.role()))


_ANY_GROUP = {"type": "DEVICE_GROUP", "value": ALPHA}


# --- tenants ---------------------------------------------------------------------------------------------------------


def _provider(office: Office) -> None:
    office.world.execute("UPDATE tenant SET service_provider = 1 WHERE id = :tenant")


def _child(office: Office) -> str:
    _provider(office)
    admin = {"email": f"{uuid4()}@example.com", "password": PASSWORD}
    name = f"child-{uuid4()}"
    assert office.admin.post(TENANTS, json={"name": name, "admin": admin}).status_code == 202
    found: list[dict[str, Any]] = office.admin.get(TENANTS, params={"per_page": 500}).json()
    (made,) = (str(each["id"]) for each in found if each["name"] == name)
    return made


@recipe(f"POST {TENANTS}")
def _(office: Office) -> Asked:
    _provider(office)
    admin = {"email": f"{uuid4()}@example.com", "password": PASSWORD}
    return Asked(TENANTS, {"name": f"child-{uuid4()}", "admin": admin})


@recipe(f"PUT {TENANTS}/{{id}}/child")
def _(office: Office) -> Asked:
    return Asked(f"{TENANTS}/{_child(office)}/child", {"name": f"other-{uuid4()}", "device_limit": 3})


@recipe(f"POST {TENANTS}/{{id}}/remove/start")
def _(office: Office) -> Asked:
    return Asked(f"{TENANTS}/{_child(office)}/remove/start")


# --- devices ---------------------------------------------------------------------------------------------------------


@recipe(f"POST {DEVAUTH}/devices")
def _(office: Office) -> Asked:
    device = FakeDevice(office.server, {"sn": str(uuid4())})
    return Asked(f"{DEVAUTH}/devices", {"identity_data": device.identity, "pubkey": device.pem})


@recipe(f"DELETE {DEVAUTH}/devices/{{id}}")
def _(office: Office) -> Asked:
    return Asked(f"{DEVAUTH}/devices/{office.device().id}")


@recipe(f"DELETE {DEVAUTH}/devices/{{id}}/auth/{{auth}}")
def _(office: Office) -> Asked:
    device = office.device()
    return Asked(f"{DEVAUTH}/devices/{device.id}/auth/{device.auth}")


@recipe(f"PUT {DEVAUTH}/devices/{{id}}/auth/{{auth}}/status")
def _(office: Office) -> Asked:
    device = office.device()
    return Asked(f"{DEVAUTH}/devices/{device.id}/auth/{device.auth}/status", {"status": "rejected"})


@recipe(f"DELETE {DEVAUTH}/tokens/{{id}}")
def _(office: Office) -> Asked:
    return Asked(f"{DEVAUTH}/tokens/{office.device().auth}")


@recipe("POST /devices/{device}/status")
def _(office: Office) -> Asked:
    device = office.device()
    return Asked(f"/devices/{device.id}/status", form={"status": "rejected", "auth": device.auth})


@recipe(f"DELETE {INVENTORY}/devices/{{id}}")
def _(office: Office) -> Asked:
    return Asked(f"{INVENTORY}/devices/{office.device().id}")


@recipe(f"PUT {INVENTORY}/devices/{{id}}/tags", f"PATCH {INVENTORY}/devices/{{id}}/tags")
def _(office: Office) -> Asked:
    return Asked(f"{INVENTORY}/devices/{office.device().id}/tags", [{"name": "place", "value": "cellar"}])


@recipe(f"PUT {INVENTORY}/devices/{{id}}/group")
def _(office: Office) -> Asked:
    return Asked(f"{INVENTORY}/devices/{office.device().id}/group", {"group": "gamma"})


@recipe(f"DELETE {INVENTORY}/devices/{{id}}/group/{{name}}")
def _(office: Office) -> Asked:
    return Asked(f"{INVENTORY}/devices/{office.device().id}/group/{ALPHA}")


@recipe(f"DELETE {INVENTORY}/groups/{{name}}")
def _(office: Office) -> Asked:
    office.device()
    return Asked(f"{INVENTORY}/groups/{ALPHA}")


@recipe(f"PATCH {INVENTORY}/groups/{{name}}/devices")
def _(office: Office) -> Asked:
    return Asked(f"{INVENTORY}/groups/gamma/devices", [office.device().id])


@recipe(f"DELETE {INVENTORY}/groups/{{name}}/devices")
def _(office: Office) -> Asked:
    return Asked(f"{INVENTORY}/groups/{ALPHA}/devices", [office.device().id])


def _terms(name: str) -> dict[str, Any]:
    return {"name": name, "terms": [{"scope": "inventory", "attribute": "a", "type": "$eq", "value": "b"}]}


def _filter(office: Office) -> str:
    name = f"filter-{uuid4()}"
    assert office.admin.post(FILTERS, json=_terms(name)).status_code == 201
    found: list[dict[str, Any]] = office.admin.get(FILTERS, params={"per_page": 500}).json()
    (made,) = (str(each["id"]) for each in found if each["name"] == name)
    return made


@recipe(f"POST {FILTERS}")
def _(office: Office) -> Asked:
    return Asked(FILTERS, _terms(str(uuid4())))


@recipe(f"PUT {FILTERS}/{{id}}")
def _(office: Office) -> Asked:
    return Asked(f"{FILTERS}/{_filter(office)}", _terms(str(uuid4())))


@recipe(f"DELETE {FILTERS}/{{id}}")
def _(office: Office) -> Asked:
    return Asked(f"{FILTERS}/{_filter(office)}")


# --- configuration, deployments, alerts ------------------------------------------------------------------------------


def _deployed(office: Office) -> tuple[str, str]:
    """A device and a deployment for it."""
    device = office.device()
    assert office.admin.put(f"{CONFIG}/{device.id}", json={"key": "value"}).status_code == 204
    made = office.admin.post(f"{CONFIG}/{device.id}/deploy", json={})
    return device.id, made.json()["deployment_id"]


@recipe(f"PUT {CONFIG}/{{device}}")
def _(office: Office) -> Asked:
    return Asked(f"{CONFIG}/{office.device().id}", {"key": "value"})


@recipe("POST /devices/{device}/deployments/{deployment}/abort")
def _(office: Office) -> Asked:
    device, deployment = _deployed(office)
    return Asked(f"/devices/{device}/deployments/{deployment}/abort", form={"sure": "yes"})


@recipe("POST /devices/{device}/configuration")
def _(office: Office) -> Asked:
    path = f"/devices/{office.device().id}/configuration"
    (seen,) = re.findall(r'name="seen" value="(\d+)"', office.admin.get(path).text)
    return Asked(path, form={"action": "save", "seen": seen, "name-0": "key", "value-0": "value"})


@recipe("POST /configuration/tenant/edit", "POST /configuration/groups/{name}/edit")
def _(office: Office) -> Asked:
    path = office.asked[1].replace("{name}", str(uuid4()))
    (seen,) = re.findall(r'name="seen" value="(\d+)"', office.admin.get(path).text)
    return Asked(path, form={"action": "start", "seen": seen, "name-0": "key", "value-0": str(uuid4())})


@recipe("POST /configuration/rollouts/{rollout}/{action}")
def _(office: Office) -> Asked:
    made = office.admin.put(f"{LAYERS}/groups/{uuid4()}", json={"values": {"key": "value"}}).json()["rollout"]
    return Asked(f"/configuration/rollouts/{made}/pause", form={"comment": "why"})


@recipe(f"POST {CONFIG}/{{device}}/deploy")
def _(office: Office) -> Asked:
    return Asked(f"{CONFIG}/{_deployed(office)[0]}/deploy", {})


@recipe(f"PUT {LAYERS}/tenant", f"PATCH {LAYERS}/tenant")
def _(office: Office) -> Asked:
    return Asked(f"{LAYERS}/tenant", {"values": {"key": str(uuid4())}})


@recipe(f"PUT {LAYERS}/groups/{{name}}", f"PATCH {LAYERS}/groups/{{name}}")
def _(office: Office) -> Asked:
    return Asked(f"{LAYERS}/groups/{uuid4()}", {"values": {"key": "value"}})


@recipe(f"PUT {LAYERS}/devices/{{device}}", f"PATCH {LAYERS}/devices/{{device}}")
def _(office: Office) -> Asked:
    return Asked(f"{LAYERS}/devices/{office.device().id}", {"values": {"key": "value"}})


@recipe(f"POST {LAYERS}/tenant/revert", f"POST {LAYERS}/groups/{{name}}/revert")
@recipe(f"POST {LAYERS}/devices/{{device}}/revert")
def _(office: Office) -> Asked:
    layer = office.asked[1].removesuffix("/revert")
    layer = layer.replace("{name}", str(uuid4())).replace("{device}", office.device().id)
    for _ in range(2):
        assert office.admin.put(layer, json={"values": {"key": str(uuid4())}}).status_code == 200
    return Asked(f"{layer}/revert", {"version": office.admin.get(layer).json()["version"] - 1})


@recipe(*[f"POST {ROLLOUTS}/{{rollout}}/{what}" for what in ("pause", "abort", "rollback", "resume")])
def _(office: Office) -> Asked:
    paused = office.asked[1].endswith("/resume")
    body = {"values": {"key": "value"}, "rollout": {"paused": paused}}
    made = office.admin.put(f"{LAYERS}/groups/{uuid4()}", json=body).json()["rollout"]
    return Asked(office.asked[1].replace("{rollout}", made), {})


@recipe(f"POST {ROLLOUTS}/{{rollout}}/advance")
def _(office: Office) -> Asked:
    device, use = office.device(), office.server.services
    office.admin.put(f"/api/management/v1/inventory/devices/{device.id}/group", json={"group": device.id})
    made = office.admin.put(f"{LAYERS}/groups/{device.id}", json={"values": {"key": "value"}}).json()["rollout"]
    while office.admin.get(f"{ROLLOUTS}/{made}").json()["waves"][0]["state"] != "soaking":
        assert office.server.run(rollout_steps.turn(use))
    return Asked(f"{ROLLOUTS}/{made}/advance", {})


@recipe(f"PUT {DEPLOYMENTS}/{{deployment}}/status")
def _(office: Office) -> Asked:
    return Asked(f"{DEPLOYMENTS}/{_deployed(office)[1]}/status", {"status": "aborted"})


@recipe(f"DELETE {DEPLOYMENTS}/devices/{{device}}")
def _(office: Office) -> Asked:
    return Asked(f"{DEPLOYMENTS}/devices/{_deployed(office)[0]}")


@recipe(f"DELETE {DEPLOYMENTS}/devices/{{device}}/history")
def _(office: Office) -> Asked:
    device, deployment = _deployed(office)
    assert office.admin.put(f"{DEPLOYMENTS}/{deployment}/status", json={"status": "aborted"}).is_success
    return Asked(f"{DEPLOYMENTS}/devices/{device}/history")


@recipe("PUT /api/management/v1/devicemonitor/settings/global/channel/alerts/{channel}/status")
def _(office: Office) -> Asked:
    return Asked(office.asked[1].replace("{channel}", "email"), {"enabled": False})


@recipe(PROBLEM)
def _(office: Office) -> Asked:
    made = office.device()
    return Asked(office.asked[1].replace("{device}", made.id).replace("{alert}", made.alert), {"note": "mine"})


@recipe(PROBLEM.replace("PUT", "DELETE"))
def _(office: Office) -> Asked:
    made = office.device()
    path = office.asked[1].replace("{device}", made.id).replace("{alert}", made.alert)
    assert office.admin.put(path).status_code == 204
    return Asked(path)


@recipe("POST /devices/{device}/problems/{alert}/acknowledgement")
def _(office: Office) -> Asked:
    made = office.device()
    path = office.asked[1].replace("{device}", made.id).replace("{alert}", made.alert)
    return Asked(path, form={"note": "mine", "for": "1h"})


@recipe("POST /settings/alert-email")
def _(office: Office) -> Asked:
    return Asked("/settings/alert-email", form={"enabled": "on"})


# --- the test --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", changing())
def test_a_change_leaves_an_entry(office: Office, route: str) -> None:
    if route in NOTHING_TO_LOG:
        return
    assert route in RECIPES, "write a recipe for it above, or say why there is nothing to log"
    method, path = office.asked = (route.partition(" ")[0], route.partition(" ")[2])
    asked = RECIPES[route](office)
    assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), asked.path)
    client, before = asked.client or office.admin, office.count()
    if asked.form:
        answer = client.request(method, asked.path, data=asked.form, headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status_code == 303, answer.text
    else:
        answer = client.request(method, asked.path, json=asked.body)
        assert answer.is_success, answer.text
    assert office.count() > before
    newest = office.admin.get(LOGS, params={"per_page": 1}).json()[0]
    assert newest["actor"]["type"] == "user"
    assert newest["actor"]["email"].endswith("@example.com")
    assert newest["object"]["id"]
    assert PASSWORD not in str(newest)


def test_nothing_here_is_out_of_date() -> None:
    assert {*RECIPES, *NOTHING_TO_LOG} - {*changing()} == set()
