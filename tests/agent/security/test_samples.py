"""Every kind of security check comes with samples: what it must find, and what is near to it and must not be found."""

from pathlib import Path

import pytest

from vedette.agent import security
from vedette.agent.security import look, scans
from vedette.model.security import SECURITY

CORPUS = Path(__file__).parents[2] / "corpus/security"


def test_device_and_model_know_the_same_kinds() -> None:
    assert tuple(SECURITY) == security.KINDS


def test_the_daemon_knows_which_scanners_are_heavy() -> None:
    assert {kind for kind in SECURITY if getattr(look.scanner(kind), "heavy", False)} == scans.HEAVY


@pytest.mark.parametrize("kind", SECURITY)
def test_there_are_samples(kind: str) -> None:
    samples = [path for path in (CORPUS / kind).rglob("*") if path.is_file() and path.stat().st_size]
    assert len(samples) >= 2, f"{CORPUS / kind} has no samples"
