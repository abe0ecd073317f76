"""The device and the server between which a test delivers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_server import FakeServer
from sandbox_device import Device

from vedette.agent.uplink import child


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    monkeypatch.setattr(child, "LINGER_S", 0.0)
    made = Device(tmp_path / "root")
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


@pytest.fixture
def server(device: Device) -> Iterator[FakeServer]:
    """A server that the device belongs to."""
    made = FakeServer()
    device.belongs_to(made.url)
    yield made
    made.close()
