"""Who wants to hear what has been announced. Used by the event loop's thread alone."""

from collections.abc import Callable, Sequence


class Hearing:
    """Callbacks by topic."""

    def __init__(self) -> None:
        self._calls: dict[str, list[Callable[..., None]]] = {}
        self._missed: list[Callable[[], None]] = []

    def add(self, topic: str, call: Callable[..., None], missed: Callable[[], None]) -> None:
        """See `core.Database.hear`."""
        self._calls.setdefault(topic, []).append(call)
        self._missed.append(missed)

    def tell(self, topic: str, words: Sequence[str | None]) -> None:
        """Somebody has announced this. A topic that nobody wants to hear is of a newer version: nothing happens."""
        for call in self._calls.get(topic, ()):
            call(*words)

    def miss(self) -> None:
        """Announcements may have been lost."""
        for call in self._missed:
            call()
