"""What a script puts into the store goes to the server at once: the daemon is told."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sandbox_device
from fake_server import ALERT, CONFIG, Asked, FakeServer, Reply
from real_device import Device, wait_until

LIBRARY = Path(__file__).parents[3] / "packaging" / "lib"


def test_an_alert_of_a_script_is_sent_by_the_daemon_that_rests(tmp_path: Path) -> None:
    device, server = Device(tmp_path), FakeServer()
    shutil.copytree(LIBRARY, device.paths.share)
    device.paths.mender_conf.parent.mkdir(parents=True)
    device.paths.mender_conf.write_text(f'{{"ServerURL": "{server.url}", "TenantToken": "x"}}')
    try:
        device.start()
        wait_until(lambda: server.to(CONFIG), "the first report")
        wait_until(lambda: _resting(device), "the uplink to rest")
        subprocess.run(
            ["sh", "-c", ". lib/monitor-lib.sh; monitor_send_alert CRITICAL Name details subject status type"],
            cwd=device.paths.share,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            check=True,
            timeout=60,
        )
        asked = wait_until(lambda: server.to(ALERT), f"the alert to arrive\n{device.log()}")
        assert asked[0].json[0]["name"] == "Name"
        assert device.stop() == 0
    finally:
        if device.process is not None:
            device.kill()
        server.close()


@pytest.mark.parametrize("ours", [True, False])
def test_a_record_that_is_no_alert_is_refused_alone(
    device: sandbox_device.Device, server: FakeServer, ours: bool
) -> None:
    """`fixlenstore_put` takes anything; the good ones around it arrive."""
    server.ours = ours
    taken: list[str] = []

    def answer(asked: Asked) -> Reply:
        if not all(isinstance(each, dict) for each in asked.json):
            return Reply(status=400, body=b'{"error": "no alert", "request_id": "1"}')
        taken.extend(each["name"] for each in asked.json)
        return Reply()

    server.on[ALERT] = answer
    device.owe("a")
    with device.store() as store, store.commit() as tx:
        tx.add_record("invalid json break here", sandbox_device.BOOT, 1.0, device.clock.now())
    device.owe("b")
    assert device.deliver() is None
    assert sorted(taken) == ["a", "b"]
    assert (device.counts().owed, device.counts().quarantined) == (0, 1)


def _resting(device: Device) -> bool:
    assert device.process is not None
    children = Path(f"/proc/{device.process.pid}/task/{device.process.pid}/children")
    return children.read_text() == ""
