"""Bodies that were made to fill the memory, against a real process: each is refused, and the memory stays what it was.

What one request alone may be is in tests/server/http; here are many, and the process that has to bear them.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from serving import AUTH, LOGIN

from fleet import ALERT, Fleet, Program, post
from vedette.server.settings import Settings

MIB = 1024 * 1024
CONFIG = "/api/devices/v1/devicemonitor/config"
NEXT = "/api/devices/v2/deployments/device/deployments/next"
SEARCH = "/api/management/v2/inventory/filters/search"
GROWTH = 60 * MIB  # beside what is kept of bodies that come slowly


class Target:
    """A server process, and how big it was."""

    def __init__(self, program: Program, fleet: Fleet) -> None:
        self.program, self.fleet = program, fleet
        self.device = fleet.devices[0]
        self.before = program.memory()

    @property
    def grown(self) -> int:
        return self.program.memory() - self.before

    async def begin(self, path: str, headers: str, pieces: AsyncIterator[bytes] | None = None) -> bytes:
        """The first line of the answer to a POST, sent for as long as the server listens."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.program.port, limit=MIB)
        token = f"Authorization: Bearer {self.device.token}\r\nContent-Type: application/json\r\n"
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\n{token}{headers}\r\n\r\n".encode())
        try:
            async with asyncio.timeout(60):
                try:
                    async for piece in pieces or nothing():
                        writer.write(piece)
                        await writer.drain()
                except ConnectionError:
                    pass
                try:
                    return await reader.readline()
                except ConnectionError:
                    return b""
        finally:
            writer.close()


async def nothing() -> AsyncIterator[bytes]:
    for each in ():
        yield each


async def chunks(size: int) -> AsyncIterator[bytes]:
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    for _ in range(size // 0x10000):
        yield piece


async def plain(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 0x10000):
        yield b" " * 0x10000


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    settings = Settings(data=tmp_path_factory.mktemp("data"))
    fleet = Fleet.made(settings, 1)
    with Program(settings.data) as program:
        made = Target(program, fleet)
        asyncio.run(made.device.report(program.port, 1))
        yield made
        asyncio.run(made.device.report(program.port, 1))  # it lives, and takes what it should
        program.stop()
    assert "Traceback" not in program.said
    fleet.check()


@pytest.mark.parametrize("path", [ALERT, CONFIG, NEXT, AUTH, SEARCH, LOGIN])
def test_a_hundred_megabytes(target: Target, path: str) -> None:
    async def story() -> None:
        announced = await target.begin(path, f"Content-Length: {100 * MIB}", plain(100 * MIB))
        chunked = await target.begin(path, "Transfer-Encoding: chunked", chunks(100 * MIB))
        for line in announced, chunked:  # nothing: the connection was cut while we still talked
            assert line == b"" or line.split()[1] in (b"413", b"401", b"400"), line

    asyncio.run(story())
    assert target.grown < GROWTH


@pytest.mark.parametrize("path", [ALERT, CONFIG, NEXT, AUTH])
def test_a_zip_bomb_is_not_opened(target: Target, path: str) -> None:
    bomb = gzip.compress(b" " * 100 * MIB, 1)
    assert len(bomb) < MIB

    async def all_of_it() -> AsyncIterator[bytes]:
        yield bomb

    headers = f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}"
    assert asyncio.run(target.begin(path, headers, all_of_it())).split()[1] == b"400"
    assert target.grown < GROWTH


@pytest.mark.parametrize("path", [ALERT, CONFIG, NEXT, AUTH])
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"subject":{"details":'])
def test_deeply_nested(target: Target, path: str, opening: bytes) -> None:
    body = opening * (1_000_000 // len(opening))
    assert asyncio.run(post(target.program.port, path, target.device.token, body)) == 400
    ended = b"[" * 400_000 + b"]" * 400_000
    assert asyncio.run(post(target.program.port, path, target.device.token, ended)) == 400


def test_many_slow_bodies_and_heads(target: Target) -> None:
    """Three hundred strangers each begin a body that may be sent, and do not end it; others do so with headers."""

    async def story() -> int:
        writers, refused = [], 0
        for number in range(300):
            reader, writer = await asyncio.open_connection("127.0.0.1", target.program.port)
            writers.append(writer)
            if number % 3:
                head = f"POST {AUTH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                writer.write(f"{head}Content-Length: {MIB}\r\n\r\n".encode() + b" " * (MIB - 1000))
            else:
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 60_000)
            try:
                async with asyncio.timeout(0.02):
                    refused += b" 503 " in await reader.readline()
            except (TimeoutError, ConnectionError):
                pass
        grown = target.grown
        assert await post(target.program.port, ALERT, target.device.token, json.dumps([]).encode()) == 204
        for writer in writers:
            writer.close()
        assert refused > 0
        return grown

    assert asyncio.run(story()) < 64 * MIB + 2 * GROWTH
