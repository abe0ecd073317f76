"""docs/specification.md says which test holds which sentence: each row has one or a reason, and each test exists."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "specification.md"
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows() -> list[tuple[str, str]]:
    found = []
    for line in TABLE.read_text().splitlines():
        if line.startswith("| ") and not line.startswith(("| ---", "| sentence", "| lesson", "| promise")):
            sentence, held = line.strip("| ").split(" | ")
            found.append((sentence, held))
    return found


def test_each_sentence_has_a_test_or_a_reason() -> None:
    assert len(rows()) > 80
    assert not [sentence for sentence, held in rows() if not NAMED.search(held) and "reason: " not in held]


def test_each_test_that_is_named_exists() -> None:
    missing = []
    for _, held in rows():
        for file, name in NAMED.findall(held):
            path = TESTS / file
            there = path.exists() and any(
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and name == node.name
                for node in ast.walk(ast.parse(path.read_text()))
            )
            if not there:
                missing.append(f"{file}::{name}")
    assert not missing
