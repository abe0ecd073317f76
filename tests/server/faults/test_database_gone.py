"""The database goes and comes back while a fleet reports: nothing is lost, and nobody has to be told."""

import asyncio
import ctypes
import os
import sqlite3
from pathlib import Path

import pytest
from postgresql import ON_SQLITE, cluster
from test_disk_full import outage

from fleet import Fleet, Program
from vedette.server.settings import Settings


def test_postgresql_is_stopped_and_started(tmp_path: Path) -> None:
    with cluster() as running:
        settings = Settings(data=tmp_path, database=running.new_database())
        outage(settings, lambda program: running.stop(), lambda program: running.start())


@ON_SQLITE
def test_a_file_that_another_program_holds(tmp_path: Path) -> None:
    """For a second: who reports meanwhile waits and is stored."""
    fleet = Fleet.made(Settings(data=tmp_path), 4)

    async def story(program: Program) -> None:
        other = sqlite3.connect(tmp_path / "vedette.db", isolation_level=None)
        for _ in range(3):
            other.execute("BEGIN IMMEDIATE")
            reports = [asyncio.create_task(each.report(program.port, 3)) for each in fleet.devices]
            await asyncio.sleep(0.3)  # not a wait for anything: as long as it is held
            assert not any(each.done() for each in reports)
            other.execute("ROLLBACK")
            await asyncio.gather(*reports)
        other.close()

    with Program(tmp_path) as program:
        asyncio.run(story(program))
        program.stop()
    fleet.check()


@ON_SQLITE
def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """What is open goes on; a start says in one sentence what is wrong."""
    fleet = Fleet.made(Settings(data=tmp_path), 1)
    with Program(tmp_path, before=_without_power_over_files) as program:
        try:
            tmp_path.chmod(0o500)
            asyncio.run(fleet.devices[0].report(program.port, 3))
            tmp_path.chmod(0o700)
            program.stop()
            tmp_path.chmod(0o500)
            with pytest.raises(AssertionError, match="did not start"):
                program.start()
            tmp_path.chmod(0o700)
            assert program.said.splitlines()[-1].startswith(f"vedette: database {tmp_path}/vedette.db: ")
            program.start()
            asyncio.run(fleet.devices[0].report(program.port, 3))
            program.stop()
        finally:
            tmp_path.chmod(0o700)
    fleet.check()


def _without_power_over_files() -> None:
    """In a process of root: prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE), so that modes of files count for what it runs."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
