"""The state of a check as the store keeps it: JSON. Older forms are read for ever."""

import json
from datetime import datetime

from vedette.agent.states import QUIET, Deadline, State, Verdict
from vedette.model import Details, Level, Subject


def dump(state: State) -> str | None:
    """A state as text; None: nothing has to be remembered."""
    if state == QUIET:
        return None
    table: dict[str, object] = {
        "raised": state.raised,
        "alert_name": state.alert_name,
        "subject": state.subject and [state.subject.name, state.subject.type, state.subject.status],
        "deadline": state.deadline and _dump_moment(state.deadline),
    }
    if state.changes:
        table["changes"] = [_dump_moment(each) for each in state.changes]
    if state.flapping is not None:
        verdict = state.flapping
        table["flapping"] = {
            "ok": verdict.ok,
            "name": verdict.name,
            "subject": [verdict.subject.name, verdict.subject.type, verdict.subject.status],
            "description": verdict.subject.details.description if verdict.subject.details else "",
            "level": verdict.level.value,
            "expires_s": verdict.expires_s,
            "flapping_name": verdict.flapping_name,
        }
    return json.dumps(table)


def load(body: str | None) -> State:
    """What `dump` made, as a state again."""
    if body is None:
        return QUIET
    table = json.loads(body)
    flapping = table.get("flapping")
    return State(
        raised=table.get("raised", True),
        alert_name=table["alert_name"],
        subject=table["subject"] and _subject(table["subject"]),
        deadline=table["deadline"] and _load_moment(table["deadline"]),
        changes=tuple(_load_moment(each) for each in table.get("changes", ())),
        flapping=flapping
        and Verdict(
            ok=flapping["ok"],
            name=flapping["name"],
            subject=_subject(flapping["subject"], flapping["description"]),
            level=Level(flapping["level"]),
            expires_s=flapping["expires_s"],
            flapping_name=flapping["flapping_name"],
        ),
    )


def _subject(fields: list[str], description: str = "") -> Subject:
    name, type_, status = fields
    return Subject(
        name=name, type=type_, status=status, details=Details(description=description) if description else None
    )


def _dump_moment(moment: Deadline) -> list[str | float]:
    span = [] if moment.span_s is None else [moment.span_s]
    return [moment.boot, moment.elapsed_s, moment.wall.isoformat(), *span]


def _load_moment(fields: list[str]) -> Deadline:
    boot, elapsed_s, wall, *span = fields
    return Deadline(
        boot=boot,
        elapsed_s=float(elapsed_s),
        wall=datetime.fromisoformat(wall),
        span_s=float(span[0]) if span else None,
    )
