"""Two whole servers on one PostgreSQL: what one changes, the other knows at once."""

import time
from pathlib import Path

import pytest
from postgresql import Cluster
from serving import DEADLINE_S, DEVAUTH, EMAIL, FakeDevice, real_server

from vedette.server.access import tokens
from vedette.server.db import UserScope
from vedette.server.settings import Settings


def test_what_one_server_withdraws_is_dead_on_the_other(
    tmp_path: Path, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "RECHECK_S", 3600.0)  # nothing is found out by asking again
    url = postgresql.new_database()
    one, two = (
        Settings(listen="127.0.0.1:0", data=tmp_path / name, database=url, public_url="http://vedette.test")
        for name in ("one", "two")
    )
    with real_server(one) as here, real_server(two) as there:
        here.add_user(EMAIL)
        token = here.login()
        admin, same = here.client(token), there.client(token)
        assert same.get(f"{DEVAUTH}/devices").json() == []
        changes = there.services.live.subscribe(UserScope(here.tenant.id, None))
        device = FakeDevice(here, {"mac": "00:01"})
        assert device.request().status_code == 401
        (this,) = same.get(f"{DEVAUTH}/devices").json()
        assert there.run(anext(changes)) == {this["id"]}
        admin.post("/api/management/v1/useradm/auth/logout").raise_for_status()
        deadline = time.monotonic() + DEADLINE_S
        while same.get(f"{DEVAUTH}/devices").status_code != 401:
            assert time.monotonic() < deadline
        changes.close()
