"""What devices send is taken exactly, or refused with the place named."""

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.errors import Invalid, TooLarge
from vedette.model import Alert, ConfiguredCheck, Details, Level, Line, Origin, Subject
from vedette.wire import incoming, outgoing

PLAIN: dict[str, Any] = {
    "name": "Log file contains CVE.*HIGH",
    "level": "CRITICAL",
    "timestamp": "2026-08-22T08:05:58.123Z",
    "subject": {"name": "log_results-scan", "type": "log", "status": "LOGCONTAINS"},
}


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001  Hypothesis wants bounds without a zone
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.one_of(st.just(UTC), offsets),
)
lines = st.builds(Line, st.integers(0, 2**63 - 1), texts)
details = st.builds(
    Details,
    description=texts,
    lines_before=st.lists(lines, max_size=3).map(tuple),
    line_matching=st.none() | lines,
    lines_after=st.lists(lines, max_size=3).map(tuple),
)
origins = st.builds(
    Origin,
    id=st.uuids(),
    sequence=st.integers(1, 2**63 - 1),
    boot=st.uuids(),
    elapsed_s=st.floats(0, 1e9),
    account=st.none() | st.uuids(),
)
subjects = st.builds(Subject, name=texts, type=texts, status=texts, details=st.none() | details)
alerts_of_any_shape = st.builds(
    Alert,
    name=texts,
    level=st.sampled_from(Level),
    at=times,
    subject=subjects,
    origin=st.none() | origins,
)


def body(**changes: Any) -> bytes:
    """One alert, with some keys changed; `...` leaves a key out."""
    record = {key: value for key, value in {**PLAIN, **changes}.items() if value is not ...}
    return json.dumps([record]).encode()


def subject(**changes: Any) -> dict[str, Any]:
    return {**PLAIN["subject"], **changes}


@given(st.lists(alerts_of_any_shape, max_size=4))
def test_what_goes_out_comes_in_the_same(alerts: list[Alert]) -> None:
    sent = json.dumps([outgoing.alert(alert, with_origin=True) for alert in alerts]).encode()
    assert [record.model() for record in incoming.alerts(sent)] == alerts


@given(alerts_of_any_shape)
def test_details_are_kept_as_text_and_read_back(alert: Alert) -> None:
    (record,) = incoming.alerts(json.dumps([outgoing.alert(alert)]).encode())
    text = record.details_text()
    assert (None if text is None else incoming.details(text)) == alert.subject.details


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_at_all_do_anything_but_be_refused(junk: bytes) -> None:
    with contextlib.suppress(Invalid):
        assert incoming.alerts(junk) == []


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2022-12-01T14:01:01Z", 0),
        ("2022-12-01T14:01:01.5Z", 500_000),
        ("2022-12-01T14:01:01.123456Z", 123_456),
        ("2022-12-01T14:01:01.123456789Z", 123_457),
        ("2022-12-01T16:01:01+02:00", 0),
        ("2022-12-01T08:31:01.000001-05:30", 1),
        ("2022-12-01t14:01:01z", 0),
        ("2022-12-01T14:01:01-00:00", 0),
    ],
)
def test_every_form_of_a_timestamp(text: str, us: int) -> None:
    """RFC 3339, section 5.6; Go writes up to nine digits of fraction."""
    (record,) = incoming.alerts(body(timestamp=text))
    at = datetime(2022, 12, 1, 14, 1, 1, us, tzinfo=UTC)
    assert record.model().at == at
    assert incoming.moment(record.at_us) == at


