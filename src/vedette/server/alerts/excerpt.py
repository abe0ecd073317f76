"""The piece of a log that came with an alert, as lines to show and as text to keep. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from vedette.model import Alert, Details
from vedette.wire import outgoing


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of an excerpt."""

    number: int
    data: str
    matching: bool


def lines(details: Details) -> tuple[Shown, ...]:
    """The excerpt in the order of the log; empty when there is none."""
    before = [Shown(each.number, each.data, matching=False) for each in details.lines_before]
    match = details.line_matching
    middle = [Shown(match.number, match.data, matching=True)] if match is not None else []
    return (*before, *middle, *(Shown(each.number, each.data, matching=False) for each in details.lines_after))


def text(alert: Alert, device: str) -> str:
    """The alert as plain text: who, what and when, then the excerpt with ">" before the matching line."""
    return "\n".join(_text_lines(alert, device)) + "\n"


def _text_lines(alert: Alert, device: str) -> Iterator[str]:
    subject = alert.subject
    yield f"{alert.level}: {_one_line(alert.name)}"
    yield f"Device: {device}"
    yield f"Time on device: {outgoing.timestamp(alert.at)}"
    yield f"Subject: {_one_line(subject.name)} ({_one_line(subject.type)}), {_one_line(subject.status)}"
    details = subject.details or Details()
    if details.description:
        yield f"Description: {_one_line(details.description)}"
    shown = lines(details)
    if not shown:
        return
    yield ""
    width = max(len(str(each.number)) for each in shown)
    for each in shown:
        yield f"{'>' if each.matching else ' '} {each.number:>{width}}  {_one_line(each.data)}"


def _one_line(value: str) -> str:
    """A value that holds line breaks must not look like further lines of this text."""
    return value.replace("\r", "\\r").replace("\n", "\\n")
