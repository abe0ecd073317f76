"""`make torture` in small: one story, cut off at every step that SQLite took on the disk."""

from pathlib import Path

import pytest
import recorder
from crashes import Story, crash_everywhere, site

pytestmark = pytest.mark.skipif(not recorder.available(), reason="the SQLite of this Python cannot be listened to")


@pytest.mark.parametrize("seed", [1])
def test_cut_off_anywhere_nothing_is_lost_or_doubled(tmp_path: Path, seed: int) -> None:
    with site(tmp_path) as made:
        events = Story(made, seed, problems=5).record()
        assert crash_everywhere(made, events, seed) > 50
