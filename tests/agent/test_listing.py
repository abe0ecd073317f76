"""A directory is read once for all who look into it, and never taken for what it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_device import wait_until
from test_globs import Reader, append

from vedette.agent.follow import listing
from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.listing import Listing, Listings
from vedette.agent.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def listings(loop: Loop) -> Iterator[Listings]:
    inotify = Inotify(loop)
    yield inotify.listings
    inotify.close()


def names(found: list[Listing]) -> list[str]:
    return [name for each in found for name in each.beginning("")]


def test_it_is_read_again_only_when_it_has_changed(tmp_path: Path, listings: Listings) -> None:
    path = tmp_path / "a.log"
    path.touch()
    known = listings.beside(str(path))[0]

    def rests() -> bool:
        nonlocal known
        before, known = known, listings.beside(str(path))[0]
        return known is before

    wait_until(rests)
    for number in range(300):  # several within one tick of the kernel's clock
        (tmp_path / f"a.log.{number}").touch()
        (tmp_path / f"a.log.{number - 5}").unlink(missing_ok=True)
        found = listings.beside(str(path))
        assert sorted(names(found)) == sorted(each.name for each in tmp_path.iterdir())
        assert list(found[0].numbered(path.stat().st_ino)) == ["a.log"]
    wait_until(rests)
    (tmp_path / "a.log").rename(tmp_path / "b.log")
    tmp_path.rename(tmp_path.with_name("away"))
    assert not listings.beside(str(path))
    tmp_path.mkdir()
    assert not names(listings.beside(str(path)))


def test_beside_what_a_link_leads_to(tmp_path: Path, listings: Listings) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.log").touch()
    link = tmp_path / "link.log"
    link.symlink_to(tmp_path / "there" / "a.log")
    assert names(listings.beside(str(link))) == ["link.log", "there", "a.log"]


def test_nobody_asks_any_more(tmp_path: Path, loop: Loop, listings: Listings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "KEEP_S", 0.02)
    listings.beside(str(tmp_path / "a.log"))
    loop.call_later(0.2, loop.stop)
    loop.run()
    assert not listings._kept


def test_many_logs_of_one_directory_were_rotated_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took 48 s for 4,000 when each of them looked through all names."""
    logs = [tmp_path / f"{number:03}.log" for number in range(200)]
    for log in logs:
        append(log, "1\n")
    reader = Reader(f"{tmp_path}/*.log")
    reader.until(*["1"] * len(logs))
    places = reader.close()
    for log in logs:
        append(log, "2\n")
        log.rename(f"{log}.1")
        append(log, "3\n")
    made = 0

    class Counted(Listing):
        def __init__(self, directory: str) -> None:
            nonlocal made
            made += 1
            super().__init__(directory)

    monkeypatch.setattr(listing, "TICK_S", 0.0)
    monkeypatch.setattr(listing, "Listing", Counted)
    reader = Reader(f"{tmp_path}/*.log", places)
    reader.until(*["2", "3"] * len(logs))
    reader.close()
    assert made <= 3
