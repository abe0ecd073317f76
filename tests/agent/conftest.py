"""What the tests of the agent share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_device import Device


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """A device whose daemon is not started yet; it is ended when the test ends."""
    device = Device(tmp_path)
    yield device
    if device.process is not None:
        device.stop()  # not `kill`: its commands would stay behind
