"""What a script puts into the store goes to the server at once: the daemon is told."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from fake_server import ALERT, CONFIG, FakeServer
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


def _resting(device: Device) -> bool:
    assert device.process is not None
    children = Path(f"/proc/{device.process.pid}/task/{device.process.pid}/children")
    return children.read_text() == ""
