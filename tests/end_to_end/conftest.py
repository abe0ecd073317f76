"""The real programs on this machine, set up as the demo does it."""

from collections.abc import Iterator

import pytest

from vedette.demo import story
from vedette.demo.stage import Stage

EXPIRY_S = 2


@pytest.fixture
def scene() -> Iterator[story.Scene]:
    """Server, agent with the mission's two checks, mailbox; the device is accepted; alerts expire after 2 s."""
    said: list[str] = []
    with Stage(said.append) as stage:
        try:
            yield story.set_up(stage, port=0, expiry_s=EXPIRY_S, on_mail=lambda mail: said.append(str(mail["Subject"])))
        finally:
            print("\n".join(said))
            for log in sorted(stage.path.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}")
