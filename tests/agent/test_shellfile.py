"""Files of assignments: the same to us as to a real shell, or refused."""

import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.agent import shellfile
from vedette.agent.shellfile import Assignment, Refusal
from vedette.errors import Invalid

BASH = shutil.which("bash") or pytest.skip("no bash to compare with", allow_module_level=True)


def sourced(text: bytes, shell: str = BASH) -> list[tuple[bytes, bytes]] | None:
    """What a real shell makes of `. file`: the variables A, B, C that are set, or None when it complains."""
    script = b'. /dev/stdin || exit 9; for v in A B C; do eval "printf \'%s=%s\\\\0\' $v \\"\\${$v-unset:}\\""; done'
    environment = {"PATH": "/nonexistent", "LC_ALL": "C.UTF-8", "HOME": "/home/somebody"}
    done = subprocess.run(
        [shell, *(["--norc", "--noprofile"] if shell == BASH else []), "-c", os.fsdecode(script)],
        input=text, capture_output=True, env=environment, timeout=60,
    )  # fmt: skip
    if done.returncode or done.stderr:
        return None
    pairs = [tuple(each.split(b"=", 1)) for each in done.stdout.split(b"\0")[:-1]]
    return [(name, value) for name, value in pairs if value != b"unset:"]


def read(text: bytes) -> list[tuple[bytes, bytes]] | None:
    """What we make of it, in the same form; None when we refuse."""
    try:
        values = shellfile.parse(text.decode("utf-8", "surrogateescape"))
    except Invalid:
        return None
    return [(n.encode(), values[n].encode("utf-8", "surrogateescape")) for n in "ABC" if n in values]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=x", "x"),
        ("A=", ""),
        ("A='type=x'", "type=x"),
        ("A=type='x'", "type=x"),
        ("A=\"type='x'\"", "type='x'"),
        ("A=a\\ b", "a b"),
        ("A=\"a b\"'c d'e", "a bc de"),
        ('A="\\$ \\` \\" \\\\ \\n"', '$ ` " \\ \\n'),
        ("A='$HOME `id` \\'", "$HOME `id` \\"),
        ('A="ends in $"', "ends in $"),
        ('A="$|^"', "$|^"),
        ("A=$", "$"),
        ("A=a#b # comment", "a#b"),
        ('A="two\nlines"', "two\nlines"),
        ('A="one \\\nline"', "one line"),
        ("A=one\\\nword", "oneword"),
        ("  A=1;", "1"),
        ("A=1\nA=2", "2"),
        ("A={a,b}*?[x]", "{a,b}*?[x]"),
        ("A=a~b", "a~b"),
        ("A=1\r", "1\r"),
        ("A=é", "é"),
    ],
)
def test_what_is_meant(text: str, value: str) -> None:
    assert shellfile.parse(text) == {"A": value}
    assert sourced(text.encode()) == [(b"A", value.encode())]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A=$HOME", "expand $H"),
        ('A="$(id)"', "expand $("),
        ("A=`id`", "backquotes"),
        ("A=$'x'", "quotation"),
        ("A=~/x", "whole path"),
        ("A=x:~/x", "whole path"),
        ("A=(1 2)", "'('"),
        ("A=1 & B=2", "no assignment"),
        ("A=1&", "'&'"),
        ("A=1 reboot", "'reboot'"),
        ("reboot", "'reboot'"),
        ("reboot()", "'reboot()'"),
        ("export A=1", "'export'"),
        ("A+=1", "'A+=1'"),
        ("1A=1", "'1A=1'"),
        ('A="x', "never closed"),
        ("A='x", "never closed"),
        ("A=1;;", "semicolon"),
        ("A=\0", "NUL"),
        ('A="\0"', "NUL"),
        ("A='\0'", "NUL"),
        ("A=\\\0", "NUL"),
        ("A=$\\\nHOME", "expand"),
    ],
)
def test_what_needs_a_shell_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        shellfile.parse(f"\nB=2\n{text}\n", "log_x.sh")
    assert str(refused.value).startswith("log_x.sh, line 3 ")
    assert said in str(refused.value)


