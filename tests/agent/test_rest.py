"""What rests is what was read longest ago, and nothing of its place is lost."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vedette.agent.follow.position import Position
from vedette.agent.follow.rest import Awake, Rest

numbers = st.integers(0, 2**64 - 1)
checksums = st.integers(0, 2**32 - 1)


class Source:
    def __init__(self) -> None:
        self.rests = False

    def rest(self) -> None:
        self.rests = True


@given(
    st.integers(0, 2**31 - 1),
    st.builds(
        Position, path=st.just("/a"), device=numbers, inode=numbers, offset=numbers, line=numbers, head=checksums,
        tail=checksums, written_ns=st.integers(-(2**63), 2**63 - 1),
    ),
)  # fmt: skip
def test_a_place_is_packed_without_loss(fd: int, place: Position) -> None:
    rest = Rest.of(fd, place)
    assert rest.fd == fd
    assert rest.identity == (place.device, place.inode)
    assert rest.position("/b") == replace(place, path="/b")


def test_who_was_read_longest_ago_rests() -> None:
    awake = Awake(2)
    first, second, third, fourth = (Source() for _ in range(4))
    for each in (first, second, first, third):
        awake.note(each)
    assert [each.rests for each in (first, second, third)] == [False, True, False]
    awake.forget(first)
    awake.note(fourth)
    assert not third.rests


def test_the_same_keys_are_one_object() -> None:
    awake = Awake()
    assert awake.shared({"b", "a"}) is awake.shared({"a", "b"})
    assert awake.shared({"c"}) == ("c",)
