"""The intake of alerts and what is asked of devices, on PostgreSQL: the tests there are, with the other dialect.

Everything else runs on it with TEST_DATABASE=postgresql.
"""

import os
import subprocess
import sys
from pathlib import Path

from postgresql import ON_SQLITE, Cluster

SERVER = Path(__file__).parents[1]
PARTS = (
    "ingest/test_ingest.py",
    "alerts/test_alert_service.py",
    "devices/test_device_inventory.py",
    "devices/test_search_store.py",
)


@ON_SQLITE
def test_intake_and_search(postgresql: Cluster) -> None:
    """`postgresql` skips this where it is not installed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *(str(SERVER / part) for part in PARTS)],
        env={**os.environ, "TEST_DATABASE": "postgresql"},
        cwd=SERVER.parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
