"""Levels alternate, clocks expire, and both go on over restarts, reboots and wrong wall clocks."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.states import QUIET, Announcement, Deadline, Now, State, Verdict, end, expire, step
from vedette.model import Level, Subject

NOON = datetime(2026, 8, 24, 12, tzinfo=UTC)
SUBJECT = Subject(name="log_app", type="log", status="LOGCONTAINS")


def now(seconds: float = 0, *, boot: str = "a", elapsed_s: float | None = None) -> Now:
    return Now(
        boot=boot, elapsed_s=1000 + seconds if elapsed_s is None else elapsed_s, wall=NOON + timedelta(seconds=seconds)
    )


def told(news: tuple[Announcement, ...]) -> list[tuple[Level, str]]:
    return [(each.level, each.name) for each in news]


def verdict(*, ok: bool = False, expires_s: int = 0, name: str = "bad") -> Verdict:
    return Verdict(ok=ok, name=name, subject=SUBJECT, expires_s=expires_s)


def test_the_ok_has_the_name_of_what_was_raised_whatever_the_check_is_called_since() -> None:
    state, news = step(QUIET, verdict(name="old"), now())
    assert told(news) == [(Level.CRITICAL, "old")]
    state, news = step(state, verdict(name="new"), now(1))
    assert (state.alert_name, news) == ("old", ())
    assert told(step(state, verdict(ok=True, name="new"), now(2))[1]) == [(Level.OK, "old")]


@pytest.mark.parametrize(("after_s", "level"), [(0, None), (59.9, None), (60, Level.OK), (1e6, Level.OK)])
def test_an_alert_outlives_its_last_match_by_its_time(after_s: float, level: Level | None) -> None:
    state, _ = step(QUIET, verdict(expires_s=60), now())
    state, _ = step(state, verdict(expires_s=60), now(30))
    assert [each.level for each in expire(state, now(30 + after_s))[1]] == ([level] if level else [])


def test_without_a_time_it_stays_until_called_off_by_hand() -> None:
    state, _ = step(QUIET, verdict(expires_s=0), now())
    assert expire(state, now(1e9)) == (state, ())
    after, news = end(state)
    assert (after, told(news)) == (QUIET, [(Level.OK, "bad")])


def test_within_a_boot_the_wall_clock_may_jump() -> None:
    state, _ = step(QUIET, verdict(expires_s=60), now())
    jumped = Now(boot="a", elapsed_s=1010, wall=NOON + timedelta(days=900))
    assert not expire(state, jumped)[1]


def test_after_a_reboot_the_wall_clock_tells() -> None:
    state, _ = step(QUIET, verdict(expires_s=60), now())
    assert expire(state, now(59, boot="b", elapsed_s=5))[1] == ()
    assert expire(state, now(61, boot="b", elapsed_s=5))[1][0].level is Level.OK


def test_a_time_beyond_the_calendar_is_no_error() -> None:
    state, news = step(QUIET, verdict(expires_s=10**15), now())
    assert told(news) == [(Level.CRITICAL, "bad")]
    assert state.deadline is None


def test_ending_what_is_quiet_says_nothing() -> None:
    assert end(QUIET) == (QUIET, ())
    assert step(QUIET, verdict(ok=True), now()) == (QUIET, ())
    assert Deadline(boot="a", elapsed_s=1001, wall=NOON).remaining_s(now()) == 1


EVENTS = st.lists(
    st.one_of(
        st.builds(lambda ok, expires: ("see", ok, expires), st.booleans(), st.sampled_from([0, 1, 60])),
        st.just(("end", False, 0)),
        st.builds(lambda s: ("wait", False, s), st.sampled_from([0, 1, 59, 61, 10**6])),
    )
)


@given(EVENTS)
def test_levels_alternate(events: list[tuple[str, bool, int]]) -> None:
    """Whatever a device does, CRITICAL and OK come in turns, CRITICAL first."""
    state, said, at = QUIET, [], 0.0
    for what, ok, number in events:
        if what == "wait":
            at += number
            state, news = expire(state, now(at))
        elif what == "see":
            state, news = step(state, verdict(ok=ok, expires_s=number), now(at))
        else:
            state, news = end(state)
        assert (state == State()) == (not state.raised)
        said += [each.level for each in news]
    assert said == [Level.CRITICAL, Level.OK] * (len(said) // 2) + [Level.CRITICAL] * (len(said) % 2)
