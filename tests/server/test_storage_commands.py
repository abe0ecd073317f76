"""`vedette backup`, `restore` and `migrate`, by the commands that people type, on data that real devices have sent."""

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from postgresql import ON_SQLITE, Cluster
from serving import DEVAUTH, EMAIL, FakeDevice, RealServer, real_server

from vedette.server.db import SYSTEM, Tx
from vedette.server.db.backup import backup
from vedette.server.runtime import data_directory
from vedette.server.settings import Settings

pytestmark = ON_SQLITE
ALERT = {
    "name": "disk is full \N{SNOWMAN}",
    "level": "CRITICAL",
    "timestamp": "2026-01-02T03:04:05Z",
    "subject": {"name": "disk", "type": "log", "status": "full"},
}


def vedette(*words: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("VEDETTE_")}
    return subprocess.run([sys.executable, "-m", "vedette", *words], capture_output=True, text=True, env=environ)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


def settings(data: Path, database: str = "") -> Settings:
    return Settings(listen="127.0.0.1:0", data=data, database=database)


def life(server: RealServer) -> FakeDevice:
    """A user, a device with an inventory and a problem."""
    server.add_user(EMAIL)
    admin = server.client(server.login())
    device = FakeDevice(server, {"mac": "00:01"})
    assert device.request().status_code == 401
    (this,) = admin.get(f"{DEVAUTH}/devices").json()
    auth = this["auth_sets"][0]["id"]
    admin.put(f"{DEVAUTH}/devices/{this['id']}/auth/{auth}/status", json={"status": "accepted"}).raise_for_status()
    client = device.client()
    attributes = [{"name": "ram", "value": 512}, {"name": "ips", "value": ["::1", "127.0.0.1"]}]
    client.put("/api/devices/v1/inventory/device/attributes", json=attributes).raise_for_status()
    client.post("/api/devices/v1/devicemonitor/alert", json=[ALERT]).raise_for_status()
    return device


def seen(server: RealServer) -> list[object]:
    """What a user sees of it all."""
    admin = server.client(server.login())
    devices = admin.get("/api/management/v1/inventory/devices").json()
    alerts = [admin.get(f"/api/management/v1/devicemonitor/devices/{each['id']}/alerts").json() for each in devices]
    found = admin.post(
        "/api/management/v2/inventory/filters/search",
        json={"filters": [{"scope": "inventory", "attribute": "ips", "type": "$eq", "value": "::1"}]},
    ).json()
    assert len(devices) == len(found) == len(alerts[0]) == 1
    return [devices, alerts, found]


def test_a_backup_of_a_running_server_is_restored(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "saved"
    with data_directory(data), real_server(settings(data)) as server:
        life(server)
        before = seen(server)
        done = vedette("backup", str(file), "--data", str(data))
        assert (done.returncode, done.stderr) == (0, "")
        assert file.stat().st_mode & 0o777 == 0o600
        again = vedette("backup", str(file), "--data", str(data))
        assert again.returncode == 1
        assert "is there already" in again.stderr
        server.add_user("late@example.com")
        busy = vedette("restore", str(file), "--data", str(data))
    with real_server(settings(data)) as server:
        assert server.login("late@example.com")
    done = vedette("restore", str(file), "--data", str(data))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert (busy.returncode, "another server uses it" in busy.stderr) == (1, True)
    with real_server(settings(data)) as server:
        assert seen(server) == before
        with pytest.raises(AssertionError):
            server.login("late@example.com")  # she came after the backup
    with sqlite3.connect(data / "vedette.db.replaced") as old:
        assert old.execute('SELECT count(*) FROM "user"').fetchone() == (2,)
    old.close()


def test_a_backup_under_load_is_of_one_moment(data: Path, tmp_path: Path) -> None:
    """Both of two rows that one transaction writes are there, or none."""

    async def put(tx: Tx, number: int) -> None:
        for side in ("left", "right"):
            await tx.execute(
                "INSERT INTO server_secret (name, value) VALUES (:name, :value)",
                name=f"{side} {number}",
                value="x" * 500,
            )

    with real_server(settings(data)) as server:
        stop, started = threading.Event(), threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                server.run(server.services.db.write(SYSTEM, put, number))
                number += 1
                if number == 20:
                    started.set()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert started.wait(20)
            for number in range(5):
                backup(data / "vedette.db", tmp_path / str(number))
        finally:
            stop.set()
            writer.join(20)
    sizes = []
    for number in range(5):
        with sqlite3.connect(tmp_path / str(number)) as copy:
            left, right = (
                copy.execute("SELECT count(*) FROM server_secret WHERE name LIKE ?", [f"{side} %"]).fetchone()[0]
                for side in ("left", "right")
            )
        copy.close()
        assert left == right
        sizes.append(left)
    assert sizes == sorted(sizes)
    assert sizes[0] >= 20
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "unable to open"),
        (b"", "no backup of Vedette"),
        (b"what? " * 300, "no backup of Vedette"),
        ("empty", "no backup"),
    ],
)
def test_what_is_no_backup_is_refused_and_changes_nothing(
    data: Path, tmp_path: Path, content: bytes | str | None, reason: str
) -> None:
    with real_server(settings(data)) as server:
        server.add_user(EMAIL)
    before = (data / "vedette.db").read_bytes()
    file = tmp_path / "saved"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        with sqlite3.connect(file) as other:
            other.execute("CREATE TABLE t (a)")
        other.close()
    done = vedette("restore", str(file), "--data", str(data))
    assert done.returncode == 1
    assert reason in done.stderr
    assert (data / "vedette.db").read_bytes() == before
    assert sorted(each.name for each in data.iterdir()) == ["vedette.db", "vedette.lock"]


