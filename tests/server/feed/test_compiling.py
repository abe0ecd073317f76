"""What a stream comes to: every advisory found again by its package, and little changed where little is new."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.errors import Invalid
from vedette.model.feed import (
    MAX_BLOCK,
    Advisory,
    Pack,
    bucket,
    digest,
    dump_block,
    expand,
    find,
    load,
    load_head,
    load_index,
    pack,
    prefix,
)
from vedette.server.feed.compiling import PART, Compiled, compiled
from vedette.server.feed.record import DEBIAN, OSV, Record

STREAM = "Debian:12"
ALL = (False, (("i", "0"),))

texts = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=12)
advisories = st.builds(
    Advisory,
    id=texts,
    aliases=st.lists(texts, max_size=3).map(tuple),
    level=st.integers(0, 4),
    published=st.sampled_from(["", "2026-01-31"]),
    summary=st.text(max_size=30),
    ranges=st.lists(
        st.tuples(
            st.booleans(), st.lists(st.tuples(st.sampled_from("ifle"), texts), min_size=1, max_size=3).map(tuple)
        ),
        max_size=2,
    ).map(tuple),
    versions=st.lists(texts, max_size=3).map(tuple),
)


def record(package: str, number: int, **changes: object) -> tuple[str, Record]:
    noise = hashlib.sha256(f"{package} {number}".encode()).hexdigest()  # so that it cannot be compressed to nothing
    made = {"id": f"CVE-2026-{number}", "ranges": (ALL,), "summary": noise} | changes
    return OSV, Record(str(made["id"]), "2026-01-01T00:00:00Z", STREAM, package, Advisory(**made))  # type: ignore[arg-type]


def compile_(records: list[tuple[str, Record]], before: int = 0) -> Compiled:
    return compiled(STREAM, records, "2026-02-01T00:00:00Z", before)


def opened(made: Compiled, blocks: dict[str, bytes] | None = None) -> Pack:
    content = b"".join(pack(made.head.dump(), made.index, made.blocks if blocks is None else blocks))
    return Pack(lambda offset, size: content[offset : offset + size])


def bytes_of(made: Compiled, hashes: set[str]) -> int:
    return sum(len(made.blocks[each]) for each in hashes)


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        texts.filter(lambda name: "\t" not in name), st.lists(advisories, min_size=1, max_size=4), max_size=5
    )
)
def test_what_goes_into_a_block_comes_out(packages: dict[str, list[Advisory]]) -> None:
    lines = expand(dump_block(packages))
    for name, expected in packages.items():
        assert find(lines, name) == expected
    assert find(lines, "no such package") == []


@settings(max_examples=30, deadline=None)
@given(advisories)
def test_an_advisory_survives(advisory: Advisory) -> None:
    assert load(advisory.dump()) == advisory


def test_every_advisory_is_found_by_its_package() -> None:
    made = compile_([record(f"p{number % 500}", number) for number in range(2000)])
    there = opened(made)
    assert (made.head.advisories, there.head) == (2000, made.head)
    for number in range(500):
        found = {each.id for each in there.find(f"p{number}")}
        assert found == {f"CVE-2026-{each}" for each in range(number, 2000, 500)}
    assert there.holds("unknown")
    assert list(there.find("unknown")) == []
    assert load_index(made.index) == there.entries
    assert digest(made.index) == made.head.index


def test_one_new_advisory_changes_one_block_and_the_index() -> None:
    records = [record(f"p{number % 900}", number) for number in range(5000)]
    first = compile_(records)
    second = compile_([*records, record("p7", 9999)], first.head.buckets)
    new = second.blocks.keys() - first.blocks.keys()
    assert len(new) == 2
    assert second.head.index in new
    assert bytes_of(second, new) * 20 < bytes_of(second, set(second.blocks))


def test_of_a_package_with_thousands_a_new_one_changes_one_block_of_many() -> None:
    records = [record("linux", number) for number in range(4000)]
    first = compile_(records)
    assert len(first.blocks) > 8
    assert max(map(len, first.blocks.values())) <= max(PART, len(first.index))
    assert {each.id for each in opened(first).find("linux")} == {f"CVE-2026-{number}" for number in range(4000)}
    second = compile_([*records, record("linux", 9999)], first.head.buckets)
    assert len(second.blocks.keys() - first.blocks.keys()) == 2


def test_the_number_of_buckets_stays_until_it_is_far_off() -> None:
    few = [record(f"p{number}", number) for number in range(300)]
    many = [record(f"p{number}", number) for number in range(6000)]
    small, large = compile_(few).head.buckets, compile_(many).head.buckets
    assert small < large
    assert compile_(few, small * 4).head.buckets == small * 4
    assert compile_(few, small * 8).head.buckets == small
    assert compile_(many, small).head.buckets == large


def test_the_order_of_what_comes_in_does_not_matter() -> None:
    records = [record(f"p{number % 50}", number) for number in range(500)]
    assert compile_(records) == compile_(records[::-1])


def test_a_block_that_is_not_there_is_known_to_be_missing() -> None:
    made = compile_([record(f"p{number % 500}", number) for number in range(2000)])
    wanted = bucket(prefix("p1"), made.head.buckets)
    some = {each.hash for each in load_index(made.index) if each.bucket == wanted}
    there = opened(made, {each: made.blocks[each] for each in some})
    assert there.holds("p1")
    assert len(list(there.find("p1"))) == 4
    assert not all(there.holds(f"p{number}") for number in range(500))
    assert {hash for hash, _ in there.blocks()} == some


def test_one_advisory_that_no_block_can_hold_is_refused() -> None:
    noise = tuple(hashlib.sha256(str(number).encode()).hexdigest() for number in range(MAX_BLOCK // 30))
    with pytest.raises(Invalid, match="too many advisories for one package: huge"):
        compile_([record("huge", 1, versions=noise)])


@pytest.mark.parametrize(
    "content", [b"", b"x", b"vedette feed 1 9 9\n", b"vedette feed 1 2 0\n{}", b"vedette feed 9 2 0\n{}"]
)
def test_what_is_no_pack_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        Pack(lambda offset, size: content[offset : offset + size])


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"format": 1}', b"\xff", b"[" * 4000])
def test_what_is_no_head_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid):
        load_head(text)


# --- one package -----------------------------------------------------------------------------------------------------


def of_package(*records: tuple[str, Record]) -> dict[str, Advisory]:
    return {each.id: each for each in opened(compile_(list(records))).find("a")}


def test_what_the_tracker_says_counts_before_what_others_made_of_it() -> None:
    fixed = (False, (("i", "0"), ("f", "1.0")))
    _, of_tracker = record("a", 1, ranges=(fixed,))
    found = of_package(record("a", 1, level=4), (DEBIAN, of_tracker), record("a", 2))
    assert found["CVE-2026-1"].ranges == (fixed,)
    assert found["CVE-2026-1"].level == 4  # which the tracker did not say
    assert found.keys() == {"CVE-2026-1", "CVE-2026-2"}


def test_several_documents_about_one_become_one() -> None:
    fixed = (False, (("i", "1"), ("f", "2")))
    found = of_package(
        record("a", 1, aliases=("GHSA-1",), level=2, published="2026-01-02"),
        record("a", 1, aliases=("PYSEC-1",), level=3, published="2026-01-01", ranges=(fixed,), versions=("7",)),
    )
    (one,) = found.values()
    assert (one.aliases, one.level, one.published) == (("GHSA-1", "PYSEC-1"), 3, "2026-01-01")
    assert (set(one.ranges), one.versions) == ({ALL, fixed}, ("7",))


def test_a_document_about_several_that_have_their_own_adds_nothing() -> None:
    together = record("a", 0, id="DSA-1", aliases=("CVE-2026-1", "CVE-2026-2"))
    assert of_package(together, record("a", 1), record("a", 2)).keys() == {"CVE-2026-1", "CVE-2026-2"}
    assert of_package(together, record("a", 1)).keys() == {"CVE-2026-1", "DSA-1"}
