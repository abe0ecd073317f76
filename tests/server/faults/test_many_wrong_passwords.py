"""Somebody tries a thousand passwords: he learns nothing, takes nothing, and keeps nobody else out."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving import EMAIL, LOGIN, PASSWORD, RealServer, real_server

from vedette.server.access import limits
from vedette.server.settings import Settings

WRONG = 1000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    """It believes the addresses that the tests make up."""
    with real_server(Settings(listen="127.0.0.1:0", data=tmp_path, trusted_proxies="127.0.0.1")) as made:
        made.add_user(EMAIL)
        yield made


def tried(client: httpx.Client, password: str, address: str, account: str = EMAIL) -> httpx.Response:
    return client.post(LOGIN, auth=(account, password), headers={"X-Forwarded-For": address})


def test_from_one_address(server: RealServer) -> None:
    client = server.client()
    token = server.client(tried(client, PASSWORD, "198.51.100.1").text)
    answers = [tried(client, f"wrong {number}", "203.0.113.1") for number in range(WRONG)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * (WRONG - 10)
    assert len({answer.json()["error"] for answer in answers}) == 2
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers[10:])
    assert tried(client, PASSWORD, "203.0.113.1").status_code == 429  # he does not learn that it was the right one
    assert tried(client, PASSWORD, "198.51.100.2").status_code == 200  # the owner is elsewhere
    assert token.get("/api/management/v1/useradm/users/me").status_code == 200


def test_from_everywhere(server: RealServer) -> None:
    """Many addresses against one account: from all of them together no more than a hundred tries."""
    client = server.client()
    statuses = [tried(client, "wrong", f"203.0.{number // 250}.{number % 250}").status_code for number in range(WRONG)]
    assert statuses == [401] * 100 + [429] * (WRONG - 100)


def test_of_many_accounts(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of who tried has an end."""
    services = server.services
    kept = (services.logins_of_account, services.logins_from_one_place, services.logins_from_address)
    for each in kept:
        monkeypatch.setattr(each, "_names", 50)
    assert limits.MAX_NAMES == 10_000
    client = server.client()
    statuses = {
        tried(client, "wrong", f"203.0.113.{number}", f"{number}@x.example").status_code for number in range(200)
    }
    assert statuses == {401}
    assert [len(each._buckets) for each in kept] == [50, 50, 50]
    assert tried(client, PASSWORD, "198.51.100.2").status_code == 200