def test_everything_moves_to_postgresql(data: Path, postgresql: Cluster) -> None:
    url = postgresql.new_database()
    with real_server(settings(data)) as server:
        device = life(server)
        token = device.client().headers["authorization"]
        before = seen(server)
    done = vedette("migrate", "--from", f"sqlite:///{data}/vedette.db", "--to", url)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "all counts agree" in done.stdout
    with real_server(settings(data, url)) as server:
        assert seen(server) == before
        same = httpx.Client(base_url=server.url, headers={"Authorization": token}, trust_env=False)
        more = {**ALERT, "timestamp": "2026-01-02T03:05:00Z", "level": "OK"}
        with same:  # the device goes on with the token it has, and what numbers itself goes on behind what came over
            same.post("/api/devices/v1/devicemonitor/alert", json=[more, ALERT]).raise_for_status()
        admin = server.client(server.login())
        (listed,) = admin.get("/api/management/v1/inventory/devices").json()
        assert len(admin.get(f"/api/management/v1/devicemonitor/devices/{listed['id']}/alerts").json()) == 2
    again = vedette("migrate", "--from", f"sqlite:///{data}/vedette.db", "--to", url)
    assert again.returncode == 1
    assert "already; move into an empty one" in again.stderr


def test_a_move_that_fails_leaves_nothing(data: Path, postgresql: Cluster) -> None:
    url = postgresql.new_database()
    with real_server(settings(data)) as server:
        life(server)

        async def spoil(tx: Tx) -> None:
            await tx.execute("INSERT INTO server_secret (name, value) VALUES ('nul', :value)", value="a\0b")

        server.run(server.services.db.write(SYSTEM, spoil))
    done = vedette("migrate", "--from", f"sqlite:///{data}/vedette.db", "--to", url)
    assert done.returncode == 1
    assert "NUL" in done.stderr
    schema = url.rpartition("=")[2]
    assert postgresql.sql(f"SELECT count(*) FROM {schema}.tenant")[0][0] == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("backup", "x", "--database", "postgresql://h/d"), "pg_dump"),
        (("restore", "x", "--database", "postgresql://h/d"), "pg_restore"),
        (("migrate", "--from", "postgresql://h/d", "--to", "sqlite:///x"), "--from: only SQLite"),
        (("migrate", "--from", "sqlite:////nowhere/v.db", "--to", "postgresql://h/d"), "--from: there is no file"),
        (("migrate", "--from", "sqlite:///{here}", "--to", "sqlite:///x"), "--to: only PostgreSQL"),
        (("migrate", "--from", "sqlite:///{here}", "--to", "postgresql://u:secret@127.0.0.1:1/d"), "cannot be had"),
        (("migrate", "--from", "sqlite:///{here}", "--to", "postgresql://u:secret@127.0.0.1:p/d"), "not a URL"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, words: tuple[str, ...], reason: str) -> None:
    here = tmp_path / "v.db"
    here.touch()
    done = vedette(*(word.replace("{here}", str(here)) for word in words))
    assert done.returncode == 1
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr
