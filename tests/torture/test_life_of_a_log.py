"""Every line that was written is read once, whatever happens to the log, to its bytes and to the daemon."""

from life_of_a_log import live


def test_a_hard_life() -> None:
    live(examples=80)
