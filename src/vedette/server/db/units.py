"""Units of work that wait for the one writer, and how a group of them shares a commit. The same for every dialect."""

import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vedette.server.db.core import Promise, Scope

MAX_WAITING: Final = 2048  # units of work; beyond it callers hear Busy and come back
MAX_GROUP: Final = 256  # units of work that share one commit

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Unit:
    """One caller that waits for the writer."""

    scope: Scope
    work: Callable[..., Coroutine[Any, Any, Any]]
    items: list[Any] | None  # of work for several together; None: a unit of its own
    done: Promise
    result: Any = None
    error: BaseException | None = None
    callbacks: list[Callable[[], None]] = field(default_factory=list)

    def answer(self) -> None:
        """Call back, and tell the caller, unless he went away. In the event loop."""
        for call in self.callbacks:
            try:
                call()
            except Exception:  # what is written is written; the others wait for their answers
                log.exception("a call after a commit has failed: this is a bug")
        if self.done.cancelled():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


def together(group: Iterable[Unit]) -> Iterable[list[Unit]]:
    """The units of a group, those that one call can serve in one list; in the order of the first of each."""
    lists: dict[object, list[Unit]] = {}
    for unit in group:
        key: object = unit if unit.items is None else (unit.scope, unit.work)
        lists.setdefault(key, []).append(unit)
    return lists.values()


def deal(units: Sequence[Unit], outcomes: Sequence[Any]) -> None:
    """Give each its own outcome."""
    for unit, outcome in zip(units, outcomes, strict=True):
        if isinstance(outcome, Exception):
            unit.error = outcome
        else:
            unit.result, unit.error = outcome, None
