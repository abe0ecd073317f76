"""Ids sort by time and are stable; the newest alert of a subject is the same in whatever order alerts arrive."""

import json
from itertools import permutations
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from vedette.model import Level
from vedette.server.alerts import ids
from vedette.server.alerts.order import NO_ACCOUNT, Head, SubjectState, advance
from vedette.wire import incoming
from vedette.wire.incoming import WireAlert

MICROSECONDS = st.integers(0, 253_402_300_799_999_999)  # to the end of the year 9999
LEVELS = st.sampled_from(Level)


def wire(at_us: int, *, name: str = "n", origin: UUID | None = None) -> WireAlert:
    alert = {
        "name": name,
        "level": "CRITICAL",
        "timestamp": incoming.moment(at_us).isoformat(),
        "subject": {"name": "s", "type": "log", "status": ""},
    }
    if origin is not None:
        alert["origin"] = {"id": str(origin), "sequence": 1, "boot": str(origin), "elapsed_s": 1}
    (record,) = incoming.alerts(json.dumps([alert]).encode())
    return record


@given(MICROSECONDS, MICROSECONDS, st.none() | st.uuids(), st.text(max_size=5))
def test_ids_sort_by_time(a: int, b: int, origin: UUID | None, name: str) -> None:
    first, second = ids.alert_id(wire(a, origin=origin), None), ids.alert_id(wire(b, name=name), None)
    assert UUID(first).version == 8
    assert UUID(first).variant == "specified in RFC 4122"
    if a != b:
        assert (first < second) == (a < b)
    assert (first >= ids.first_at(b)) == (a >= b)


def test_a_time_before_1970_still_has_an_id() -> None:
    assert ids.alert_id(wire(-1), None) < ids.first_at(1)


@given(MICROSECONDS, st.uuids(), st.uuids())
def test_an_id_says_which_record_it_is(at: int, one: UUID, other: UUID) -> None:
    """The device's own id decides; without one, everything the alert says."""
    assert ids.alert_id(wire(at, origin=one), None) == ids.alert_id(wire(at, name="other", origin=one), "{}")
    assert (ids.alert_id(wire(at, origin=one), None) == ids.alert_id(wire(at, origin=other), None)) == (one == other)
    plain = ids.alert_id(wire(at), None)
    assert plain == ids.alert_id(wire(at), None)
    assert plain != ids.alert_id(wire(at, name="m"), None)
    assert plain != ids.alert_id(wire(at), '{"description":"x"}')


@st.composite
def heads(draw: st.DrawFn) -> list[Head]:
    """Alerts of one subject: from plain clients, from accounts that number, with clocks that jump."""
    accounts = draw(
        st.sampled_from([[NO_ACCOUNT], ["-"], ["a"], ["a", "b"], ["a", NO_ACCOUNT], ["a", "b", NO_ACCOUNT]])
    )
    result = []
    for index in range(draw(st.integers(1, 6))):
        account = draw(st.sampled_from(accounts))
        at = draw(st.integers(0, 5))
        result.append(Head(account, index + 1 if account else None, at, f"{at:02}-{index}", draw(LEVELS)))
    return result


def newest(alerts: list[Head]) -> Head:
    """The naive model: look at all of them at once."""
    best = []
    for account in {alert.account for alert in alerts}:
        own = [alert for alert in alerts if alert.account == account]
        best.append(max(own, key=lambda alert: (alert.at if alert.sequence is None else alert.sequence, alert.id)))
    return max(best, key=lambda alert: (alert.at, alert.id))


def run(alerts: list[Head]) -> SubjectState:
    state = SubjectState()
    for alert in alerts:
        state = advance(state, alert)
    return state


@given(heads(), st.data())
def test_the_newest_alert_does_not_depend_on_arrival(alerts: list[Head], data: st.DataObject) -> None:
    expected = newest(alerts)
    arrivals = data.draw(st.permutations(alerts + data.draw(st.lists(st.sampled_from(alerts), max_size=4))))
    state = run(list(arrivals))
    assert state.newest == expected
    assert state.open == (expected.level is not Level.OK)


def test_a_clock_that_jumps_back_does_not_fool_an_account() -> None:
    """The device was set to 1970 by a reboot; its numbers go on."""
    critical = Head("a", 1, 1_000_000, "2", Level.CRITICAL)
    ok = Head("a", 2, 5, "1", Level.OK)
    for order in permutations((critical, ok)):
        assert run(list(order)).newest == ok


def test_an_account_that_begins_anew_is_not_taken_for_old() -> None:
    """The device lost its store: its numbers start at 1, and its problem must still be closed."""
    before = [Head("a", 500, 10, "10", Level.CRITICAL)]
    after = [Head("b", 1, 20, "20", Level.CRITICAL), Head("b", 2, 30, "30", Level.OK)]
    for order in permutations(before + after):
        assert not run(list(order)).open


def test_the_opener_is_remembered_until_the_next_problem() -> None:
    first = Head(NO_ACCOUNT, None, 1, "1", Level.CRITICAL)
    state = run([first, first._replace(at=2, id="2"), first._replace(at=3, id="3", level=Level.OK)])
    assert (state.open, state.opened_by) == (False, "1")
    assert advance(state, first._replace(at=4, id="4")).opened_by == "4"


@given(st.lists(LEVELS, min_size=1))
def test_an_ok_alone_opens_nothing(levels: list[Level]) -> None:
    state = run([Head("a", n, n, f"{n:05}", level) for n, level in enumerate(levels, start=1)])
    assert (state.opened_by is None) == all(level is Level.OK for level in levels)
