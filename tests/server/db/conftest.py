"""Fixtures of the tests of storage."""

from pathlib import Path

import pytest
from dialects import DIALECTS, Opened
from postgresql import Cluster


@pytest.fixture(params=DIALECTS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """An empty database of each dialect."""
    if request.param == "sqlite":
        return Opened("sqlite", f"sqlite:///{tmp_path / 'v.db'}")
    cluster: Cluster = request.getfixturevalue("postgresql")
    return Opened("postgresql", cluster.new_database())
