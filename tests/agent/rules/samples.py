"""Lines below tests/corpus/rules, each under what is to become of it: `#= true` or `#= false`, and why."""

from pathlib import Path

from vedette.agent.match import Pattern

CORPUS = Path(__file__).parents[2] / "corpus/rules"


def lines(path: Path) -> list[tuple[bool, str]]:
    text = path.read_text().splitlines()
    assert all(said.startswith(("#= true", "#= false")) for said in text[::2]), path
    return [(said.startswith("#= true"), line) for said, line in zip(text[::2], text[1::2], strict=True)]


def check(pattern: str, path: Path) -> None:
    """Does it match the lines that it should, and no others?"""
    compiled = Pattern.compile(pattern)
    wrong = [line for expected, line in lines(path) if compiled.matches(line.encode()) is not expected]
    assert not wrong
