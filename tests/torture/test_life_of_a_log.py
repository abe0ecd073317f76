"""Every line that was written is read once, whatever happens to the logs, to their bytes and to the daemon."""

from life_of_a_log import live
from life_of_events import EventfulLife
from life_of_many import ManyLives


def test_a_hard_life() -> None:
    live(examples=80)


def test_a_hard_life_of_events() -> None:
    live(EventfulLife, examples=25)


def test_hard_lives_in_a_directory() -> None:
    live(ManyLives, examples=25)
