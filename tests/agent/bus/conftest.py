"""A bus for each test, which is the system bus of what the test starts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from private_bus import Bus

from vedette.agent.loop import Loop


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    made = Bus(tmp_path)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", made.address)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    made.call_later(20, lambda: pytest.fail("nothing happened in time"))
    yield made
    made.close()
