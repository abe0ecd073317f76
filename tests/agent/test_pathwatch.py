"""Every change of what a path means is told, whatever was renamed, linked or removed; what is done beside it is not."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vedette.agent.follow.inotify import Inotify
from vedette.agent.follow.pathwatch import PathWatch
from vedette.agent.loop import Loop


class Watcher:
    """A path that is watched, as a source watches it: looked at anew whenever something is told."""

    def __init__(self, path: Path) -> None:
        self.loop = Loop()
        self.inotify = Inotify(self.loop)
        self.calls: list[bool] = []
        self.watch = PathWatch(self.inotify, str(path), self.calls.append)

    def told(self) -> list[bool]:
        """What was told since the last time; the kernel's queue is empty afterwards."""
        self.calls.clear()
        self.loop.call_later(0, self.loop.stop)
        self.loop.run()
        out = list(self.calls)
        self.watch.refresh()
        return out

    def close(self) -> None:
        self.watch.close()
        self.inotify.close()
        self.loop.close()


@pytest.fixture
def watcher() -> Iterator[Callable[[Path], Watcher]]:
    made: list[Watcher] = []

    def make(path: Path) -> Watcher:
        made.append(Watcher(path))
        return made[-1]

    yield make
    for each in made:
        each.close()


def meaning(path: Path) -> object:
    """What a reader would find; None: nothing, for whatever reason."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size


NAMES = ("a", "b", "a/c", "a/d", "b/c", "a/c/x", "a/c/y", "a/d/x", "b/c/x", "l", "a/l", "x", "y")
TARGETS = ("a", "b", "a/c", "c", "../b", "x", "c/x", "nowhere", "l", "../l")


def some_change(top: Path, dice: random.Random) -> None:
    """One thing that somebody might do; often it cannot be done, and then nothing happens."""
    one, other = top / dice.choice(NAMES), top / dice.choice(NAMES)
    what = dice.randrange(9)
    try:
        if what == 0:
            one.mkdir()
        elif what <= 2:
            one.rename(other)
        elif what == 3:
            one.unlink()
        elif what == 4:
            one.rmdir()
        elif what == 5:
            one.symlink_to(dice.choice(TARGETS))
        elif what == 6:
            link = top / "new-link"
            link.symlink_to(dice.choice(TARGETS))
            link.rename(one)
        elif what == 7:
            os.link(one, other)
        else:
            with one.open("ab") as file:
                file.write(b"line\n")
    except OSError:
        (top / "new-link").unlink(missing_ok=True)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["a/c/x", "x", "l", "a/l/x", "l/c/x"])
def test_no_change_is_missed(tmp_path: Path, watcher: Callable[[Path], Watcher], name: str, seed: int) -> None:
    dice = random.Random(f"{name} {seed}")
    it = watcher(tmp_path / name)
    before = meaning(tmp_path / name)
    for number in range(150):
        changes = dice.choice((1, 1, 1, 2, 5))
        for _ in range(changes):
            some_change(tmp_path, dice)
        told = it.told()
        after = meaning(tmp_path / name)
        if after != before:
            assert told, f"nothing was told of change {number}: from {before} to {after}"
        before = after


def test_content_is_told_as_such(tmp_path: Path, watcher: Callable[[Path], Watcher]) -> None:
    log = tmp_path / "log"
    log.touch()
    it = watcher(log)
    with log.open("ab") as file:
        file.write(b"line\n")
    assert it.told() == [True]


def test_a_renamed_file_is_told_of_while_it_is_held(tmp_path: Path, watcher: Callable[[Path], Watcher]) -> None:
    log = tmp_path / "log"
    log.touch()
    it = watcher(log)
    with log.open("ab", buffering=0) as file:
        it.watch.hold(file.fileno())
        log.rename(tmp_path / "log.1")
        assert it.told()
        file.write(b"line\n")
        assert True in it.told()
        it.watch.release(file.fileno())
        file.write(b"line\n")
        assert not it.told()


@pytest.mark.parametrize("missing", [False, True])
def test_what_is_done_beside_it_wakes_nobody(
    tmp_path: Path, watcher: Callable[[Path], Watcher], *, missing: bool
) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    log = directory / "log"
    if not missing:
        log.touch()
    it = watcher(log)
    fd = it.inotify._fd
    os.set_blocking(fd, False)
    for place in (tmp_path, directory) if not missing else (tmp_path,):
        (place / "other").write_text("much ado")
        (place / "other").rename(place / "another")
        (place / "another").unlink()
    with pytest.raises(BlockingIOError):  # the kernel itself has nothing to say
        os.read(fd, 4096)


def test_a_busy_directory_is_quiet_again_once_the_file_is_there(
    tmp_path: Path, watcher: Callable[[Path], Watcher]
) -> None:
    log = tmp_path / "log"
    it = watcher(log)
    log.touch()
    assert it.told()
    it.told()
    (tmp_path / "other").write_text("much ado")
    with pytest.raises(BlockingIOError):
        os.read(it.inotify._fd, 4096)


def test_files_of_one_directory_share_the_way(tmp_path: Path) -> None:
    loop = Loop()
    inotify = Inotify(loop)
    watches = [PathWatch(inotify, str(tmp_path / f"{number}.log"), lambda modified: None) for number in range(50)]
    assert len(inotify.ways) == 1
    for watch in watches:
        watch.close()
    assert not inotify.ways
    assert not inotify._wanted
    inotify.close()
    loop.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_permission_that_comes_back_is_told(tmp_path: Path, watcher: Callable[[Path], Watcher]) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    (directory / "log").touch()
    for place in (directory / "log", directory):
        place.chmod(0)
        it = watcher(directory / "log")
        place.chmod(0o700)
        assert it.told()
