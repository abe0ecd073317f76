"""From files into the database and to a device: what is imported, replaced, added, forgotten; and what it fetches."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from serving import FakeDevice, RealServer

from vedette.agent import feedfile
from vedette.agent.paths import Paths
from vedette.agent.store import Store
from vedette.agent.uplink import feed as uplink_feed
from vedette.agent.uplink.api import Api
from vedette.agent.uplink.auth import Token
from vedette.agent.uplink.backoff import TryLater
from vedette.agent.uplink.feed import EVERY_S, RETRY_S, Feed
from vedette.agent.uplink.transport import MAX_ANSWER, Answer
from vedette.clock import FakeClock
from vedette.errors import Conflict, Invalid, NotFound
from vedette.model.feed import Pack, prefix
from vedette.server.db import SYSTEM
from vedette.server.feed import service, store
from vedette.server.feed.files import read

DEBIAN = "Debian:12"
FEED = "/api/devices/v1/vedette/feed"


def write(files: Path, numbers: range, *, ecosystem: str = DEBIAN, packages: int = 400, **changes: Any) -> None:
    """One advisory for each number."""
    files.mkdir(exist_ok=True)
    documents = [
        {
            "id": f"CVE-2026-{number}",
            "modified": "2026-01-01T00:00:00Z",
            "summary": hashlib.sha256(f"{number}".encode()).hexdigest(),
            "affected": [
                {
                    "package": {"ecosystem": ecosystem, "name": f"p{number % packages}"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
                }
            ],
        }
        | changes
        for number in numbers
    ]
    (files / f"{ecosystem} {numbers}.json").write_text(json.dumps(documents))


class OfServer:
    """Imports into a server, and says what is there."""

    def __init__(self, server: RealServer, path: Path) -> None:
        self._server, self.files = server, path / "files"

    def take(self, name: str = "osv", *, add: bool = False) -> list[service.Change]:
        taken = read(sorted(self.files.iterdir()))
        for each in self.files.iterdir():
            each.unlink()
        changes: list[service.Change] = self._server.run(service.take_in(self._server.services, name, taken, add=add))
        return changes

    def sources(self) -> list[tuple[str, str, int]]:
        found = self._server.run(service.sources(self._server.services))
        return [(each.name, each.stream, each.advisories) for each in found]

    def streams(self) -> dict[str, int]:
        found = self._server.run(service.streams(self._server.services))
        return {each.head.stream: each.head.advisories for each in found}


@pytest.fixture
def imports(server: RealServer, tmp_path: Path) -> OfServer:
    return OfServer(server, tmp_path)


def test_what_is_imported_under_a_name_comes_in_the_place_of_what_was(imports: OfServer) -> None:
    write(imports.files, range(100))
    write(imports.files, range(100, 110), ecosystem="Debian:11")
    write(imports.files, range(110, 115), ecosystem="Alpine:v3.18")
    imports.take()
    write(imports.files, range(3), ecosystem="Debian:12")
    imports.take("own")
    assert imports.sources() == [
        ("osv", "Alpine:v3.18", 5),
        ("osv", "Debian:11", 10),
        ("osv", DEBIAN, 100),
        ("own", DEBIAN, 3),
    ]
    assert imports.streams() == {"Alpine:v3.18": 5, "Debian:11": 10, DEBIAN: 100}
    write(imports.files, range(50, 120), ecosystem=DEBIAN)
    changes = imports.take()
    assert [each.stream for each in changes] == [DEBIAN]  # Debian:11 is gone: devices keep what they have
    assert imports.streams() == {"Alpine:v3.18": 5, DEBIAN: 73}


def test_what_is_added_takes_the_place_of_the_same_documents_only(imports: OfServer) -> None:
    write(imports.files, range(50))
    imports.take()
    write(imports.files, range(40, 60))
    write(imports.files, range(5), withdrawn="2026-02-02T00:00:00Z")
    (change,) = imports.take(add=True)
    assert change.advisories == 55
    assert imports.sources() == [("osv", DEBIAN, 55)]
    write(imports.files, range(1000, 1001), withdrawn="2026-02-02T00:00:00Z")
    assert imports.take(add=True) == []


def test_what_was_imported_can_be_forgotten(imports: OfServer, server: RealServer) -> None:
    write(imports.files, range(5))
    imports.take()
    write(imports.files, range(5, 8))
    imports.take("own")
    (change,) = server.run(service.remove(server.services, "osv"))
    assert change.advisories == 3
    assert server.run(service.remove(server.services, "own", DEBIAN)) == []
    assert (imports.sources(), imports.streams()) == ([], {})
    with pytest.raises(NotFound, match="nothing was imported as 'own'"):
        server.run(service.remove(server.services, "own"))


def test_imports_that_mean_nothing_are_refused(imports: OfServer) -> None:
    write(imports.files, range(1), ecosystem="npm")
    with pytest.raises(Invalid, match="no advisory"):
        imports.take()
    write(imports.files, range(1))
    with pytest.raises(Invalid, match="no name for a source"):
        imports.take("a b")


def test_of_two_imports_at_once_one_is_told_to_start_again(
    imports: OfServer, server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(imports.files, range(5))
    imports.take()
    compile_ = service._compile

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(service, "_compile", compile_)
        head = server.run(server.services.db.read(SYSTEM, store.head, DEBIAN))
        server.run(
            server.services.db.write(SYSTEM, store.set_head, DEBIAN, head.replace('"imported":"', '"imported":"1'))
        )
        return compile_(*arguments)

    monkeypatch.setattr(service, "_compile", meanwhile)
    write(imports.files, range(9))
    with pytest.raises(Conflict, match="start this one again"):
        imports.take()
    assert imports.sources() == [("osv", DEBIAN, 5)]


# --- devices ---------------------------------------------------------------------------------------------------------


class Counting:
    """The uplink's way to the server, which counts what comes."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.calls: list[tuple[str, int, int]] = []  # path, status, bytes
        self.ours = True
        self.spoil: Callable[[bytes], bytes] = lambda content: content

    def token(self) -> Token:
        return Token(value="", ours=self.ours)

    def call(
        self,
        what: str,
        method: str,
        path: str,
        make_body: Callable[[bool], bytes],
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        answer = self._client.request(method, path, content=make_body(True), headers=dict(headers or {}))
        self.calls.append((path, answer.status_code, len(answer.content)))
        content = self.spoil(answer.content) if "/blocks" in path else answer.content
        return Answer(status=answer.status_code, headers=cast(Any, answer.headers), body=content)

    def bytes(self) -> int:
        return sum(size for _, _, size in self.calls)


class Agent:
    """The uplink's part of a device that wants the feed of some packages."""

    def __init__(self, client: httpx.Client, path: Path) -> None:
        self.api = Counting(client)
        self.clock = FakeClock()
        self.state = Paths(path).state_dir
        self.state.mkdir(parents=True)
        self.directory = feedfile.directory(self.state)
        self.store = Store.open(self.state / "monitor.db")
        self.said: list[str] = []

    def want(self, *packages: str, stream: str = DEBIAN, check: str = "cve_a") -> None:
        feedfile.say_wanted(self.directory, check, {stream: frozenset(map(prefix, packages))})

    def fetch(self, stop: Callable[[], bool] = lambda: False, after_s: float = EVERY_S) -> bool:
        """As after some time."""
        self.clock.advance(after_s)
        self.api.calls.clear()
        feed = Feed(self.state, self.store, cast(Api, self.api), self.clock, "boot", self.said.append)
        return feed.fetch(stop)

    def found(self, package: str, stream: str = DEBIAN) -> list[str] | None:
        with feedfile.path(self.directory, stream).open("rb") as file:
            pack: Pack = feedfile.open_pack(file)
            return sorted(each.id for each in pack.find(package)) if pack.holds(package) else None


@pytest.fixture
def agent(server: RealServer, device: FakeDevice, accept: Callable[[FakeDevice], str], tmp_path: Path) -> Agent:
    accept(device)
    return Agent(device.client(), tmp_path / "device")


def test_a_device_fetches_what_its_packages_need_and_nothing_twice(agent: Agent, imports: OfServer) -> None:
    write(imports.files, range(4000))
    (change,) = imports.take()
    assert not agent.fetch()  # nobody wants anything
    agent.want("p1", "p2", "p399")
    assert agent.fetch()
    assert agent.found("p1") == sorted(f"CVE-2026-{number}" for number in range(1, 4000, 400))
    assert agent.api.bytes() < change.size / 3
    assert (agent.directory / feedfile.ARRIVED).exists()
    assert agent.fetch()
    assert [(status, size) for _, status, size in agent.api.calls] == [(304, 0)]
    agent.want("p1", "p2", "p399", "p7")
    agent.fetch()
    assert len(agent.api.calls) == 2  # the head, and what is missing in one answer
    assert len(agent.found("p7") or []) == 10


def test_a_days_change_is_small(agent: Agent, imports: OfServer) -> None:
    write(imports.files, range(4000))
    imports.take()
    agent.want(*(f"p{number}" for number in range(400)))
    agent.fetch()
    first = agent.api.bytes()
    write(imports.files, range(4000, 4005))
    imports.take(add=True)
    agent.fetch()
    assert agent.api.bytes() < first / 5
    assert "CVE-2026-4000" in (agent.found("p0") or [])
    assert agent.found("p200") == sorted(f"CVE-2026-{number}" for number in range(200, 4000, 400))


def test_what_was_broken_off_goes_on_where_it_was(
    agent: Agent, imports: OfServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_feed, "BATCH", 2)
    write(imports.files, range(4000))
    imports.take()
    agent.want(*(f"p{number}" for number in range(400)))
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 1

    agent.fetch(stop)
    blocks = [path for path, _, _ in agent.api.calls if "/blocks" in path]
    assert len(blocks) == 2  # the index, and a first answer
    assert not (agent.directory / feedfile.ARRIVED).exists()
    assert None in [agent.found(f"p{number}") for number in range(400)]
    agent.fetch(after_s=0)
    assert not any(path in blocks for path, _, _ in agent.api.calls if "/blocks" in path)
    assert None not in [agent.found(f"p{number}") for number in range(400)]


def test_blocks_that_came_wrong_are_not_kept(agent: Agent, imports: OfServer) -> None:
    write(imports.files, range(400))
    imports.take()
    agent.want("p1")
    agent.api.spoil = lambda content: content[:-1] + b"x" if len(content) < 3000 else content
    agent.fetch()
    path = feedfile.path(agent.directory, DEBIAN)
    assert not path.exists() or agent.found("p1") is None
    assert not agent.fetch(after_s=0)  # as it would be again now
    agent.api.spoil = lambda content: content
    agent.fetch()
    assert agent.found("p1") == ["CVE-2026-1"]


def test_a_damaged_feed_is_fetched_anew(agent: Agent, imports: OfServer) -> None:
    write(imports.files, range(400))
    imports.take()
    agent.want("p1")
    agent.fetch()
    path = feedfile.path(agent.directory, DEBIAN)
    path.write_bytes(b"nothing of value")
    agent.fetch()
    assert agent.found("p1") == ["CVE-2026-1"]
    content = bytearray(path.read_bytes())
    content[-5] ^= 1  # in the last block
    path.write_bytes(content)
    agent.fetch()
    assert agent.found("p1") == ["CVE-2026-1"]
    assert len(agent.said) == 1
    assert "fetched anew" in agent.said[0]


def test_what_several_checks_want_is_fetched_for_all(agent: Agent, imports: OfServer) -> None:
    write(imports.files, range(4000))
    imports.take()
    agent.want("p1")
    agent.want("p2", check="cve_b")
    agent.fetch()
    assert (agent.found("p1"), agent.found("p2")) == tuple(
        sorted(f"CVE-2026-{number}" for number in range(first, 4000, 400)) for first in (1, 2)
    )


def test_what_came_before_the_server_asked_for_patience_is_kept(
    agent: Agent, imports: OfServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_feed, "BATCH", 2)
    write(imports.files, range(4000))
    imports.take()
    agent.want(*(f"p{number}" for number in range(400)))

    def spoil(content: bytes) -> bytes:
        if len(agent.api.calls) > 4:
            raise TryLater("too many calls")
        return content

    agent.api.spoil = spoil
    with pytest.raises(TryLater):
        agent.fetch()
    came = [path for path, _, _ in agent.api.calls if "/blocks" in path][:-1]
    agent.api.spoil = lambda content: content
    agent.fetch()
    assert not any(path in came for path, _, _ in agent.api.calls)
    assert None not in [agent.found(f"p{number}") for number in range(400)]


def test_a_disk_that_takes_nothing_is_said(agent: Agent, imports: OfServer) -> None:
    write(imports.files, range(5))
    imports.take()
    agent.want("p1")
    feedfile.path(agent.directory, DEBIAN).mkdir()
    assert agent.fetch()
    assert "cannot be kept there: Is a directory" in agent.said[0]


def test_a_server_that_is_not_ours_or_knows_no_such_stream_is_left_alone(agent: Agent, imports: OfServer) -> None:
    agent.want("p1")
    agent.api.ours = False
    assert not agent.fetch()
    assert agent.api.calls == []
    agent.api.ours = True
    assert agent.fetch()
    assert [status for _, status, _ in agent.api.calls] == [404]
    assert not feedfile.path(agent.directory, DEBIAN).exists()


def test_no_answer_is_larger_than_the_device_reads(agent: Agent, imports: OfServer) -> None:
    write(imports.files, range(6000), packages=3)
    imports.take()
    agent.want("p0", "p1", "p2")
    agent.fetch()
    assert max(size for _, _, size in agent.api.calls) <= MAX_ANSWER
    assert len(agent.found("p0") or []) == 2000


def test_a_server_that_fails_is_asked_again(agent: Agent, imports: OfServer, monkeypatch: pytest.MonkeyPatch) -> None:
    write(imports.files, range(5))
    imports.take()
    agent.want("p1")

    def fails(*arguments: object, **more: object) -> Answer:
        raise TryLater("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(agent.api, "call", fails)
        with pytest.raises(TryLater):
            agent.fetch()
    assert not agent.fetch(after_s=RETRY_S - 1)
    assert agent.fetch(after_s=1)
    assert agent.found("p1") == ["CVE-2026-1"]


def test_what_the_api_refuses(agent: Agent, imports: OfServer, device: FakeDevice) -> None:
    write(imports.files, range(5))
    imports.take()
    client = device.client()
    assert client.get(f"{FEED}/Debian:99").status_code == 404
    for query in ("", "?hash=x", f"?hash={'0' * 32}", "?" + "&".join(["hash=0"] * 101)):
        answer = client.get(f"{FEED}/{DEBIAN}/blocks{query}")
        assert answer.status_code == (404 if query.count("hash") == 1 else 400), query
    head = client.get(f"{FEED}/{DEBIAN}")
    assert client.get(f"{FEED}/{DEBIAN}", headers={"If-None-Match": head.headers["etag"]}).status_code == 304
    assert client.get(f"{FEED}/{DEBIAN}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_an_exported_stream_is_a_feed_for_a_device(imports: OfServer, server: RealServer) -> None:
    write(imports.files, range(400))
    imports.take()
    content = server.run(service.exported(server.services, DEBIAN))
    pack = Pack(lambda offset, size: content[offset : offset + size])
    assert [each.id for each in pack.find("p7")] == ["CVE-2026-7"]
    assert all(pack.holds(f"p{number}") for number in range(400))
    with pytest.raises(NotFound, match="no feed of this stream"):
        server.run(service.exported(server.services, "Debian:99"))
