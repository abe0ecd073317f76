"""The real daemon with many patterns on one log: found, compiled once, and nobody waits for a slow one."""

import random
from pathlib import Path

import pytest
from real_device import Device, wait_until

from vedette.agent.match import databases


def words(seed: int, count: int) -> list[str]:
    made = random.Random(seed)
    return ["".join(made.choices("abcdefghijklmnop", k=8)) for _ in range(count)]


@pytest.mark.skipif(not databases.available(), reason="Hyperscan is not installed")
def test_patterns_are_compiled_once_and_kept(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(f"a line with {word}\n" for word in words(1, 5000)))
    wanted = words(2, 20)
    for number, word in enumerate(wanted):
        device.check(f"c{number}", f"(?i)^new {word} \\d+$", log)
    device.start()
    directory = device.paths.state_dir / "patterns"
    compiled = wait_until(lambda: list(directory.glob("*.patterns")), f"a database\n{device.log()}")
    wait_until(lambda: not list(directory.glob("request*")), "the request to be done")
    with log.open("a") as file:
        file.writelines(f"NEW {word} {number}\n" for number, word in enumerate(wanted[:10]))
    device.wait_for(10)
    assert device.process is not None
    maps = Path(f"/proc/{device.process.pid}/maps")
    wait_until(lambda: "hyperscan" in maps.read_text(), "the database to be loaded")
    assert device.stop() == 0
    before = compiled[0].stat()
    device.start()
    with log.open("a") as file:
        file.writelines(f"new {word} {number}\n" for number, word in enumerate(wanted[10:]))
    assert len(device.wait_for(20)) == 20
    after = compiled[0].stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


@pytest.mark.skipif(not databases.available(), reason="Hyperscan is not installed")
def test_a_damaged_database_is_made_anew(device: Device, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.touch()
    for number, word in enumerate(words(3, 5)):
        device.check(f"c{number}", word, log)
    device.start()
    log.write_text("something\n")
    directory = device.paths.state_dir / "patterns"
    [compiled] = wait_until(lambda: list(directory.glob("*.patterns")), f"a database\n{device.log()}")
    device.stop()
    content = compiled.read_bytes()
    compiled.write_bytes(content[:-100] + bytes(100))
    device.start()
    with log.open("a") as file:
        file.write(words(3, 5)[4] + "\n")
    assert device.wait_for(1)[0]["subject"]["name"] == "log_c4"
    wait_until(lambda: compiled.read_bytes() == content, "the database to be whole again")


def test_a_pattern_that_never_ends_holds_up_nobody_and_loses_nothing(device: Device, tmp_path: Path) -> None:
    slow, quick = tmp_path / "slow.log", tmp_path / "quick.log"
    slow.write_text(("a" * 40 + "b\n") * 20_000)
    quick.touch()
    device.check("slow", r"(a+)+$", slow)
    device.check("other", "something else", slow)
    device.check("quick", "hit", quick)
    device.start()
    wait_until(lambda: "cannot be decided" in device.log(), "the slow one to be told of")
    quick.write_text("hit\n")
    device.wait_for(1, "quick")
    with slow.open("a") as file:
        file.write("something else\naaa\n")
    device.wait_for(1, "other")
    device.wait_for(1, "slow")
    assert device.alerts("slow")[0]["subject"]["details"]["line_matching"] == {"data": "aaa", "line_number": 20_002}
