"""After an outage everybody comes back at once: more connections than the server may have."""

import asyncio
import resource
from collections import Counter
from pathlib import Path

import pytest

from fleet import Fleet, Program
from vedette.server.settings import Settings

DEVICES = 700
FILES = 384  # fewer than devices


def test_all_that_was_reported_arrives(tmp_path: Path) -> None:
    program = everybody_returns(tmp_path, DEVICES, FILES)
    assert program.said.count("\n") < 2 * DEVICES  # the log does not grow with the trouble


def everybody_returns(data: Path, devices: int, files: int, within_s: float | None = None) -> Program:
    """The story, also for `make torture`: each device asks from its own connection, until it is answered 204."""
    settings = Settings(data=data)
    fleet = Fleet.made(settings, devices)

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    _allow_ourselves(devices + 256)
    with Program(data, before=few_files) as program:
        before = program.memory()

        async def load() -> None:
            async with asyncio.TaskGroup() as group:
                for each in fleet.devices:
                    group.create_task(each.report(program.port, 2, within_s))

        asyncio.run(load())
        grown = program.memory() - before
        program.stop()
    assert "Traceback" not in program.said
    assert sum(each.refused.total() for each in fleet.devices) > 0  # else there was no crowd
    assert grown < 50_000_000 + 40_000 * devices
    print(f"memory grew by {grown >> 20} MiB, refused {sum((each.refused for each in fleet.devices), Counter())}")
    fleet.check()
    return program


def _allow_ourselves(files: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < files:
        pytest.skip(f"this test needs {files} open files; the limit is {hard}")
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
