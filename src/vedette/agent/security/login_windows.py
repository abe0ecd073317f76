"""How often something failed within a time, for many at once, in little memory."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

MAX_BYTES: Final = 20_000
"""Of all windows together, as JSON."""
MAX_NAMES: Final = 3
NAME_LENGTH: Final = 48


@dataclass(slots=True, kw_only=True)
class Window:
    """What failed lately for one source or user. Times are whole seconds since 1970."""

    times: list[int] = field(default_factory=list)  # the last ones, as many as are needed to judge
    total: int = 0  # since `began`
    began: int = 0
    names: list[str] = field(default_factory=list)  # some of who or where from
    others: bool = False  # there are more, or some that are not named

    @property
    def last(self) -> int:
        return self.times[-1] if self.times else 0


class Windows:
    """Those that are not over. `count` failures within `within_s` are too many."""

    def __init__(self, stored: object, *, count: int, within_s: int) -> None:
        self._count, self._within_s = count, within_s
        self._windows: dict[str, Window] = {}
        if isinstance(stored, dict):
            for key, fields in stored.items():
                try:
                    self._windows[str(key)] = Window(**fields)
                except TypeError:  # of another version
                    continue

    def add(self, key: str, at: int, times: int, name: str) -> Window:
        """It failed so often then; `name` is "" where it is not to be told."""
        window = self._windows.pop(key, None) or Window(began=at)
        if at - window.last >= self._within_s:
            window = Window(began=at)
        at = max(at, window.last)
        window.times = [each for each in window.times if each > at - self._within_s]
        window.times = (window.times + [at] * min(times, self._count))[-self._count :]
        window.total += times
        if not name:
            window.others = True
        elif name[:NAME_LENGTH] not in window.names:
            if len(window.names) < MAX_NAMES:
                window.names.append(name[:NAME_LENGTH])
            else:
                window.others = True
        self._windows[key] = window  # the last one that failed is last
        return window

    def forget(self, key: str, name: str) -> None:
        """What failed there counts elsewhere, if all of it has that name."""
        window = self._windows.get(key)
        if window is not None and window.names == [name[:NAME_LENGTH]] and not window.others:
            del self._windows[key]

    def is_full(self, key: str, at: int | None = None) -> bool:
        """Has it failed too often (until that time)?"""
        window = self._windows.get(key)
        if window is None or len(window.times) < self._count:
            return False
        return at is None or at - window.times[0] < self._within_s

    def dump(self) -> Mapping[str, Any]:
        """As JSON has it; the oldest are left out where there are too many."""
        newest = max((each.last for each in self._windows.values()), default=0)
        out: dict[str, Any] = {}
        left = MAX_BYTES
        for key, each in reversed(self._windows.items()):
            if newest - each.last >= self._within_s:
                continue
            left -= len(json.dumps({key: asdict(each)}))
            if left < 0:
                break
            out[key] = asdict(each)
        return dict(reversed(out.items()))
