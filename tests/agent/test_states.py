"""Levels alternate, clocks expire, and both go on over restarts, reboots and wrong wall clocks."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.states import QUIET, Announcement, Deadline, Flapping, Now, State, Verdict, end, expire, step
from vedette.agent.store import Store
from vedette.model import Details, Level, Subject

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


# -- up and down -----------------------------------------------------------------------------------------------------

RULE = Flapping(changes=5, within_s=120)


def service(ok: bool) -> Verdict:
    return Verdict(
        ok=ok,
        name="Service x not running",
        subject=Subject(
            name="x",
            type="service",
            status="running" if ok else "not-running",
            details=Details(description="up" if ok else "down"),
        ),
        flapping_name="Service x going up and down",
    )


def run(*events: tuple[float, bool | None]) -> tuple[State, list[tuple[float, Level, str, str]]]:
    """Verdicts at seconds, None for a look at the clock; what was announced when."""
    state, said = QUIET, []
    for at, ok in events:
        if ok is None:
            state, news = expire(state, now(at))
        else:
            state, news = step(state, service(ok), now(at), RULE)
        said += [(at, each.level, each.name, each.subject.status) for each in news]
    return state, said


DOWN = "Service x not running"
UP_AND_DOWN = "Service x going up and down"
FIVE = [(0, False), (10, True), (20, False), (30, True), (40, False)]
FIRST_FOUR = [
    (0, Level.CRITICAL, DOWN, "not-running"),
    (10, Level.OK, DOWN, "running"),
    (20, Level.CRITICAL, DOWN, "not-running"),
    (30, Level.OK, DOWN, "running"),
]


def test_the_fifth_change_within_two_minutes_is_told_as_going_up_and_down() -> None:
    state, said = run(*FIVE)
    assert said == [*FIRST_FOUR, (40, Level.CRITICAL, UP_AND_DOWN, "flapping")]
    assert state.raised


@pytest.mark.parametrize(
    ("ok", "then"), [(True, (Level.OK, DOWN, "running")), (False, (Level.CRITICAL, DOWN, "not-running"))]
)
def test_once_it_is_calm_its_present_state_is_told(ok: bool, then: tuple[Level, str, str]) -> None:
    events = [*FIVE, *((50.0 + n, n % 2 == 0) for n in range(9)), (60.0, ok), (61.0, not ok), (62.0, ok)]
    _, said = run(*events, (181.9, None), (182.1, None))
    assert said[5:] == [(182.1, *then)]


def test_slow_changes_are_each_told() -> None:
    """Five, but not within two minutes."""
    _, said = run(*((31.0 * n, n % 2 == 1) for n in range(9)))
    assert [each[1] for each in said] == [Level.CRITICAL, Level.OK] * 4 + [Level.CRITICAL]
    assert {each[2] for each in said} == {DOWN}


def test_after_calm_it_begins_to_count_anew() -> None:
    _, said = run(*FIVE, (45, True), (166, None), (167, False), (168, True))
    assert [each[1:3] for each in said[4:]] == [
        (Level.CRITICAL, UP_AND_DOWN), (Level.OK, DOWN), (Level.CRITICAL, DOWN), (Level.OK, DOWN),
    ]  # fmt: skip


def test_a_check_that_ends_while_it_goes_up_and_down_closes_what_people_wait_for() -> None:
    state, _ = run(*FIVE)
    after, news = end(state)
    assert (after, told(news)) == (QUIET, [(Level.OK, DOWN)])


def test_the_same_said_again_is_no_change() -> None:
    _, said = run(*((n, False) for n in range(20)))
    assert said == [(0, Level.CRITICAL, DOWN, "not-running")]


def test_a_reboot_in_between_forgets_nothing(tmp_path: Path) -> None:
    """Through the store, and with the clocks of another boot."""
    state, _ = run(*FIVE[:4])
    with closing(Store.open(tmp_path / "monitor.db")) as store:
        with store.commit() as tx:
            tx.save_state("service_x", state)
        assert store.state("service_x") == state
        state, news = step(store.state("service_x"), service(False), now(45, boot="b", elapsed_s=3), RULE)
        assert told(news) == [(Level.CRITICAL, UP_AND_DOWN)]
        with store.commit() as tx:
            tx.save_state("service_x", state)
        assert store.state("service_x") == state
        assert store.state("service_x").flapping == service(False)
    assert expire(state, now(100, boot="c", elapsed_s=2))[1] == ()
    assert told(expire(state, now(170, boot="c", elapsed_s=72))[1]) == [(Level.CRITICAL, DOWN)]


@given(st.lists(st.tuples(st.sampled_from([0, 1, 7, 29, 31, 119, 121, 1000]), st.booleans()), max_size=60))
def test_whatever_a_service_does_the_server_knows_its_state_in_the_end_and_is_not_flooded(
    steps: list[tuple[int, bool]],
) -> None:
    events: list[tuple[float, bool | None]] = []
    at = 0.0
    for wait, ok in steps:
        for _ in range(wait // 10):  # clocks are looked at now and then
            at += 10
            events.append((at, None))
        at += wait % 10
        events.append((at, ok))
    state, said = run(*events)
    if state.flapping is None and said:
        assert (said[-1][1] is Level.OK) == (not state.raised)
    for first, (moment, *_) in enumerate(said):
        within = [each for each in said[first:] if each[0] - moment <= RULE.within_s]
        assert len(within) <= RULE.changes + 2, "more than the changes, the flapping and its end"
    for before, after in pairwise(said):
        assert (before[1], after[1]) != (Level.OK, Level.OK)
        assert before[1:3] != after[1:3], "the same twice"
    last = next((ok for _, ok in reversed(events) if ok is not None), None)
    _, said = run(*events, (at + 1000, None))
    if last is not None:
        assert (said[-1][1] is Level.OK if said else True) is last
        assert (not said or said[-1][2] == DOWN) or not last


def test_a_check_that_is_about_something_else_now_closes_what_it_had_raised() -> None:
    state, _ = step(QUIET, verdict(), now())
    other = Verdict(ok=False, name="other", subject=Subject(name="other", type="log", status="X"))
    state, news = step(state, other, now(1))
    assert [(each.level, each.name, each.subject.name) for each in news] == [
        (Level.OK, "bad", "log_app"), (Level.CRITICAL, "other", "other"),
    ]  # fmt: skip
    assert state.subject == other.subject


@pytest.mark.parametrize(
    ("wall_then", "wall_now", "up_s", "remaining"),
    [
        (NOON, NOON + 60 * timedelta(seconds=1), 10, 40),  # both clocks are right
        (NOON, datetime(1970, 1, 1, tzinfo=UTC), 10, 90),  # not set yet: it has been off for who knows how long
        (datetime(1970, 1, 1, tzinfo=UTC), NOON, 10, 90),  # was not set then
        (
            NOON,
            NOON - 1000 * 86400 * timedelta(seconds=1),
            10,
            100,
        ),  # set back by years: never further away than at first
        (NOON, NOON + 1000 * 86400 * timedelta(seconds=1), 10, 100 - 1000 * 86400),
    ],
)
def test_a_deadline_of_another_boot(wall_then: datetime, wall_now: datetime, up_s: float, remaining: float) -> None:
    then = Now(boot="a", elapsed_s=5000, wall=wall_then)
    state, _ = step(QUIET, Verdict(ok=False, name="n", subject=SUBJECT, expires_s=100), then)
    assert state.deadline is not None
    assert state.deadline.remaining_s(Now(boot="b", elapsed_s=up_s, wall=wall_now)) == remaining
