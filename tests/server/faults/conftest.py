"""Fixtures of the faults."""

from pathlib import Path

import pytest
from postgresql import ON_SQLITE, Cluster

from vedette.server.settings import Settings


@pytest.fixture(params=[pytest.param("sqlite", marks=ON_SQLITE), "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of a server on each database, with nothing in it."""
    database = ""
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        database = cluster.new_database()
    return Settings(data=tmp_path, database=database)
