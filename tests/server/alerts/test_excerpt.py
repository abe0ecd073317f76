"""The piece of a log, as it is shown and as it is kept."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from vedette.model import Alert, Details, Level, Line, Subject
from vedette.server.alerts import excerpt

LINES = st.builds(Line, st.integers(), st.text())
DETAILS = st.builds(
    Details,
    description=st.text(),
    lines_before=st.lists(LINES, max_size=4).map(tuple),
    line_matching=st.none() | LINES,
    lines_after=st.lists(LINES, max_size=4).map(tuple),
)


def alert(details: Details | None) -> Alert:
    return Alert(
        name="Log file contains x",
        level=Level.CRITICAL,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        subject=Subject(name="log_x", type="log", status="LOGCONTAINS", details=details),
    )


def test_text() -> None:
    details = Details(
        description="x present in /f",
        lines_before=(Line(9, "before"),),
        line_matching=Line(10, "an x"),
        lines_after=(Line(11, ""),),
    )
    assert excerpt.text(alert(details), "device-1") == (
        "CRITICAL: Log file contains x\n"
        "Device: device-1\n"
        "Time on device: 2026-01-01T00:00:00.000Z\n"
        "Subject: log_x (log), LOGCONTAINS\n"
        "Description: x present in /f\n"
        "\n"
        "   9  before\n"
        "> 10  an x\n"
        "  11  \n"
    )


def test_text_of_an_alert_without_details() -> None:
    assert excerpt.text(alert(None), "device-1").count("\n") == 4


@given(DETAILS)
def test_every_line_is_one_line(details: Details) -> None:
    """Nothing that a device puts into a line makes it look like two, and at most one is the matching one."""
    shown = excerpt.lines(details)
    assert len(shown) == len(details.lines_before) + len(details.lines_after) + (details.line_matching is not None)
    assert sum(each.matching for each in shown) == (details.line_matching is not None)
    head = 4 + bool(details.description) + bool(shown)
    assert excerpt.text(alert(details), "device-1").count("\n") == head + len(shown)
