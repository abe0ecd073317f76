"""Borrows what the tests of the agent and of the server have."""

import sys
from pathlib import Path

for neighbour in ("agent", "server", "server/faults"):
    sys.path.append(str(Path(__file__).parents[1] / neighbour))
