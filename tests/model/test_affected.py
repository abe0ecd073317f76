"""Whether a version is affected, event by event, and which one is the first that is not."""

import pytest

from vedette.model.affected import affects, fixed_in
from vedette.model.feed import Advisory


def advisory(*ranges: str, versions: tuple[str, ...] = (), semantic: bool = False) -> Advisory:
    """Ranges as "i0 f1.2": events by their first letter."""
    return Advisory(
        id="X",
        ranges=tuple((semantic, tuple((event[0], event[1:]) for event in each.split())) for each in ranges),
        versions=versions,
    )


@pytest.mark.parametrize(
    ("ranges", "affected", "not_affected"),
    [
        (("i0",), ["0~", "0", "1:9"], []),
        (("i0 f1.2-3",), ["1.2-3~deb12u1", "1.2-2"], ["1.2-3", "1.2-3+deb12u1", "1:0"]),
        (("i1.0 f2.0",), ["1.0", "1.9"], ["0.9", "1.0~rc1", "2.0"]),
        (("f2.0 i1.0",), ["1.0", "1.9"], ["0.9", "2.0"]),  # in whatever order they stand
        (("i0 l1.0",), ["1.0", "0.1"], ["1.0+1", "1.1"]),
        (("i0 f1.0 i2.0 f3.0",), ["0.5", "2.5"], ["1.5", "3.0"]),
        (("i0 f1.0", "i2.0 l2.5"), ["0.5", "2.5"], ["1.5", "2.6"]),
        (("i0 e1.0",), ["0.9"], ["1.0", "2.0"]),
        (("i0 e*",), ["99"], []),
        (("i0 e1.0 e2.0",), ["1.5"], ["2.0"]),
        (("f1.0",), [], ["0.5", "1.0"]),  # nothing was introduced
        (("i1.0 f1.0",), ["1.0", "2.0"], ["0.9"]),  # again at the version that fixed it
        ((), [], ["1.0"]),
    ],
)
def test_ranges(ranges: tuple[str, ...], affected: list[str], not_affected: list[str]) -> None:
    one = advisory(*ranges)
    assert [each for each in (*affected, *not_affected) if affects(one, each, "dpkg")] == affected


def test_what_is_listed_is_affected_though_no_range_holds_it_or_no_rule_is_known() -> None:
    one = advisory("i2.0", versions=("1.0",))
    assert [each for each in ("1.0", "1.00", "2.0") if affects(one, each, "dpkg")] == ["1.0", "2.0"]
    assert [each for each in ("1.0", "2.0") if affects(one, each, "")] == ["1.0"]


def test_semantic_ranges_are_compared_as_such_whatever_the_ecosystem() -> None:
    one = advisory("i0 f1.2.0", semantic=True)
    assert affects(one, "1.2.0-rc.1", "pep440")
    assert not affects(one, "1.2.0", "dpkg")


@pytest.mark.parametrize(
    ("ranges", "version", "fixed"),
    [
        (("i0 f1.2-3",), "1.0", "1.2-3"),
        (("i0 f1.0 i2.0 f3.0",), "0.5", "1.0"),
        (("i0 f1.0 i2.0 f3.0",), "2.5", "3.0"),
        (("i0 f1.0", "i2.0 f3.0"), "2.5", "3.0"),
        (("i0 f10 f9",), "1", "9"),
        (("i0 l1.0",), "0.5", ""),
        (("i0",), "0.5", ""),
    ],
)
def test_the_first_version_that_is_fixed(ranges: tuple[str, ...], version: str, fixed: str) -> None:
    assert fixed_in(advisory(*ranges), version, "dpkg") == fixed


def test_of_a_listed_version_any_later_fix_counts() -> None:
    one = advisory("i5 f6", "i7 f8", versions=("1",))
    assert fixed_in(one, "1", "dpkg") == "6"
