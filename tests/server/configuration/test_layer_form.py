"""A layer and its form say the same; what is seen of the pages by whoever sees some groups only."""

import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import EMAIL, RealServer

from vedette.errors import Invalid
from vedette.model.security import SECURITY
from vedette.server.configuration import layer_form
from vedette.server.configuration.layers import Said

KEYS = [f"security.{kind}.{name}" for kind, found in SECURITY.items() for name in ("enabled", *found.settings)]
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), max_size=8)
LAYERS = "/api/management/v1/vedette/configuration/layers"


def as_typed(said: Said) -> dict[str, str]:
    """The form of a layer, sent back as it is."""
    form = {f"s-{field.key}": field.value for each in layer_form.sections(said) for field in each.fields}
    for number, other in enumerate(layer_form.others(said)):
        form |= {f"name-{number}": other.key, f"value-{number}": other.value}
        form |= {f"absent-{number}": "on"} if other.absent else {}
    return form


@given(st.dictionaries(st.sampled_from(KEYS) | TEXTS.filter(bool), TEXTS | st.none(), max_size=12))
def test_nothing_is_lost_between_a_layer_and_its_form(said: dict[str, str | None]) -> None:
    assert layer_form.said_of(as_typed(said)) == said
    assert len(as_typed(said)) <= layer_form.most_fields(len(said))


def test_what_is_typed_is_kept_so_that_a_change_is_easily_read() -> None:
    form = {"s-security.ports.allow": " tcp/22\r\n  tcp/443 ", "s-security.ports.dwell": " 5m ", "name-0": " a ",
            "value-0": "x\r\ny", "name-1": "", "value-1": "z"}  # fmt: skip
    assert layer_form.said_of(form) == {
        "security.ports.allow": "tcp/22 tcp/443", "security.ports.dwell": "5m", "a": "x\ny"
    }  # fmt: skip
    with pytest.raises(Invalid, match="twice"):
        layer_form.said_of({"name-0": "a", "name-1": "a"})


@pytest.mark.parametrize("form", [{"waves": "a"}, {"waves": "10 5"}, {"soak": "soon"}, {"max_failures": "x"}])
def test_a_rollout_that_cannot_be(form: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        layer_form.parameters_of({"soak": "10m", **form})


@pytest.fixture
def scoped(server: RealServer, admin: httpx.Client) -> httpx.Client:
    """Somebody who configures the group north, and sees no other."""
    grant = {"name": "ConfigureDevices", "scope": {"type": "DeviceGroups", "value": ["north"]}}
    sees = {"name": "ReadDevices", "scope": {"type": "DeviceGroups", "value": ["north"]}}
    role = {"name": "northern", "permission_sets_with_scope": [grant, sees]}
    assert admin.post("/api/management/v2/useradm/roles", json=role).status_code == 201
    server.add_user("bob@example.com", roles=("northern",))
    for layer in ("tenant", "groups/north", "groups/south"):
        values = {"colour": f"of {layer}", "secret": f"hidden {layer}"}
        assert admin.put(f"{LAYERS}/{layer}", json={"values": values}).status_code == 200
    return server.client(server.login("bob@example.com"))


def test_who_sees_one_group_sees_its_pages_only(server: RealServer, admin: httpx.Client, scoped: httpx.Client) -> None:
    page = scoped.get("/configuration")
    assert page.status_code == 200
    assert ("north" in page.text, "south" in page.text) == (True, False)
    assert "of groups/north" in scoped.get("/configuration/groups/north").text
    for path in ("/configuration/groups/south", "/configuration/groups/south/edit"):
        assert scoped.get(path).status_code == 404
    assert scoped.get("/configuration/tenant/edit").status_code == 403
    tenant = scoped.get("/configuration/tenant")
    assert (tenant.status_code, "hidden tenant" in tenant.text, EMAIL in tenant.text) == (200, False, False)
    rollouts = {each.get("group", ""): each["id"] for each in admin.get(f"{LAYERS}/../rollouts").json()}
    assert scoped.get(f"/configuration/rollouts/{rollouts['north']}").status_code == 200
    assert scoped.get(f"/configuration/rollouts/{rollouts['south']}").status_code == 404


def test_of_two_who_change_a_layer_the_second_is_told(admin: httpx.Client, server: RealServer) -> None:
    here = {"Sec-Fetch-Site": "same-origin"}
    (seen,) = re.findall(r'name="seen" value="(\d+)"', admin.get("/configuration/tenant/edit").text)
    form = {"seen": seen, "name-1": "colour", "value-1": "green", "action": "start"}
    first = admin.post("/configuration/tenant/edit", data=form, headers=here, follow_redirects=False)
    assert (first.status_code, first.headers["location"][:24]) == (303, "/configuration/rollouts/")
    second = admin.post("/configuration/tenant/edit", data=form | {"value-1": "red"}, headers=here)
    assert (second.status_code, "has version 1 by now" in second.text, "red" in second.text) == (409, True, True)
    assert admin.get(f"{LAYERS}/tenant").json()["values"] == {"colour": "green"}


def test_hostile_values_are_only_shown(admin: httpx.Client) -> None:
    hostile = "<script>alert(1)</script>"
    assert admin.put(f"{LAYERS}/groups/a", json={"values": {hostile: hostile}, "comment": hostile}).status_code == 200
    rollout = admin.get(f"{LAYERS}/groups/a").json()["rollout"]["id"]
    for path in ("", "/groups/a", "/groups/a/edit", "/groups/a/edit?version=1", f"/rollouts/{rollout}"):
        page = admin.get(f"/configuration{path}")
        assert (page.status_code, hostile in page.text) == (200, False)
