"""Rollouts: waves, halts, what people do to them, devices that come, go and return."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rolling import API, DEVICES, GROUPS, ROLLOUTS, TENANT, Fleet, fleet

from vedette.errors import Invalid
from vedette.server.configuration import rollout_steps, rollout_store, waves
from vedette.server.configuration.waves import EVERYBODY, FEW, Parameters, Step, Tally, counts_for, ends, place
from vedette.server.db import SYSTEM, Row, Tx
from vedette.server.services import open_services
from vedette.server.times import micros

CAREFUL = {"waves": [10, 50, 100], "soak_s": 100, "patience_s": 1000}
AT_ONCE = {"waves": [100], "soak_s": 0}


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path) as made:
        yield made


def wave(shown: dict[str, Any], number: int) -> dict[str, Any]:
    found: dict[str, Any] = shown["waves"][number - 1]
    return found


def given_so_far(shown: dict[str, Any]) -> int:
    return sum(each["devices"] for each in shown["waves"])


# --- waves -----------------------------------------------------------------------------------------------------------

IDS = st.sets(st.text(min_size=1, max_size=8), max_size=60)
PERCENTS = st.lists(st.floats(0.01, 99.9), max_size=5, unique=True).map(lambda found: (*sorted(found), 100.0))


@given(IDS, PERCENTS, st.text())
def test_who_is_in_a_wave_is_in_all_that_come_later(devices: set[str], percents: Any, rollout: str) -> None:
    found = ends([place(rollout, each) for each in devices], percents)
    assert [last for last, _ in found] == sorted(last for last, _ in found)
    assert found[-1][0] == EVERYBODY
    reached = 0
    for percent, (last, planned) in zip(percents, found, strict=True):
        within = sum(place(rollout, each) <= last for each in devices)
        reached += planned
        assert within == reached
        assert within >= len(devices) * percent / 100
        assert within < len(devices) * percent / 100 + 1
    assert not devices or found[0][1] >= 1, "the first wave has somebody in it"


def test_another_rollout_begins_with_others() -> None:
    devices = [str(number) for number in range(1000)]
    first = [{each for each in devices if place(rollout, each) < EVERYBODY // 10} for rollout in "ab"]
    assert all(60 < len(each) < 140 for each in first)
    assert len(first[0] & first[1]) < 40


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(-1, EVERYBODY)), max_size=5), st.text(max_size=3))
def test_the_newest_version_that_has_reached_a_device_counts(rollouts: Any, device: str) -> None:
    steps = [Step(name, reached, number) for number, (name, reached) in enumerate(rollouts)]
    expected = next((each.brings for each in steps if place(each.rollout, device) <= each.reached), -1)
    assert counts_for(device, steps, -1) == expected
    stopped = [Step(each.rollout, each.reached, each.brings, begun=frozenset()) for each in steps]
    assert counts_for(device, stopped, -1) == -1


@pytest.mark.parametrize(
    ("tally", "bounds", "halts"),
    [
        (Tally(given=1, ended=1, failures=1), {}, True),
        (Tally(given=100, ended=1, failures=1), {}, False),  # one of ten
        (Tally(given=100, ended=2, failures=2), {}, True),
        (Tally(given=100, ended=50, failures=5), {}, False),
        (Tally(given=100, ended=50, failures=6), {}, True),
        (Tally(given=100, ended=50, failures=6), {"max_failure_percent": None}, False),
        (Tally(given=1000, ended=900, failures=4), {"max_failures": 3}, True),
        (Tally(given=1000, ended=900, failures=3), {"max_failures": 3}, False),
        (Tally(given=5, ended=5, alerting=2), {}, True),
        (Tally(given=5, ended=5, alerting=1), {}, False),
        (Tally(given=5, ended=5, alerting=5), {"max_alert_percent": None}, False),
        (Tally(), {"max_failure_percent": 0, "max_failures": 0, "max_alert_percent": 0}, False),
    ],
)
def test_when_there_is_reason_to_halt(tally: Tally, bounds: Any, halts: bool) -> None:
    assert FEW == 10
    assert (waves.reason_to_halt(tally, Parameters(**bounds)) is not None) == halts


def test_parameters_that_cannot_be() -> None:
    with pytest.raises(Invalid):
        Parameters(waves=(float("nan"), 100))


# --- the whole road --------------------------------------------------------------------------------------------------


def test_wave_by_wave(ours: Fleet) -> None:
    devices, others = ours.add(20, "kiosks"), ours.add(5, "other")
    made = ours.put(f"{GROUPS}/kiosks", {"motto": "x"}, comment="why", rollout=CAREFUL)
    before = ours.rollout(made["rollout"])
    assert (before["state"], before["wave"], before["comment"], len(before["waves"])) == ("running", 0, "why", 3)
    ours.settle()
    shown = ours.rollout(made["rollout"])
    assert [each["planned"] for each in shown["waves"]] == [2, 8, 10]
    assert [each["state"] for each in shown["waves"]] == ["soaking", "waiting", "waiting"]
    assert (given_so_far(shown), wave(shown, 1)["offline"]) == (2, 2)
    ours.pass_time(100)
    assert given_so_far(ours.rollout(made["rollout"])) == 2, "nobody has tried it yet"
    assert "first device" in ours.rollout(made["rollout"])["waiting_for"]

    got = ours.take_all([*devices, *others])
    assert len(got) == 2
    assert all(values == {"motto": "x"} for values in got.values())
    first = set(got)
    ours.pass_time(10)
    shown = ours.rollout(made["rollout"])
    assert (wave(shown, 1)["success"], given_so_far(shown)) == (2, 10), "it had soaked"
    assert len(ours.take_all([*devices, *others])) == 8
    ours.pass_time(99)
    assert given_so_far(ours.rollout(made["rollout"])) == 10
    ours.pass_time(6)
    assert given_so_far(ours.rollout(made["rollout"])) == 20
    assert len(ours.take_all([*devices, *others])) == 10
    ours.pass_time(110)
    shown = ours.rollout(made["rollout"])
    assert (shown["state"], shown["waiting_for"], "finished_ts" in shown) == ("finished", "", True)
    assert all(ours.wanted(each) == {"motto": "x"} for each in devices)
    assert ours.wanted(others[0]) == {}

    listed = ours.get(f"{ROLLOUTS}/{made['rollout']}/devices", per_page=100)
    assert {each["device"] for each in listed} == set(devices)
    assert {each["device"] for each in listed if each["wave"] == 1} == first
    assert ours.get(f"{ROLLOUTS}/{made['rollout']}/devices", status="failure") == []
    assert [each["id"] for each in ours.get(ROLLOUTS, state="finished", group="kiosks")] == [made["rollout"]]
    assert ours.get(ROLLOUTS, group="") == []
    for wrong in ({"state": "x"}, {"page": "0"}):
        assert ours.admin.get(ROLLOUTS, params=wrong).status_code == 400


def test_nobody_gets_what_changes_nothing_for_him(ours: Fleet) -> None:
    devices = ours.add(4, "a")
    ours.put(f"{DEVICES}/{devices[0]}", {"key": "own"})
    assert ours.take(devices[0]) == {"key": "own"}
    made = ours.put(TENANT, {"key": "all"}, rollout=AT_ONCE)
    ours.settle()
    assert set(ours.take_all(devices)) == set(devices[1:])
    ours.pass_time(10)
    assert ours.rollout(made["rollout"])["state"] == "finished"
    made = ours.put(f"{GROUPS}/a", {"key": "all"}, rollout=CAREFUL)
    ours.settle()
    shown = ours.rollout(made["rollout"])
    assert (shown["state"], given_so_far(shown)) == ("finished", 0)
    assert ours.take_all(devices) == {}


def test_a_bad_configuration_is_stopped_at_the_first_wave(ours: Fleet) -> None:
    devices = ours.add(3, "kiosks")
    ours.put(f"{GROUPS}/kiosks", {"key": "good"}, rollout=AT_ONCE)
    ours.settle()
    ours.take_all(devices)
    ours.pass_time(10)
    made = ours.put(f"{GROUPS}/kiosks", {"key": "bad"})
    ours.settle()
    assert len(ours.take_all(devices, "failure")) == 1
    ours.pass_time(10)
    shown = ours.rollout(made["rollout"])
    assert (shown["state"], shown["wave"]) == ("halted", 1)
    assert shown["reason"] == "1 of 1 devices failed; at most 10 % may"
    ours.pass_time(10_000)
    assert ours.take_all(devices) == {}
    back = ours.act(made["rollout"], "rollback", "was bad")
    assert back["version"] == 3
    assert ours.get(f"{GROUPS}/kiosks")["values"] == {"key": "good"}
    ours.settle()
    assert list(ours.take_all(devices).values()) == [{"key": "good"}], "only to the one that had tried the other"
    ours.pass_time(10)
    assert ours.rollout(made["rollout"])["state"] == "rolled_back"
    assert ours.rollout(back["rollout"])["state"] == "finished"
    version = ours.get(f"{GROUPS}/kiosks/versions")[0]
    assert (version["reverted_to"], version["comment"]) == (1, "was bad")


def test_a_halt_counts_at_once_for_those_who_have_not_begun(ours: Fleet) -> None:
    devices = ours.add(30)
    made = ours.put(TENANT, {"key": "x"}, rollout={**AT_ONCE, "max_failures": 1})
    ours.settle()
    begun = ours.poll(devices[0])
    assert begun is not None
    ours.say(devices[0], begun, "downloading")
    ours.take_all(devices[1:3], "failure")
    ours.pass_time(10)
    shown = ours.rollout(made["rollout"])
    assert (shown["state"], shown["reason"]) == ("halted", "2 devices failed; at most 1 may")
    assert ours.take_all(devices[3:]) == {}
    assert ours.poll(devices[0]) == begun, "who has begun goes on"
    assert ours.wanted(devices[5]) == {}
    ours.say(devices[0], begun, "success")

    shown = ours.act(made["rollout"], "resume", "those two are broken")
    assert (shown["state"], shown["reason"]) == ("running", "those two are broken")
    ours.settle()
    assert len(ours.take_all(devices[3:20])) == 17, "what had failed by then counts no more"
    ours.take_all(devices[20:22], "failure")
    ours.pass_time(10)
    assert ours.rollout(made["rollout"])["state"] == "halted"


def test_it_is_judged_while_it_is_being_handed_out(ours: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_steps, "GIVEN_AT_ONCE", 5)
    devices = ours.add(30)
    made = ours.put(TENANT, {"key": "x"}, rollout={**AT_ONCE, "max_failures": 0})["rollout"]
    for _ in range(2):
        assert ours.server.run(rollout_steps.turn(ours.server.services))
    assert len(ours.take_all(devices, "failure")) == 5
    ours.settle()
    assert (ours.rollout(made)["state"], given_so_far(ours.rollout(made))) == ("halted", 5)


def test_problems_that_began_after_it_halt_it(ours: Fleet) -> None:
    devices = ours.add(10)
    ours.raise_problem(devices[0])
    ours.pass_time(100)
    made = ours.put(TENANT, {"key": "x"}, rollout={"waves": [50, 100], "soak_s": 500})
    ours.settle()
    meant = [each["device"] for each in ours.get(f"{ROLLOUTS}/{made['rollout']}/devices")]
    assert len(meant) == 5
    before = {devices[0], *meant[:2], *(set(devices) - set(meant))}
    for device in before - {devices[0]}:
        ours.raise_problem(device)
    ours.pass_time(100)
    touched = list(ours.take_all(devices))
    ours.pass_time(100)
    assert (ours.rollout(made["rollout"])["alerting"], ours.rollout(made["rollout"])["state"]) == (0, "running")
    for device in [each for each in touched if each not in before][:2]:
        ours.raise_problem(device)
    assert ours.rollout(made["rollout"])["alerting"] == 2
    ours.pass_time(10)
    shown = ours.rollout(made["rollout"])
    assert shown["state"] == "halted"
    assert shown["reason"] == "2 of 5 devices have a problem that began after they had it; at most 20 % may"


def test_what_is_waited_for(ours: Fleet) -> None:
    """A device that is heard of and has not ended holds up the next wave, as long as there is patience."""
    devices = ours.add(10)
    made = ours.put(TENANT, {"key": "x"}, rollout={"waves": [20, 100], "soak_s": 0, "patience_s": 300})
    ours.settle()
    first, second = (each["device"] for each in ours.get(f"{ROLLOUTS}/{made['rollout']}/devices"))
    ours.take(first)
    at_it = ours.poll(second)
    assert at_it is not None
    ours.say(second, at_it, "installing")
    ours.pass_time(100)
    shown = ours.rollout(made["rollout"])
    assert (shown["wave"], wave(shown, 1)["active"], wave(shown, 1)["success"]) == (1, 1, 1)
    ours.pass_time(250)
    assert ours.rollout(made["rollout"])["wave"] == 2
    assert set(ours.take_all(devices)) | {first} == set(devices), "it goes on where it was"


def test_who_is_away_joins_on_return(ours: Fleet) -> None:
    devices = ours.add(10)
    made = ours.put(TENANT, {"key": "1"}, rollout={"waves": [100], "soak_s": 10, "patience_s": 15})
    ours.settle()
    ours.take_all(devices[:5])
    ours.pass_time(20)
    shown = ours.rollout(made["rollout"])
    assert (shown["state"], wave(shown, 1)["pending"], wave(shown, 1)["offline"]) == ("finished", 5, 5)
    ours.pass_time(3 * 86_400)
    assert ours.take(devices[5]) == {"key": "1"}
    ours.put(TENANT, {"key": "2"}, rollout=AT_ONCE)
    ours.settle()
    assert ours.take_all(devices) == {each: {"key": "2"} for each in devices}, "only the newest"
    assert ours.take_all(devices) == {}


# --- people ----------------------------------------------------------------------------------------------------------


def test_pause_resume_advance_abort(ours: Fleet) -> None:
    devices = ours.add(10)
    made = ours.put(TENANT, {"key": "1"}, rollout={**CAREFUL, "paused": True})["rollout"]
    ours.pass_time(1000)
    assert (ours.rollout(made)["state"], ours.rollout(made)["wave"]) == ("paused", 0)
    ours.act(made, "resume")
    ours.settle()
    assert given_so_far(ours.rollout(made)) == 1
    assert ours.act(made, "pause", "lunch")["reason"] == "lunch"
    assert ours.admin.post(f"{ROLLOUTS}/{made}/pause", json={}).status_code == 409
    assert ours.admin.post(f"{ROLLOUTS}/{made}/advance", json={}).status_code == 409
    ours.pass_time(1000)
    assert ours.take_all(devices) == {}
    ours.act(made, "resume")
    assert len(ours.take_all(devices)) == 1
    ours.act(made, "advance")
    ours.settle()
    shown = ours.rollout(made)
    assert (shown["wave"], wave(shown, 1)["state"], given_so_far(shown)) == (2, "done", 5)
    assert len(ours.take_all(devices[:5])) <= 4
    left = {each["device"] for each in ours.get(f"{ROLLOUTS}/{made}/devices", status="pending")}
    ours.act(made, "abort", "enough")
    ours.settle()
    shown = ours.rollout(made)
    assert (shown["state"], shown["waiting_for"], wave(shown, 2)["aborted"]) == ("aborted", "", len(left))
    assert ours.take_all(devices) == {}
    assert all(ours.wanted(each) == {} for each in left)
    assert sum(ours.wanted(each) == {"key": "1"} for each in devices) == 5 - len(left), "who has it keeps it"
    for what in ("abort", "resume", "pause"):
        assert ours.admin.post(f"{ROLLOUTS}/{made}/{what}", json={}).status_code == 409
    for what in ("abort", "resume", "pause", "advance", "rollback"):
        assert ours.admin.post(f"{ROLLOUTS}/nothing/{what}", json={}).status_code == 404


def test_a_newer_change_while_one_is_under_way(ours: Fleet) -> None:
    devices = ours.add(20)
    ours.put(TENANT, {"a": "1"}, rollout=AT_ONCE)
    ours.settle()
    ours.take_all(devices)
    ours.pass_time(10)
    old = ours.put(TENANT, {"a": "2"}, rollout=CAREFUL)["rollout"]
    ours.settle()
    tried = set(ours.take_all(devices))
    new = ours.put(TENANT, {"a": "3"}, rollout=CAREFUL)["rollout"]
    ours.settle()
    assert ours.rollout(old)["state"] == "superseded"
    newer = {each["device"] for each in ours.get(f"{ROLLOUTS}/{new}/devices")}
    for device in devices:
        expected = "3" if device in newer else "2" if device in tried else "1"
        assert ours.wanted(device) == {"a": expected}
    assert ours.admin.post(f"{ROLLOUTS}/{old}/rollback", json={}).status_code == 409
    for _ in range(3):
        ours.take_all(devices)
        ours.pass_time(200)
    assert all(ours.wanted(each) == {"a": "3"} for each in devices)
    assert ours.rollout(new)["state"] == "finished"


def test_a_newer_change_of_what_was_halted(ours: Fleet) -> None:
    devices = ours.add(10)
    ours.put(TENANT, {"a": "1"}, rollout={**AT_ONCE, "max_failures": 0})
    ours.settle()
    ours.take(devices[0], "failure")
    ours.pass_time(10)
    ours.put(TENANT, {"a": "1", "b": "1"}, rollout=AT_ONCE)
    ours.settle()
    assert ours.take_all(devices) == {each: {"a": "1", "b": "1"} for each in devices}
    # The same once more, with what was held in the meantime.
    made = ours.put(TENANT, {"a": "2"}, rollout=AT_ONCE)["rollout"]
    ours.settle()
    ours.act(made, "pause")
    ours.put(TENANT, {"a": "3"}, rollout={"paused": True})
    ours.put(TENANT, {"a": "2"}, rollout=AT_ONCE)
    ours.settle()
    assert ours.take_all(devices) == {each: {"a": "2"} for each in devices}


def test_too_many_changes_at_the_same_time(ours: Fleet) -> None:
    ours.add(2)
    for number in range(20):
        ours.put(TENANT, {"a": str(number)}, rollout={"paused": True})
    answer = ours.admin.put(TENANT, json={"values": {"a": "x"}})
    assert (answer.status_code, "have not reached everybody" in answer.json()["error"]) == (409, True)


def test_two_layers_change_at_the_same_time(ours: Fleet) -> None:
    devices = ours.add(10, "kiosks")
    tenant = ours.put(TENANT, {"a": "1"}, rollout=CAREFUL)["rollout"]
    group = ours.put(f"{GROUPS}/kiosks", {"b": "1"}, rollout=CAREFUL)["rollout"]
    ours.settle()
    for _ in range(6):
        ours.take_all(devices)
        ours.pass_time(200)
    assert [ours.rollout(each)["state"] for each in (tenant, group)] == ["finished", "finished"]
    assert ours.take_all(devices) == {}
    assert all(ours.wanted(each) == {"a": "1", "b": "1"} for each in devices)


# --- devices that come and go ----------------------------------------------------------------------------------------


def test_who_changes_the_group_gets_what_counts_there(ours: Fleet) -> None:
    (device,) = ours.add(1)
    ours.put(TENANT, {"a": "1"}, rollout=AT_ONCE)
    ours.put(f"{GROUPS}/kiosks", {"a": "2"}, rollout=AT_ONCE)
    ours.settle()
    assert ours.take(device) == {"a": "1"}
    ours.pass_time(10)
    ours.move(device, "kiosks")
    ours.settle()
    assert ours.take(device) == {"a": "2"}
    ours.move(device, "none-of-these")
    ours.move(device, "kiosks")
    ours.settle()
    assert ours.take(device) is None, "it has that"
    ours.move(device, None)
    ours.settle()
    assert ours.take(device) == {"a": "1"}
    assert ours.value("SELECT count(*) FROM configuration_due WHERE {visible:configuration_due}") == 0


def test_who_comes_during_a_rollout_gets_what_its_place_says(ours: Fleet) -> None:
    ours.add(40, "kiosks")
    others = ours.add(30)
    made = ours.put(f"{GROUPS}/kiosks", {"a": "1"}, rollout={"waves": [50, 100]})["rollout"]
    ours.settle()
    for device in others:
        ours.move(device, "kiosks")
    ours.settle()
    got = ours.take_all(others)
    assert 0 < len(got) < 30
    ours.act(made, "pause")
    assert all(ours.wanted(each) == got.get(each, {}) for each in others)


def test_a_halted_change_does_not_reach_those_who_move(ours: Fleet) -> None:
    devices = ours.add(20, "kiosks")
    made = ours.put(f"{GROUPS}/kiosks", {"a": "bad"}, rollout={**AT_ONCE, "max_failures": 0})["rollout"]
    ours.settle()
    ours.take(devices[0], "failure")
    ours.pass_time(10)
    assert ours.rollout(made)["state"] == "halted"
    for device in devices[1:]:
        ours.move(device, "elsewhere")
        ours.move(device, "kiosks")
    ours.settle()
    assert all(values == {} for values in ours.take_all(devices[1:]).values()), "what they had"


def test_who_is_let_in_gets_what_counts(ours: Fleet) -> None:
    ours.put(TENANT, {"a": "1"}, rollout=AT_ONCE)
    ours.settle()
    (device,) = ours.add(1)
    for status in ("rejected", "accepted"):
        ours.server.run(ours.server.services.db.write(ours.scope, set_status, device, status))
        ours.settle()
    assert ours.take(device) == {"a": "1"}
    for status in ("rejected", "accepted"):
        ours.server.run(ours.server.services.db.write(ours.scope, set_status, device, status))
        ours.settle()
    assert ours.take(device) == {"a": "1"}, "it may have been wiped meanwhile"


def test_who_reports_otherwise_gets_it_with_the_next_change(ours: Fleet) -> None:
    honest, wiped = ours.add(2, "kiosks")
    ours.put(TENANT, {"a": "1"}, rollout=AT_ONCE)
    ours.settle()
    assert len(ours.take_all([honest, wiped])) == 2
    ours.report(honest, {"a": "1"})
    ours.report(wiped, {})
    assert (ours.effective(honest)["in_sync"], ours.effective(wiped)["in_sync"]) == (True, False)
    (found,) = ours.get(f"{API}/drift")
    assert (found["device"], found["group"], found["deployment"]["status"]) == (wiped, "kiosks", "success")
    assert found["drift"] == {"missing": ["a"], "extra": [], "different": []}
    assert ours.get(f"{API}/drift", group="kiosks") == [found]
    assert ours.get(f"{API}/drift", group="x") == []
    ours.put(f"{GROUPS}/kiosks", {"a": "1"}, rollout=AT_ONCE)
    ours.settle()
    assert ours.take_all([honest, wiped]) == {wiped: {"a": "1"}}


async def set_status(tx: Any, device: str, status: str) -> None:
    await tx.execute("UPDATE device SET status = :status WHERE {visible} AND id = :of", of=device, status=status)


def test_a_tenant_without_layers_pays_nothing(ours: Fleet) -> None:
    (device,) = ours.add(1)
    ours.put(f"{DEVICES}/{device}", {"a": "1"}, deploy=False)
    ours.move(device, "x")
    assert ours.value("SELECT count(*) FROM configuration_due WHERE {visible:configuration_due}") == 0
    assert ours.settle() == 0
    assert ours.take(device) is None


def test_what_two_changes_carry_goes_on_when_both_do(ours: Fleet) -> None:
    devices = ours.add(4, "kiosks")
    tenant = ours.put(TENANT, {"a": "1"}, rollout=AT_ONCE)["rollout"]
    group = ours.put(f"{GROUPS}/kiosks", {"b": "1"}, rollout=AT_ONCE)["rollout"]
    ours.settle()
    for each in (tenant, group):
        ours.act(each, "pause")
    ours.act(group, "resume")
    assert ours.take_all(devices) == {}
    ours.act(tenant, "resume")
    assert ours.take_all(devices) == {each: {"a": "1", "b": "1"} for each in devices}


def test_what_is_too_large_together(ours: Fleet) -> None:
    (device,), (other,) = ours.add(1, "kiosks"), ours.add(1)
    half = {f"{number:02}": "x" * 4000 for number in range(10)}
    ours.put(TENANT, half, rollout=AT_ONCE)
    ours.settle()
    assert len(ours.take_all([device, other])) == 2
    made = ours.put(f"{GROUPS}/kiosks", {f"g{key}": value for key, value in half.items()}, rollout=AT_ONCE)
    ours.pass_time(10)
    assert (ours.rollout(made["rollout"])["too_large"], ours.take(device)) == (1, None)
    assert (
        ours.admin.post(f"/api/management/v1/deviceconfig/configurations/device/{device}/deploy", json={}).status_code
        == 400
    )


# --- several servers, and many devices -------------------------------------------------------------------------------


def test_two_servers_do_it_once(ours: Fleet) -> None:
    devices = ours.add(200)
    made = ours.put(TENANT, {"a": "1"}, rollout=CAREFUL)["rollout"]

    async def both() -> None:
        async with open_services(ours.server.services.settings, ours.clock) as other:

            async def work(services: Any) -> None:
                while await rollout_steps.turn(services):
                    pass

            await asyncio.gather(*[work(each) for each in (ours.server.services, other) * 2])

    for expected in (20, 100, 200):
        ours.server.run(both())
        shown = ours.rollout(made)
        assert given_so_far(shown) == expected
        assert len(ours.take_all(devices)) == expected - sum(each["success"] for each in shown["waves"])
        ours.clock.advance(200)


def test_a_server_that_dies_in_a_step_costs_the_lease(ours: Fleet) -> None:
    ours.add(10)
    made = ours.put(TENANT, {"a": "1"}, rollout=AT_ONCE)["rollout"]

    async def lease(tx: Tx) -> Any:
        now = micros(ours.clock.now())
        return await rollout_store.lease(tx, now, now + 60_000_000)

    assert ours.server.run(ours.server.services.db.write(SYSTEM, lease))["id"] == made
    ours.settle()
    assert ours.rollout(made)["wave"] == 0
    ours.pass_time(61)
    assert given_so_far(ours.rollout(made)) == 10


def test_a_server_that_is_late_does_not_begin_anew(ours: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_steps, "GIVEN_AT_ONCE", 5)
    ours.add(30)
    made = ours.put(TENANT, {"a": "1"}, rollout=AT_ONCE)["rollout"]
    assert ours.server.run(rollout_steps.turn(ours.server.services))

    async def read(tx: Tx) -> Row | None:
        return await rollout_store.one(tx, made)

    def now() -> Any:
        return ours.server.run(ours.server.services.db.read(ours.scope, read))

    late = now()
    assert ours.server.run(rollout_steps.turn(ours.server.services))
    assert ours.server.run(rollout_steps.turn(ours.server.services))
    before = now()["handed_to"]
    ours.server.run(rollout_steps._hand_out(ours.server.services, ours.scope, late))
    assert now()["handed_to"] == before > late["handed_to"]
    ours.settle()
    assert given_so_far(ours.rollout(made)) == 30


def test_ten_thousand_devices_in_small_steps(ours: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = ours.add(10_000)
    made = ours.put(TENANT, {"a": "1"}, rollout={"waves": [1, 100], "soak_s": 0})["rollout"]
    given: list[int] = []
    owe = rollout_steps.effective.owe

    async def counting(*args: Any) -> None:
        given.append(len(args[4].devices))
        await owe(*args)

    monkeypatch.setattr(rollout_steps.effective, "owe", counting)
    first = ours.settle()
    assert (sum(given), first < 10) == (100, True)
    for device in [each["device"] for each in ours.get(f"{ROLLOUTS}/{made}/devices", per_page=3)]:
        ours.take(device)
    ours.pass_time(5000)
    assert sum(given) == 10_000
    assert max(given) == rollout_steps.GIVEN_AT_ONCE
    assert ours.value("SELECT count(*) FROM deployment WHERE tenant = :tenant") == 2
    shown = ours.rollout(made)
    assert [each["devices"] for each in shown["waves"]] == [100, 9900]
    ours.act(made, "pause")
    assert ours.take(devices[-1]) is None or wave(shown, 1)["success"] == 3
    ours.act(made, "abort")
    steps = ours.settle()
    assert steps >= 9_000 // rollout_steps.CALLED_OFF_AT_ONCE
    assert ours.rollout(made)["waiting_for"] == ""
