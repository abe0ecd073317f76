"""Versions compare as those who numbered them say: asked of the real programs where they are installed."""

import random
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from vedette.model.versions import RULES, Rule, apk, dpkg, pep440, rpm, rule_of, semver

PAIRS = 2000


def sign(rule: Rule, one: str, other: str) -> int:
    return (rule(one) > rule(other)) - (rule(one) < rule(other))


def pairs(make: Callable[[random.Random], str], seed: int = 1) -> list[tuple[str, str]]:
    """Half of them differ by little."""
    chance = random.Random(seed)
    found = []
    for _ in range(PAIRS):
        one = make(chance)
        near = one + chance.choice(["0", "~", ".0", "+", "-0", "a", "~1"])
        found.append((one, near if chance.random() < 0.5 else make(chance)))
    return found


def of_debian(chance: random.Random) -> str:
    word = "".join(chance.choice("01290a~+.-bZ") for _ in range(chance.randint(0, 5)))
    epoch = chance.choice(["", "", "0:", "1:", "00:"])
    start = chance.choice(["0", "1", "1.0", "0.", "00", "1~", "1a"])
    return epoch + start + word + chance.choice(["", "-1", "-0", "-1~", "-1+b1", "-~", "-1ubuntu1~22.04"])


def of_rpm(chance: random.Random) -> str:
    parts = ["1", "2", "10", "01", ".", ".", "a", "b", "~", "^", "rc", "+", "_"]
    text = "".join(chance.choice(parts) for _ in range(chance.randint(1, 6)))
    return chance.choice(["", "1:"]) + text + chance.choice(["-1", "-1.el9", "-2", "-1~"])


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed")
def test_as_dpkg_compares(tmp_path: Path) -> None:
    """Of a pair it is asked whether the relation that we see holds."""
    valid = [pair for pair in pairs(of_debian) if not any(each.endswith("-") for each in pair)]
    wanted = [(one, {-1: "lt", 0: "eq", 1: "gt"}[sign(dpkg, one, other)], other) for one, other in valid]
    (tmp_path / "pairs").write_text("".join(f"{' '.join(each)}\n" for each in wanted))
    script = 'while read -r a op b; do dpkg --compare-versions "$a" "$op" "$b" || echo "$a $op $b"; done < pairs'
    said = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert said.stdout.splitlines() == []
    assert len(wanted) > PAIRS * 0.7
    assert len({relation for _, relation, _ in wanted}) == 3


@pytest.mark.skipif(shutil.which("rpm") is None, reason="rpm is not installed")
def test_as_rpm_compares(tmp_path: Path) -> None:
    cases = [(one, other) for one, other in pairs(of_rpm) if other.count("-") == 1 and not other.endswith("-")]
    (tmp_path / "pairs").write_text("".join(f"{one} {other}\n" for one, other in cases))
    script = (
        f'%{{lua: for line in io.lines("{tmp_path}/pairs") do local a, b = line:match("(%S+) (%S+)")'
        ' print(rpm.ver(a) < rpm.ver(b) and "-1 " or (rpm.ver(a) > rpm.ver(b) and "1 " or "0 ")) end }'
    )
    said = subprocess.run(["rpm", "--eval", script], capture_output=True, text=True, check=True, timeout=60)
    if "attempt to call" in said.stderr:
        pytest.skip("this rpm cannot compare versions in Lua")
    assert [int(each) for each in said.stdout.split()] == [sign(rpm, *case) for case in cases]


@pytest.mark.skipif(shutil.which("apk") is None, reason="apk is not installed")
def test_as_apk_compares() -> None:
    for one, other in pairwise(ORDERED[apk]):
        said = subprocess.run(["apk", "version", "-t", one, other], capture_output=True, text=True, check=True)
        assert said.stdout.strip() == "<", (one, other)


def test_as_packaging_compares() -> None:
    version = pytest.importorskip("packaging.version").Version

    def make(chance: random.Random) -> str:
        text = chance.choice(["", "", "", "1!"]) + ".".join(
            str(chance.randint(0, 3)) for _ in range(chance.randint(1, 4))
        )
        if chance.random() < 0.4:
            text += chance.choice(["a", "b", "rc", ".alpha", "-beta", "_c", "pre"]) + chance.choice(
                ["", "0", "1", ".2"]
            )
        if chance.random() < 0.3:
            text += chance.choice([".post", "-", "post", ".rev", "r"]) + str(chance.randint(0, 2))
        if chance.random() < 0.3:
            text += chance.choice([".dev", "dev", "-dev"]) + chance.choice(["", "0", "1"])
        return text + (chance.choice(["+1", "+a", "+1.a", "+a.1", "+10"]) if chance.random() < 0.2 else "")

    chance = random.Random(2)
    for _ in range(5000):
        one, other = make(chance), make(chance)
        real = (version(one) > version(other)) - (version(one) < version(other))
        assert sign(pep440, one, other) == real, (one, other)


# Each list from the oldest to the newest; what stands together is the same.
ORDERED: dict[Rule, list[str]] = {
    apk: [
        "1.2_alpha1", "1.2_beta", "1.2_pre2", "1.2_rc1", "1.2_rc1-r1", "1.2_rc2", "1.2", "1.2-r0", "1.2-r1", "1.2-r10",
        "1.2_git20240101", "1.2_p1", "1.2_p1-r1", "1.2_p2", "1.2a", "1.2b", "1.2.0", "1.2.0.1", "1.2.01", "1.2.1",
        "1.2.9", "1.2.10", "1.10", "2.0", "10.0",
    ],
    semver: [
        "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
        "1.0.0-rc.1", "1.0.0", "1.0.1", "1.1", "2", "10.0.0",
    ],
    rpm: ["1.0~rc1-1", "1.0~rc1-2", "1.0-1", "1.0^20240101-1", "1.0.a-1", "1.0.1-1", "1.0.10-1", "0:1.1-1", "1:0.1-1"],
    dpkg: ["1.0~~", "1.0~", "1.0", "1.0+b1", "1.0.1", "1.0.10", "1:0"],
}  # fmt: skip
SAME: list[tuple[Rule, str, str]] = [
    (apk, "1.2.3~0a1b2c3d-r1", "1.2.3-r1"),  # the commit does not count
    (semver, "1.2.0+build.5", "v1.2"),
    (rpm, "1.05-1", "1.5-1"),
    (dpkg, "1.0-0", "1.0"),
    (pep440, "1.0", "v1.0.0"),
]


@pytest.mark.parametrize("rule", ORDERED, ids=lambda rule: rule.__name__)
def test_the_order_is_the_documented_one(rule: Rule) -> None:
    versions = ORDERED[rule]
    for at, one in enumerate(versions):
        for other in versions[at + 1 :]:
            assert sign(rule, one, other) == -1, (one, other)
            assert sign(rule, other, one) == 1, (one, other)


@pytest.mark.parametrize(("rule", "one", "other"), SAME)
def test_what_is_the_same(rule: Rule, one: str, other: str) -> None:
    assert sign(rule, one, other) == 0


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("text", ["", ":", "-", "not a version", "1:", "::1", "é", "1.0 beta", "9" * 255, "\n", "²"])
def test_whatever_is_no_version_has_its_place(name: str, text: str) -> None:
    assert sign(RULES[name], text, text) == 0
    assert sign(RULES[name], text, "1.0") == -sign(RULES[name], "1.0", text)


def test_the_rule_of_an_ecosystem() -> None:
    assert [rule_of(each) for each in ("Debian", "Alpine", "Rocky Linux", "PyPI", "npm")] == [
        "dpkg", "apk", "rpm", "pep440", "",
    ]  # fmt: skip
