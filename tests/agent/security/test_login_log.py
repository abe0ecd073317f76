"""What was appended to a log is read once, whatever happens to the file between two looks."""

import gzip
import os
import random
from pathlib import Path

import pytest

from vedette.agent.security import login_log
from vedette.agent.security.login_log import News, Places


def lines(news: News) -> list[str]:
    return b"".join(data for data, _ in news.parts).decode().splitlines()


def append(path: Path, *texts: str) -> None:
    with path.open("a") as file:
        file.writelines(text + "\n" for text in texts)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "auth.log"


def test_what_was_there_before_is_no_news(log: Path) -> None:
    append(log, "old")
    places = login_log.here(log)
    append(log, "new")
    news = login_log.news(log, places)
    assert lines(news) == ["new"]
    assert lines(login_log.news(log, news.places)) == []


def test_all_of_a_file_that_comes_later_is_news(log: Path) -> None:
    places = login_log.here(log)
    append(log, "first")
    assert lines(login_log.news(log, places)) == ["first"]


def test_a_line_that_has_not_ended_is_read_when_it_has(log: Path) -> None:
    places = login_log.here(log)
    log.write_text("whole\nha")
    news = login_log.news(log, places)
    assert lines(news) == ["whole"]
    with log.open("a") as file:
        file.write("lf\n")
    assert lines(login_log.news(log, news.places)) == ["half"]


def test_the_rest_of_a_rotated_file_comes_first_also_when_it_was_compressed(log: Path) -> None:
    append(log, "a" * 70)
    places = login_log.here(log)
    append(log, "b")
    log.rename(log.with_name("auth.log.1"))
    append(log, "c")
    with gzip.open(log.with_name("auth.log.2.gz"), "wb") as packed:
        packed.write(log.with_name("auth.log.1").read_bytes())
    os.utime(log.with_name("auth.log.2.gz"), ns=(0, log.with_name("auth.log.1").stat().st_mtime_ns))
    log.rename(log.with_name("auth.log.1"))
    append(log, "d")
    news = login_log.news(log, places)
    assert lines(news) == ["b", "c", "d"]
    assert not news.lost


def test_who_writes_on_into_the_rotated_file_is_heard(log: Path) -> None:
    append(log, "a")
    places = login_log.here(log)
    with log.open("a") as late:
        log.rename(log.with_name("auth.log.1"))
        append(log, "b")
        news = login_log.news(log, places)
        assert lines(news) == ["b"]
        late.write("late\n")
    news = login_log.news(log, news.places)
    assert lines(news) == ["late"]
    append(log, "c")
    assert lines(login_log.news(log, news.places)) == ["c"]


def test_copied_and_truncated(log: Path) -> None:
    append(log, "a" * 70, "b")
    places = login_log.here(log)
    append(log, "c")
    log.with_name("auth.log.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    append(log, "d")
    assert lines(login_log.news(log, places)) == ["c", "d"]


def test_an_empty_file_that_was_rotated_away(log: Path) -> None:
    log.touch()
    places = login_log.here(log)
    append(log, "a")
    log.rename(log.with_name("auth.log.1"))
    append(log, "b")
    assert lines(login_log.news(log, places)) == ["a", "b"]


def test_what_is_gone_is_told(log: Path) -> None:
    append(log, "a" * 70)
    places = login_log.here(log)
    log.unlink()
    append(log, "b")
    news = login_log.news(log, places)
    assert lines(news) == ["b"]
    assert "rotated or truncated" in news.lost


def test_a_damaged_archive_is_told(log: Path) -> None:
    append(log, *(f"{random.random()}" for _ in range(3000)))
    places = login_log.here(log)
    append(log, *(f"{random.random()}" for _ in range(3000)))
    packed = gzip.compress(log.read_bytes())
    log.with_name("auth.log.1.gz").write_bytes(packed[:-5000])
    log.unlink()
    append(log, "b")
    news = login_log.news(log, places)
    assert lines(news)[-1] == "b"
    assert "damaged" in news.lost


def test_a_file_that_is_not_there_just_now_costs_nothing(log: Path) -> None:
    append(log, "a" * 70)
    places = login_log.here(log)
    log.rename(log.with_name("auth.log.1"))
    news = login_log.news(log, places)
    append(log, "b")
    assert lines(news) == []
    assert lines(login_log.news(log, news.places)) == ["b"]


@pytest.mark.parametrize("seed", range(8))
def test_a_life_of_a_log_in_pieces(log: Path, seed: int) -> None:
    """Whatever comes in which order, each line is read once and in order, by looks of any size."""
    chance = random.Random(seed)
    written: list[str] = []
    read: list[str] = []
    log.touch()
    places: Places = login_log.here(log)
    for step in range(300):
        what = chance.random()
        if what < 0.5:
            new = [f"{step} {index} {'x' * chance.randrange(60)}" for index in range(chance.randrange(1, 6))]
            append(log, *new)
            written += new
        elif what < 0.6 and log.exists() and log.stat().st_size:
            for number in range(8, 0, -1):
                old = log.with_name(f"auth.log.{number}")
                if old.exists():
                    old.rename(log.with_name(f"auth.log.{number + 1}"))
            log.rename(log.with_name("auth.log.1"))
            if chance.random() < 0.5:
                log.touch()
        else:
            for _ in range(50):
                news = login_log.news(log, places, limit=chance.choice((100, 1000, 100_000)))
                places = news.places
                read += lines(news)
                assert not news.lost
                if not news.more or chance.random() < 0.2:
                    break
    while True:
        news = login_log.news(log, places)
        read += lines(news)
        places = news.places
        if not news.more:
            break
    assert read == written