def test_a_backslash_at_the_very_end_quotes_nothing() -> None:
    """bash keeps it, dash drops it: no telling what was meant."""
    with pytest.raises(Invalid, match="line 1 ends in a backslash"):
        shellfile.parse("A=x\\")


def test_one_bad_line_costs_that_line_only() -> None:
    """For settings: everything readable around it is still read."""
    found = list(shellfile.scan("A=1\nB=2 reboot\nC='\n# ' \nD=4; E=5\n"))
    assert [each for each in found if isinstance(each, Assignment)] == [
        Assignment("A", "1", 1),
        Assignment("C", "\n# ", 3),
        Assignment("D", "4", 5),
        Assignment("E", "5", 5),
    ]
    assert [each.line for each in found if isinstance(each, Refusal)] == [2]


def test_an_open_quotation_does_not_swallow_what_follows_it() -> None:
    assert [type(each) for each in shellfile.scan('A="1\nB=2\nC=3')] == [Refusal, Assignment, Assignment]


def test_numbers_stay_bare_and_order_is_kept() -> None:
    assert shellfile.dump([("B", "x"), ("A", 5)]) == 'B="x"\nA=5\n'


# Whatever a shell argument can hold: any bytes but NUL, with the shell's own characters often.
ARGUMENTS = st.lists(
    st.one_of(st.sampled_from(list(b"\"'$`\\\n !#~;&|<>(){}*?=\r\t")), st.integers(1, 255)), max_size=40
).map(bytes)


@given(ARGUMENTS)
def test_an_argument_comes_back_as_it_was(argument: bytes) -> None:
    text = argument.decode("utf-8", "surrogateescape")
    assert shellfile.parse(shellfile.dump({"A": text, "B": 7})) == {"A": text, "B": "7"}


@settings(max_examples=60, deadline=None)
@given(st.lists(ARGUMENTS, min_size=3, max_size=3))
def test_a_real_shell_reads_what_we_write(arguments: list[bytes]) -> None:
    texts = [each.decode("utf-8", "surrogateescape") for each in arguments]
    written = shellfile.dump(dict(zip("ABC", texts, strict=True))).encode("utf-8", "surrogateescape")
    assert sourced(written) == list(zip((b"A", b"B", b"C"), arguments, strict=True))


WORDS = st.lists(st.sampled_from([*"ab1\"\"''$`\\\n\n ;#~:={}*&é\r/!"]), max_size=10).map("".join)
FILES = st.lists(st.tuples(st.sampled_from(["A=", "B=", "C=", " A="]), WORDS).map("".join), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(FILES)
def test_what_we_read_a_real_shell_reads_the_same(lines: list[str]) -> None:
    """What is written by hand: we may refuse what a shell takes, but never understand it differently."""
    text = "\n".join(lines).encode()
    ours = read(text)
    if ours is not None:
        assert ours == sourced(text)


def test_the_comparison_can_tell_a_shell_from_a_mistake() -> None:
    """So that the properties above mean something."""
    assert sourced(b"A=$HOME") == [(b"A", b"/home/somebody")]
    assert sourced(b"A='") is None
    assert sourced(b"frobnicate") is None


@given(st.lists(st.one_of(FILES, ARGUMENTS.map(lambda each: [shellfile.dump([("A", os.fsdecode(each))])])), max_size=4))
def test_the_short_way_means_the_same_as_the_long_one(parts: list[list[str]]) -> None:
    """What is read in one step per line is read as if it were taken character by character."""
    text = "\n".join(line for lines in parts for line in lines) + "\n"
    statements = list(shellfile.scan(text))
    usual = shellfile._usual(text)
    if usual is not None:
        assert usual == {each.name: each.value for each in statements if isinstance(each, Assignment)}
        assert not [each for each in statements if isinstance(each, Refusal)]


def test_what_we_write_goes_the_short_way() -> None:
    values = {"LOG_PATTERN": 'a\\.b "$HOME" `id` \\', "LOG_FILE": "/var/log/a b", "LOG_PATTERN_EXPIRATION": 60}
    text = "# made by somebody\n" + shellfile.dump(values)
    assert shellfile._usual(text) == {name: str(value) for name, value in values.items()}
