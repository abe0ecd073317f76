"""Waiting: never less than the server asked for, never without jitter."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.uplink import backoff

NOW = datetime(2026, 8, 22, 8, 0, 0, tzinfo=UTC)


def bounds(failures: int, cap_s: float, steady_s: float = 60.0, retry_after_s: float = 0.0) -> tuple[float, float]:
    least, most = (
        backoff.delay_s(failures, cap_s=cap_s, steady_s=steady_s, retry_after_s=retry_after_s, draw=draw)
        for draw in (min, max)
    )
    return least, most


@given(st.integers(1, 10**6), st.floats(1, 10**5), st.floats(0, 10**5))
def test_full_jitter_also_after_the_cap(failures: int, cap_s: float, retry_after_s: float) -> None:
    least, most = bounds(failures, cap_s, retry_after_s=retry_after_s)
    assert least == retry_after_s + backoff.SHORTEST_S
    assert retry_after_s + min(cap_s, 1.0) <= most <= retry_after_s + cap_s


def test_the_window_doubles_until_its_cap() -> None:
    assert [bounds(failures, 10)[1] for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_a_cap_of_zero_is_a_steady_interval() -> None:
    assert [bounds(failures, 0)[1] for failures in (1, 5, 50)] == [60, 60, 60]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("0", 0),
        ("17", 17),
        (" 17 ", 17),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("²", 0),
        ("9" * 400, backoff.LONGEST_RETRY_AFTER_S),
        ("Sat, 22 Aug 2026 08:01:30 GMT", 90),
        ("Sat, 22 Aug 2026 08:01:30 -0000", 90),
        ("Sat, 22 Aug 2026 07:00:00 GMT", 0),
        ("Sat, 22 Aug 9999 07:00:00 GMT", backoff.LONGEST_RETRY_AFTER_S),
        ("Sat, 99 Aug 2026 07:00:00 GMT", 0),
    ],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert backoff.retry_after_s(header, NOW) == seconds


@given(st.text(max_size=60))
def test_no_header_breaks_it(header: str) -> None:
    assert 0 <= backoff.retry_after_s(header, NOW) <= backoff.LONGEST_RETRY_AFTER_S


def test_a_pending_device_asks_often_while_somebody_may_be_waiting() -> None:
    """For about a minute every few seconds; later rarely, but whoever is accepted has a token within 60 s."""
    asks = range(1, 100)
    assert all(backoff.pending_s(asked, longest) <= 5 for asked in asks if asked <= backoff.EAGER_ASKS)
    assert all(backoff.pending_s(asked, shortest) >= 10 for asked in asks if asked > backoff.EAGER_ASKS)
    assert all(backoff.pending_s(asked, longest) < 60 for asked in asks)


def longest(_low: float, high: float) -> float:
    return high


def shortest(low: float, _high: float) -> float:
    return low
