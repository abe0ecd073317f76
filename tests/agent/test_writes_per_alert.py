"""What an alert costs the flash of a board: the pages that its commit adds to the write-ahead log."""

from pathlib import Path

from real_device import Device

LINES = 30
NOTHING = "Nov 23 09:31:15 host app[4242]: request 7f3a served in 12 ms, nothing to be seen here\n"
MOST_BYTES = 16 * 1024
"""A body of 5 kB, the page of the alerts, those of the numbers, of the state and of the place."""


def test_an_alert_of_one_of_many_checks_writes_little(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text(NOTHING * LINES)
    device = Device(tmp_path)
    checks = 100
    for number in range(checks):
        device.check(f"c{number}", f"code {number} ", log)
    device.start()
    try:
        device.caught_up(log, f"c{checks - 1}")
        ahead = device.paths.store.with_name(device.paths.store.name + "-wal")
        grown = []
        for number in range(8):
            before = ahead.stat().st_size
            with log.open("a") as file:
                file.write(f"{NOTHING * LINES}code {number} \n")
            device.wait_for(number + 1)
            grown.append(ahead.stat().st_size - before)
    finally:
        device.stop()
    # All places are saved together now and then, in a commit of its own: most alerts must come without.
    assert sorted(grown)[len(grown) // 2] <= MOST_BYTES, grown
