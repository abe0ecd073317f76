"""Users, roles, the audit log, tenants and settings, as people type them."""

import csv
from pathlib import Path
from typing import Any

from serving import EMAIL, PASSWORD, RealServer
from typed import Vedette

from vedette.server.access import tenants


def test_users_and_what_they_may(ann: Vedette, server: RealServer) -> None:
    bob = "bob@example.com"
    assert ann("users", "add", bob, "--role", "RBAC_ROLE_OBSERVER", stdin="short\n").status == 1
    made = ann("users", "add", bob, "--role", "RBAC_ROLE_OBSERVER", "--json", stdin=f"{PASSWORD}\n").json()["id"]
    assert ann("users", "show", bob, "--json").json()["roles"] == ["RBAC_ROLE_OBSERVER"]
    assert ann("login", server.url, "--email", bob, stdin=PASSWORD).status == 0
    done = ann("users", "delete", EMAIL, "--yes")
    assert (done.status, "(request " in done.err) == (1, True)
    assert ann("login", server.url, "--email", EMAIL, stdin=PASSWORD).status == 0
    assert ann("roles", "add", "team", "--permission", "ReadDevices:oslo,bergen", "--description", "x").status == 0
    assert ann("roles", "add", "team", "--permission", "ReadDevices:").status == 2
    assert ann("roles", "change", "team", "--description", "y").status == 0
    role = ann("roles", "show", "team", "--json").json()
    assert (role["description"], role["permission_sets_with_scope"][0]["scope"]["value"]) == ("y", ["bergen", "oslo"])
    assert ann("users", "change", bob, "--role", "team", "--role", "RBAC_ROLE_CI").status == 0
    assert ann("users", "show", made, "--json").json()["roles"] == ["team", "RBAC_ROLE_CI"]
    assert ann("users", "change", bob, "--no-roles").status == 0
    assert ann("users", "change", bob).status == 1, "nothing to change"
    assert ann("users", "exists", bob, "--json").json() == {"exists": True}
    assert ann("users", "delete", bob, "--yes").status == 0
    assert ann("users", "show", bob).status == 4
    assert ann("roles", "delete", "team", "--yes").status == 0


def test_a_new_password_ends_the_login(ann: Vedette, server: RealServer) -> None:
    words = ("users", "password")
    assert ann(*words, stdin=f"wrong one\n{PASSWORD}!\n").status == 1
    assert ann(*words, stdin=f"{PASSWORD}\n").status == 2
    assert ann(*words, stdin=f"{PASSWORD}\n{PASSWORD}!\n").status == 0
    assert ann("login", server.url, stdin=PASSWORD).status in {2, 3}
    assert ann("login", server.url, "--email", EMAIL, stdin=PASSWORD + "!").status == 0


def test_who_did_what_as_table_json_and_file(ann: Vedette, tmp_path: Path) -> None:
    ann("roles", "add", "team", "--permission", "ReadDevices")
    found = ann("audit", "list", "--user", EMAIL, "--sort", "asc", "--json").json()
    assert {each["action"] for each in found} == {"create"}
    assert ann("audit", "list", "--after", "2100-01-01", "--json").json() == []
    assert ann("audit", "list", "--after", "yesterday").status == 2
    file = tmp_path / "audit.csv"
    assert ann("audit", "export", "--user", EMAIL, "--out", str(file)).status == 0
    with file.open(newline="") as opened:
        assert [each["action"] for each in csv.DictReader(opened)] == ["create"] * len(found)
    assert ann("audit", "export", "--user", EMAIL).out.encode() == file.read_bytes()
    done = ann("audit", "export", "--out", str(tmp_path / "nothing/audit.csv"))
    assert (done.status, "cannot be written" in done.err) == (5, True)
    assert [each.name for each in tmp_path.glob("*audit*")] == ["audit.csv"]


def test_settings_of_others_stay(ann: Vedette) -> None:
    assert ann("settings", "show", "--json").json() == {}
    assert ann("settings", "set", "a=1", 'b={"c": [true]}', "d=text").status == 0
    assert ann("settings", "set", "--unset", "a").status == 0
    assert ann("settings", "show", "--json").json() == {"b": {"c": [True]}, "d": "text"}
    assert ann("settings", "set", "--mine", "e=2").status == 0
    assert ann("settings", "show", "--mine", "--json").json() == {"e": 2}
    assert ann("settings", "set", "--unset", "nothing").status == 4
    assert ann("settings", "set").status == 2


def test_a_service_provider_goes_to_a_customer_and_home(vedette: Vedette, server: RealServer) -> None:
    made: Any = server.run(tenants.create_tenant(server.services, "msp", service_provider=True))
    server.add_user("pat@example.com", tenant=made.id)
    login = ("login", server.url, "--email", "pat@example.com")
    assert vedette(*login, stdin=PASSWORD).status == 0
    words = ("tenants", "add", "acme", "--admin", "eve@example.com", "--device-limit", "3", "--json")
    tenant = vedette(*words, stdin="a good password\n").json()["id"]
    assert vedette("tenants", "change", tenant, "--name", "acme 2").status == 0
    assert vedette("tenants", "change", tenant).status == 2
    assert vedette("tenants", "enter", tenant).status == 4, "not assigned yet"
    assert vedette("users", "assign", "pat@example.com", tenant).status == 0
    assert vedette("tenants", "enter", tenant).status == 0
    assert vedette("whoami", "--json").json()["tenant"]["name"] == "acme 2"
    assert vedette("devices", "limits", "--json").json() == {"limit": 3}
    assert vedette(*login, stdin=PASSWORD).status == 0
    assert [each["id"] for each in vedette("tenants", "list", "--json").json()] == [tenant]
    assert vedette("tenants", "remove", tenant, "--yes").status == 0
