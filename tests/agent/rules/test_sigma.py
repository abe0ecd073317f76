"""Sigma rules, our own ones of tests/corpus/rules/sigma, become patterns that match the lines they mean."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.agent.match import Pattern
from vedette.agent.rules import logic, sigma, sigma_condition, sigma_value
from vedette.agent.rules.imported import Imported
from vedette.agent.rules.logic import Claim, Every, Found, Not
from vedette.errors import Invalid, NotFound, Unavailable

RULES = samples.CORPUS / "sigma"
HEAD = "title: A\nlogsource: {product: linux, service: syslog}\n"


def written(directory: Path, text: str, **more: Any) -> Imported:
    path = directory / "x.yml"
    path.write_text(text)
    (rule,) = sigma.load(path, exists=lambda path: True, **more)
    return rule


@pytest.mark.parametrize("path", sorted(RULES.glob("*.yml")), ids=lambda path: path.stem)
def test_each_rule_matches_what_it_should(path: Path) -> None:
    (rule,) = sigma.load(path, exists=lambda path: True)
    assert not rule.refused
    samples.check(rule.pattern, path.with_suffix(".log"))


def test_what_the_rules_are_told_to_be() -> None:
    rules = {each.name: each for each in sigma.load(RULES, exists=lambda path: path == "/var/log/auth.log")}
    assert {name: each.verdict for name, each in rules.items()} == {
        "audit": "approximated",
        "encoded": "exact",
        "keywords": "exact",
        "new-file": "approximated",
        "process": "approximated",
        "sudo": "approximated",
    }
    assert rules["keywords"].title == "The door lock is tampered with"
    assert rules["keywords"].origin == "sigma:5d1a8b1e-0000-4000-8000-000000000001"
    assert rules["sudo"].sources == ("/var/log/auth.log",)
    assert rules["keywords"].sources == ("@journalctl -f -n0",)  # it has no syslog
    assert [str(rules[name].level) for name in ("keywords", "process", "audit", "sudo")] == [
        "CRITICAL",
        "CRITICAL",
        "WARNING",
        "WARNING",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + "detection: {a: [x], condition: a | count() by user > 5}\n", "it counts ('count() by user > 5')"),
        (HEAD + "detection: {a: [x], condition: a | near b}\n", "it counts"),
        (HEAD + "detection: {a: [x], condition: b}\n", "names 'b', which is not there"),
        (HEAD + "detection: {a: [x], condition: a and}\n", "ends early"),
        (HEAD + "detection: {a: [x], condition: (a}\n", "not closed"),
        (HEAD + "detection: {a: [x], condition: a a}\n", "goes on with 'a'"),
        (HEAD + "detection: {a: [x], condition: 2 of a*}\n", "only 1 and all"),
        (HEAD + "detection: {a: [x], condition: 1 of b*}\n", "and there is none"),
        (HEAD + "detection: {a: [x]}\n", "no condition"),
        (HEAD + "detection: {a: {}, condition: a}\n", "empty"),
        (HEAD + "detection: {a: {f|gt: 5}, condition: a}\n", "the modifier gt (of f)"),
        (HEAD + "detection: {a: {f|fieldref: g}, condition: a}\n", "the modifier fieldref"),
        (HEAD + "detection: {a: {f|re: '('}, condition: a}\n", "no regular expression"),
        (HEAD + "detection: {a: {f|cidr: '2001:db8::/32'}, condition: a}\n", "IPv6"),
        (HEAD + "correlation: {type: event_count}\n", "it correlates several events"),
        (HEAD + "action: global\n", "of the old form"),
        ("title: A\n", "no logsource, or no detection"),
        ("- a\n", "no NAME: value"),
        ("title: A\nlogsource: {product: windows}\ndetection: {a: [x], condition: a}\n", "for windows"),
        (
            "title: A\nlogsource: {product: linux, category: network_connection}\ndetection: {a: [x], condition: a}\n",
            "network_connection is in no log",
        ),
        (
            "title: A\nlogsource: {product: linux, category: process_creation}\n"
            "detection: {a: {ParentImage: x}, condition: a}\n",
            "the field ParentImage",
        ),
        ("title: A\nlogsource: {product: linux, service: own}\ndetection: {a: [x], condition: a}\n", "give --log"),
        ("title: [\n", "no YAML in line 2"),
        ("a: &x [1]\nb: *x\n", "anchors and aliases"),
        ("a: 1\na: 2\n", "is there twice"),
        ("? [a]\n: b\n", "no text"),
        ("[" * 40 + "]" * 40, "levels in one another"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    rule = written(tmp_path, text)
    assert why in rule.refused


def test_a_log_that_is_given_is_where_the_events_are(tmp_path: Path) -> None:
    text = "title: A\nlogsource: {product: linux, service: own}\ndetection: {a: [x], condition: a}\n"
    assert written(tmp_path, text, log="/var/log/own").sources == ("/var/log/own",)
    assert "for windows" in written(tmp_path, text.replace("linux", "windows"), log="/var/log/own").refused


def test_several_rules_in_a_file_have_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    rule = HEAD + "detection: {a: [x], condition: a}\n"
    path.write_text(f"{rule}---\n{rule.replace('title: A', 'title: Something else!')}")
    assert [each.name for each in sigma.load(path)] == ["a", "something-else"]


def test_scalars_are_text_as_written(tmp_path: Path) -> None:
    rule = written(tmp_path, HEAD + "detection: {a: [yes, 0o17, 1.10, 2026-03-24], condition: a}\n")
    for text in (b"yes", b"0o17", b"1.10", b"2026-03-24"):
        assert Pattern.compile(rule.pattern).matches(text)
    assert not Pattern.compile(rule.pattern).matches(b"true 15 1.1")


def test_without_pyyaml_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(Unavailable, match=r"pip install vedette\[import\]"):
        list(sigma.load(RULES / "sudo.yml"))


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        list(sigma.load(tmp_path))


# --- what must hold whatever the rule is -----------------------------------------------------------------------------

WORDS = ("ab", "b", "ca")
CLAIMS = st.recursive(
    st.sampled_from([Found(each) for each in WORDS]),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(Every, st.lists(inner, min_size=1, max_size=3)),
        st.builds(logic.Any, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


def holds(claim: Claim, line: str) -> bool:
    if isinstance(claim, Found):
        return claim.regex in line
    if isinstance(claim, Not):
        return not holds(claim.item, line)
    results = [holds(each, line) for each in claim.items]
    return all(results) if isinstance(claim, Every) else any(results)


@settings(max_examples=300)
@given(CLAIMS, st.text(alphabet="abc", max_size=6))
def test_a_pattern_holds_where_its_logic_does(claim: Claim, line: str) -> None:
    assert Pattern.compile(logic.pattern(claim)).matches(line.encode()) is holds(claim, line)


@settings(max_examples=200)
@given(CLAIMS, st.text(alphabet="abc", max_size=6))
def test_a_condition_means_what_is_written(claim: Claim, line: str) -> None:
    names = {word: f"s_{index}" for index, word in enumerate(WORDS)}

    def write(claim: Claim) -> str:
        if isinstance(claim, Found):
            return names[claim.regex]
        if isinstance(claim, Not):
            return f"not ({write(claim.item)})"
        return "(" + (" and " if isinstance(claim, Every) else " or ").join(write(each) for each in claim.items) + ")"

    parsed = sigma_condition.parse(write(claim), {name: Found(word) for word, name in names.items()})
    assert holds(parsed, line) is holds(claim, line)


def test_not_binds_most_then_and_then_or() -> None:
    searches: dict[str, Claim] = {each: Found(each) for each in "abc"}
    parsed = sigma_condition.parse("a or not b AND c", searches)
    assert parsed == logic.Any([Found("a"), Every([Not(Found("b")), Found("c")])])


@given(st.text(alphabet="a*?\\b[.", max_size=8), st.text(alphabet="ab*?\\[.", max_size=6))
def test_wildcards_and_backslashes(text: str, line: str) -> None:
    """Against a plain reading of the rules for escaping, character by character."""
    value = sigma_value.parse(text)
    expected, rest = "", text
    while rest:
        if rest[0] == "\\" and rest[1:2] in ("*", "?", "\\") and len(rest) > 1:
            expected, rest = expected + re.escape(rest[1]), rest[2:]
            continue
        expected += {"*": ".*", "?": "."}.get(rest[0], re.escape(rest[0]))
        rest = rest[1:]
    assert Pattern.compile(rf"\A{value.write()}\z").matches(line.encode()) is bool(re.fullmatch(expected, line))


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.255.3.4", "110.1.1.1"),
        ("192.168.16.0/21", "192.168.23.255", "192.168.24.0"),
        ("198.51.100.7", "198.51.100.7", "198.51.100.77"),
        ("0.0.0.0/0", "8.8.8.8", "8.8.8"),
    ],
)
def test_networks(network: str, inside: str, outside: str) -> None:
    (value,) = sigma_value.modified(network, ["cidr"])
    pattern = Pattern.compile(value.write())
    assert pattern.matches(f"from {inside} port".encode())
    assert not pattern.matches(f"from {outside} port".encode())


def test_a_modifier_that_is_not_known_is_named() -> None:
    with pytest.raises(Invalid, match="the modifier utf16le"):
        sigma_value.modified("x", ["utf16le", "base64"])
