"""Engines for the daemon: at work at once, and faster as soon as a child has compiled their patterns.

The daemon itself never compiles for Hyperscan: that takes up to seconds and memory that it would never give back.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vedette.agent import log
from vedette.agent.host import Host
from vedette.agent.match import compiler, databases
from vedette.agent.match.engine import Engine
from vedette.agent.match.pattern import Pattern
from vedette.agent.match.plan import make

FEW: Final = 2
"""So many texts are found as quickly without Hyperscan, and without its memory."""
SAMPLE_BYTES: Final = 256 * 1024
MAX_TRIES: Final = 4
"""How often a search is planned anew because of what the log turned out to be."""


class Engines:
    """Makes engines, and looks after them. `directory` keeps what was compiled over restarts."""

    def __init__(self, host: Host, directory: Path) -> None:
        self._host, self._directory = host, directory
        self._tries: dict[Engine, int] = {}  # of those at work
        self._compiling: set[Engine] = set()
        self._requests = 0

    def make(self, patterns: Sequence[Pattern]) -> Engine:
        """An engine that can be used at once."""
        found = databases.load(self._directory, [each.text for each in patterns])
        engine = Engine(patterns, *found or ())  # to plan a search takes time, so first what was planned before
        self._tries[engine] = -1 if found is None else 0
        return engine

    def drop(self, engine: Engine) -> None:
        """It is not used any more."""
        self._tries.pop(engine, None)

    def tend(self, engine: Engine, block: bytes) -> None:
        """After each block that was searched: does this log ask for another search? Returns at once."""
        tries = self._tries.get(engine, MAX_TRIES)
        if tries >= MAX_TRIES or engine in self._compiling or (tries >= 0 and not engine.worn):
            return
        self._tries[engine] = tries + 1
        sample, avoid = block[:SAMPLE_BYTES], engine.worn
        if not self._wants_database(engine):
            if avoid:
                engine.use(make([each.text for each in engine.patterns], sample, avoid=avoid))
            return
        self._requests += 1
        request = self._directory / f"request-{self._requests}"
        try:
            compiler.write_request(request, [each.text for each in engine.patterns], sample, avoid)
            self._host.start_child(
                "patterns",
                ["-m", "vedette.agent.match.compiler", str(request)],
                _ignore,
                lambda code: self._done(engine),
            )
        except OSError as exc:
            log.debug(f"{len(engine.patterns)} patterns are not compiled: {exc}")
        else:
            self._compiling.add(engine)

    def _done(self, engine: Engine) -> None:
        self._compiling.discard(engine)
        if engine in self._tries and (found := databases.load(self._directory, [e.text for e in engine.patterns])):
            engine.use(*found)

    def _wants_database(self, engine: Engine) -> bool:
        texts = engine.plan.texts
        return (len(texts) > FEW or any(each.caseless for each in texts)) and databases.available()


def _ignore(output: bytes) -> None:
    """The compiler prints nothing that is wanted."""
