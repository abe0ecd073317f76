"""`make torture`: the fault campaigns with ever new seeds, until the time is over. Ends with 1 at the first failure.

usage: python tests/torture [MINUTES [FIRST_SEED]]
"""

import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import conftest  # noqa: F401  the paths of what is borrowed: first

# isort: split
import recorder
from crashes import Story, crash_everywhere, site

from vedette.agent import log

SHOW_S = 30.0
EXAMPLES = 50
"""Of each kind of life, for each story."""
KILLS = 20
"""Of a server, for each story."""
DEVICES, FILES = 10_000, 14_000
"""That return at once, and the files that the server may open for them."""
PATIENCE_S = 900
"""With a server that is killed as soon as it has answered anybody: on a busy machine some are long not heard."""


def main(arguments: list[str]) -> int:
    minutes = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().randrange(10**6)
    if not recorder.available():
        print("the SQLite of this Python cannot be listened to: no crash points", file=sys.stderr)
        return 1
    print(f"{minutes:g} minutes from seed {seed} on", flush=True)
    log.configure(level="FATAL")
    begun = shown = time.monotonic()
    end = begun + minutes * 60
    _everybody_returns()
    stories = crashes = lives = kills = 0
    while time.monotonic() < end:
        directory = Path(tempfile.mkdtemp(prefix="vedette-torture-"))
        try:
            with site(directory) as made:
                events = Story(made, seed, problems=3 + seed % 8).record()
                crashes += crash_everywhere(made, events, seed, lambda: time.monotonic() >= end)
            stories += 1
            lives += _lives(seed)
            kills += _killed_server(directory, seed)
        except BaseException as exc:
            if isinstance(exc, KeyboardInterrupt):
                shutil.rmtree(directory, ignore_errors=True)
                return 130
            traceback.print_exc()
            print(f"FAILED with seed {seed}; what was on the disk is in {directory}", file=sys.stderr)
            return 1
        shutil.rmtree(directory)
        seed += 1
        if time.monotonic() - shown > SHOW_S or time.monotonic() >= end:
            shown = time.monotonic()
            passed = f"{(shown - begun) / 60:5.1f} min"
            print(
                f"{passed}: {stories} stories cut off at {crashes} points, {lives} lives of logs, {kills} kills",
                flush=True,
            )
    print("nothing lost, nothing doubled")
    return 0


def _everybody_returns() -> None:
    """Ten thousand devices at once, each until it is answered; once, for it takes minutes."""
    from _pytest.outcomes import Skipped
    from test_fleet_returns import everybody_returns

    with tempfile.TemporaryDirectory(prefix="vedette-torture-") as directory:
        try:
            everybody_returns(Path(directory), DEVICES, FILES, PATIENCE_S)
        except Skipped as exc:
            print(f"not tried with {DEVICES} devices: {exc}", flush=True)


def _lives(seed: int) -> int:
    """The randomized lives of a log, of one whose lines belong together, and of a directory full of them."""
    from life_of_a_log import HardLife, live
    from life_of_events import EventfulLife
    from life_of_many import ManyLives

    machines = HardLife, EventfulLife, ManyLives
    for machine in machines:
        live(machine, examples=EXAMPLES, seed=seed)
    return EXAMPLES * len(machines)


def _killed_server(directory: Path, seed: int) -> int:
    """A fleet reports to a server that is killed again and again."""
    from test_killed_under_load import kills_under_load

    import fleet
    from vedette.server.settings import Settings

    fleet.DEADLINE_S = PATIENCE_S
    data = directory / "server"
    data.mkdir()
    kills_under_load(Settings(data=data), seed, KILLS)
    return KILLS


if __name__ == "__main__":
    os.environ.pop("JOURNAL_STREAM", None)
    sys.exit(main(sys.argv[1:]))
