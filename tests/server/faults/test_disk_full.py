"""The disk is full while a fleet reports: who is not stored hears 503, nothing is lost, and with room it goes on."""

import asyncio
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgresql import ON_SQLITE

from fleet import Fleet, Program
from vedette.server.settings import Settings

DEVICES = 8


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 8 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a file system can be mounted by root only")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "vedette", path], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@ON_SQLITE
def test_of_a_file_system(small_disk: Path) -> None:
    filler = small_disk / "filler"

    def fill(program: Program) -> None:
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096) == 4096:
                    pass
            except OSError:
                pass

    outage(Settings(data=small_disk), fill, lambda program: filler.unlink())


@ON_SQLITE
def test_of_what_a_process_may_write(tmp_path: Path) -> None:
    """No file may grow: without root."""

    def full(program: Program) -> None:
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))

    def room(program: Program) -> None:
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    outage(Settings(data=tmp_path), full, room)


def outage(settings: Settings, begin: Callable[[Program], object], end: Callable[[Program], object]) -> None:
    """A fleet reports before, while nothing can be written, and after."""
    fleet = Fleet.made(settings, DEVICES)

    async def story(program: Program) -> None:
        async def speak(number: int, until: asyncio.Event) -> None:
            while not until.is_set():
                await fleet.devices[number].report(program.port, 16)

        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(DEVICES):
                group.create_task(speak(number, over))
            await happens(lambda: all(each.said for each in fleet.devices))
            begin(program)
            await happens(lambda: all(each.refused[503] for each in fleet.devices))
            end(program)
            before = [each.said for each in fleet.devices]
            await happens(lambda: all(each.said > said for each, said in zip(fleet.devices, before, strict=True)))
            over.set()

    database = ["--database", settings.database] if settings.database else []
    with Program(settings.data, *database) as program:
        asyncio.run(story(program))
        program.stop()
    assert "the database cannot be written now" in program.said
    assert not any(each.refused[0] for each in fleet.devices)  # it lived
    fleet.check()


async def happens(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - of things that have no event
            await asyncio.sleep(0.01)