@given(times, st.integers(0, 9))
def test_a_time_is_exact_whatever_its_zone_and_digits(at: datetime, digits: int) -> None:
    """Beyond six digits of fraction it is rounded, before it the digits say all there is."""
    fraction = f"{at.microsecond:06d}000"[:digits]
    at = at.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    text = at.replace(microsecond=0).isoformat()
    text = text[:19] + ("." + fraction if fraction else "") + text[19:]
    (record,) = incoming.alerts(body(timestamp=text))
    assert record.at_us == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert incoming.moment(record.at_us) == at


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b"", "truncated"),
        (b"[", "truncated"),
        (b"{}", "Expected `array`"),
        (b"[1]", "$[0]"),
        (b"\xff", "malformed"),
        (b"[] x", "trailing"),
        (b'[{"x":' + b"[" * 100_000, "nested too deeply"),
        (body(name=...), "`name`"),
        (body(name=7), "$[0].name"),
        (body(name="x" * 5000), "$[0].name"),
        (body(level="FATAL"), "$[0].level"),
        (body(timestamp="yesterday"), "$[0].timestamp"),
        (body(timestamp="2022-12-01T14:01:01"), "timezone"),
        (body(timestamp="9999-12-31T23:59:59-05:00"), "$[0].timestamp"),
        (body(subject=None), "$[0].subject"),
        (body(subject={"name": "n", "type": "log"}), "`status`"),
        (body(subject=subject(details="text")), "$[0].subject.details"),
        (body(subject=subject(details={"line_matching": {"line_number": "1", "data": ""}})), "line_number"),
        (body(subject=subject(details={"lines_before": [{"line_number": 1}]})), "lines_before[0]"),
        (body(subject=subject(details={"lines_after": [{"line_number": 2**70, "data": ""}]})), "line_number"),
        (body(subject=subject(details={"lines_after": [{"line_number": 1, "data": ""}] * 1001})), "lines_after"),
        (body(origin={"id": "7"}), "$[0].origin.id"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(text: bytes, where: str) -> None:
    with pytest.raises(Invalid, match="the alerts are not valid: ") as caught:
        incoming.alerts(text)
    assert where in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        body(subject=subject(details=None)),
        body(subject=subject(details={"lines_before": None, "line_matching": None, "description": None})),
        body(subject=subject(status="", type="", name=""), name=""),
        body(origin=None, unknown={"deep": [[]]}),
        body(timestamp="0001-01-01T00:00:00Z"),
        body(level="CRITICAL_FLAPPING"),
    ],
)
def test_what_real_devices_send_is_taken(text: bytes) -> None:
    (record,) = incoming.alerts(text)
    assert record.model().subject.details in (None, Details())


def test_too_much_is_too_large() -> None:
    with pytest.raises(TooLarge, match="bytes"):
        incoming.alerts(b" " * (incoming.MAX_BODY + 1))
    short = json.dumps({**PLAIN, "name": ""}).encode()
    with pytest.raises(TooLarge, match="alerts in one body"):
        incoming.alerts(b"[" + b",".join([short] * (incoming.MAX_ALERTS + 1)) + b"]")


CHECKS = [
    ConfiguredCheck(
        name="results-scan.sh", kind="log", settings={"pattern": "a", "path": "/b", "expire_seconds": 172800}
    ),
    ConfiguredCheck(name="cron.sh", kind="service", settings={"name": "cron", "type": "systemd"}),
    ConfiguredCheck(name="x.sh", kind="mine", status="enabled"),
]


def test_a_configuration_comes_in_as_it_went_out() -> None:
    sent = json.dumps([outgoing.configured_check(check) for check in CHECKS])
    assert list(incoming.configuration(sent.encode())) == CHECKS


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{}", "Expected `array`"),
        ('[{"name": 1, "type": "log"}]', "`$[0].name`"),
        ('[{"name": "x"}]', "`$[0].type`"),
        ('[{"name": "x", "type": "status"}]', "cannot be a type"),
        ('[{"name": "x", "type": "log", "log": []}]', "`$[0].log`"),
        ('[{"name": "x", "type": "log", "log": {"path": []}}]', "`$[0].log.path`"),
        ('[{"name": "x", "type": "log", "log": {"n": 1.5}}]', "`$[0].log.n`"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_place(text: str, where: str) -> None:
    with pytest.raises(Invalid, match="the checks are not valid") as caught:
        incoming.configuration(text)
    assert where in str(caught.value)
