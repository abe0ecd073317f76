"""What is generated from the description of the API is sent to a real server, and the answers are what it says.

By an administrator, by a device and by nobody; with things that are there and with things that are not. The same
requests every time: the seed is the call.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fleet_of_two import ALPHA, World
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from serving import real_server

from vedette.server.app import described
from vedette.server.settings import Settings

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: run `make setup`")
requests = pytest.importorskip("requests")

from schemathesis import GenerationMode, checks  # noqa: E402

DOCUMENT = described()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
EXAMPLES = 3  # of what should be understood, as many of what should not, and of what is there
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
CALLS = [
    (method.upper(), path, next(iter(call["security"][0])) if call["security"] else "")
    for path, methods in DOCUMENT["paths"].items()
    for method, call in methods.items()
]
ENDS_THE_SESSION = ("POST", "/api/management/v1/useradm/auth/logout")


@schemathesis.deserializer("application/json")
def read(_context: object, response: Any) -> Any:
    """Schemathesis takes `application/jwt` for JSON, which it is not."""
    is_token = response.headers["content-type"] == ["application/jwt"]
    return response.content.decode() if is_token else json.loads(response.content)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data = tmp_path_factory.mktemp("data")
    with real_server(Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")) as server:
        yield World(server)


@pytest.fixture(scope="module")
def somebody(world: World) -> str:
    """A user whom nobody misses."""
    user_id: str = world.server.add_user("somebody@example.com").id
    return user_id


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


def real_ids(world: World, path: str, somebody: str) -> dict[str, str]:
    """What stands in a path, of things that are there: a device of its own, with a deployment and all else."""
    if "{" not in path:
        return {}
    (made,), admin = world.make(ALPHA), world.client("admin")
    configuration = f"/api/management/v1/deviceconfig/configurations/device/{made.id}"
    assert admin.put(configuration, json={"key": "value"}).status_code == 204
    deployment = admin.post(f"{configuration}/deploy", json={}).json()["deployment_id"]
    known = {
        "devices": made.id,
        "device": made.id,
        "auth": made.auth,
        "alerts": made.alert,
        "deployments": deployment,
        "groups": made.group,
        "group": made.group,
        "roles": "reads-alpha",
        "limits": "max_devices",
        "channel": "email",
        "users": somebody,
        "tenants": world.server.tenant.id,
    }
    found, before = {}, ""
    for part in path.split("/"):
        if part.startswith("{") and (part[1:-1] in known or before in known):
            found[part[1:-1]] = known.get(part[1:-1]) or known[before]
        before = part
    return found


def checked(world: World, session: Any, case: Any, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    case.call_and_validate(base_url=world.server.url, session=session, headers=headers, checks=CHECKS)


@pytest.mark.parametrize("call", CALLS, ids=lambda each: " ".join(each[:2]))
def test_what_is_answered_is_what_is_described(
    world: World, session: Any, somebody: str, call: tuple[str, str, str]
) -> None:
    method, path, scheme = call
    operation = SCHEMA[path][method]
    kinds = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]
    there = real_ids(world, path, somebody)
    if there:
        kinds.append(operation.as_strategy(path_parameters=there))
    who = {"userToken": "admin", "deviceToken": "device"}.get(scheme)
    token = world.login("admin") if call[:2] == ENDS_THE_SESSION else world.tokens[who] if who else ""

    @settings(
        max_examples=EXAMPLES * len(kinds),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(kinds))
    def ask(case: Any) -> None:
        checked(world, session, case, token)

    ask()


@pytest.mark.parametrize("call", [each for each in CALLS if each[2]], ids=lambda each: " ".join(each[:2]))
def test_strangers_are_answered_as_described(world: World, session: Any, call: tuple[str, str, str]) -> None:
    method, path, _ = call
    names = re.findall(r"{(\w+)}", path)
    for token in ("", "nonsense"):
        case = SCHEMA[path][method].Case(path_parameters=dict.fromkeys(names, "none"))
        checked(world, session, case, token)
