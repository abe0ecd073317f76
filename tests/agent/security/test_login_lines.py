"""What is understood of each message, and what is not: every line of tests/corpus/security/logins/lines.log."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.security import login_lines

CORPUS = Path(__file__).parents[2] / "corpus/security/logins/lines.log"
WRITTEN = datetime(2026, 3, 25, tzinfo=UTC)


def samples() -> list[tuple[str, str]]:
    lines = CORPUS.read_text().splitlines()
    pairs = list(zip(lines[::2], lines[1::2], strict=True))
    assert all(said.startswith("#= ") for said, _ in pairs)
    return [(said.removeprefix("#= "), line) for said, line in pairs]


@pytest.mark.parametrize(("said", "line"), samples())
def test_each_line_says_what_stands_above_it(said: str, line: str) -> None:
    event = login_lines.parse(line.encode(), WRITTEN)
    if said.startswith("null "):
        assert event is None
        return
    expected = json.loads(said)
    expected.pop("why", None)
    assert event is not None
    assert {name: asdict(event)[name] for name in expected} == expected
    assert event.at is not None


def test_every_rule_has_a_sample() -> None:
    """A rule that no sample reaches may be wrong, and nobody would know."""
    used: set[str] = set()
    messages = [login_lines._LINE.fullmatch(line) for _, line in samples()]
    for found in filter(None, messages):
        program = found["program"].rpartition("/")[2]
        message = found["message"]
        if repeated := login_lines._REPEATED.fullmatch(message):
            message = repeated[2]
        for pattern, _ in login_lines._PROGRAMS.get(program, ()) + login_lines._ANY:
            if pattern.fullmatch(message):
                used.add(pattern.pattern)
                break
    rules = {pattern.pattern for each in (*login_lines._PROGRAMS.values(), login_lines._ANY) for pattern, _ in each}
    assert rules - used == set()


@given(st.binary(max_size=300))
def test_no_line_is_too_strange(line: bytes) -> None:
    login_lines.parse(b"Mar 24 15:26:03 gate sshd[1]: Failed password for " + line, WRITTEN)
    login_lines.parse(line, WRITTEN)


@given(st.text(alphabet=st.characters(blacklist_categories=("Cc", "Cs")), min_size=1, max_size=60))
def test_a_name_never_becomes_an_address(name: str) -> None:
    """Whoever guesses chooses the name, and sshd writes it into the message as it is."""
    line = f"Mar 24 15:26:03 gate sshd[1]: Failed password for invalid user {name} from 192.0.2.66 port 4 ssh2"
    event = login_lines.parse(line.encode(), WRITTEN)
    assert event is not None
    assert (event.sort, event.source) == ("failed", "192.0.2.66")
