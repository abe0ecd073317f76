"""Debian's real `mender-client` and `mender-cli` against the real server: they must notice no difference."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mender_device import DEVICE_TYPE, FIRST_ARTIFACT, tool, why_not
from real_site import CONFIG, DEPLOYMENTS, DEVAUTH, EMAIL, FILTER, PASSWORD, Site

from vedette.demo.stage import PROGRAMS, Stage
from vedette.demo.story import wait_until

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(print) as made:
        yield made
    for log in (tmp_path / "device").glob("*log"):  # shown where a test fails
        print(f"--- {log.name}\n{log.read_text(errors='replace')[-8000:]}")


def test_what_fails_is_undone_and_told_and_what_is_called_off_stops(stage: Stage, tmp_path: Path) -> None:
    site = Site(stage, tmp_path)
    device = site.device()
    device.start()
    device_id = site.accept()
    site.ends(site.deploy(device_id, {"mode": "good"}), "success")
    site.reported(device_id, {"mode": "good"})

    failed = site.deploy(device_id, {"mode": "broken"})
    site.ends(failed, "failure")
    log = wait_until("the log arrives", lambda: site.log(failed, device_id))
    assert "this cannot work" in log
    assert device.configuration == {"mode": "good"}
    site.reported(device_id, {"mode": "good"})

    # A device that has failed gets it again, as often as was wished, and here it works the second time.
    device.apply(f'if ! [ -e {tmp_path}/once ] && grep -q again "$1"; then touch {tmp_path}/once; exit 1; fi')
    again = site.deploy(device_id, {"mode": "again"}, retries=1)
    site.ends(again, "success")
    (entry,) = site.admin.get(f"{DEPLOYMENTS}/{again}/devices").json()
    assert entry["attempts"] == 1
    assert device.configuration == {"mode": "again"}

    # While the device is at work, the deployment is aborted.
    device.apply(f'touch {tmp_path}/begun; while grep -q slow "$1" && ! [ -e {tmp_path}/go ]; do sleep 0.05; done')
    called_off = site.deploy(device_id, {"mode": "slow"})
    wait_until("the device is at it", (tmp_path / "begun").exists)
    answer = site.admin.put(f"{DEPLOYMENTS}/{called_off}/status", json={"status": "aborted"})
    assert answer.status_code == 204
    (tmp_path / "go").touch()
    wait_until("the device puts back what was", lambda: device.configuration == {"mode": "again"})
    site.ends(called_off, "aborted")
    # And while it waits, as it was told to.
    device.apply(FILTER)
    pause = {"priority": 1, "states": {"ArtifactInstall_Enter": {"action": "pause"}}}
    paused = site.deploy(device_id, {"mode": "paused"}, update_control_map=pause)
    wait_until("the device waits", lambda: site.status(paused) == "pause_before_installing")
    assert site.admin.put(f"{DEPLOYMENTS}/{paused}/status", json={"status": "aborted"}).status_code == 204

    site.ends(site.deploy(device_id, {"mode": "after"}), "success")
    assert site.status(called_off) == "aborted"
    site.reported(device_id, {"mode": "after"})


def test_from_the_first_request_on_and_let_in_again_and_again(stage: Stage, tmp_path: Path) -> None:
    """Over https, with a certificate that the device was given; the other tests speak http."""
    site = Site(stage, tmp_path, tls=True)
    device = site.device()
    device.start()
    device_id = site.accept()
    wait_until("the inventory arrives", lambda: site.inventory(device_id))
    shown = site.inventory(device_id)
    assert (shown["device_type"], shown["artifact_name"]) == (DEVICE_TYPE, FIRST_ARTIFACT)
    assert shown["mender_client_version"].startswith("3.4.0")
    wanted = {"timezone": "Europe/Oslo", "greeting": 'æ "quoted" & <more>'}
    made = site.deploy(device_id, wanted)
    site.ends(made, "success")
    assert device.configuration == wanted
    site.reported(device_id, wanted)
    told = {"artifact_name", "data-partition.mender-configure.version"}

    def version() -> bool:
        return {site.inventory(device_id).get(each) for each in told} == {f"configuration-{made}"}

    wait_until("it says what it has", version)

    site.decide(device_id, "rejected")
    waiting = site.deploy(device_id, {"mode": "2"})
    refused = device.log.count("Failed to authorize")
    wait_until("the device is refused", lambda: device.log.count("Failed to authorize") >= refused + 2)
    assert site.status(waiting) == "pending"
    site.decide(device_id, "accepted")
    site.ends(waiting, "success")

    device.stop()
    device.new_key()
    device.start()
    assert site.accept() == device_id, "the same device with another key"
    statuses = sorted(each["status"] for each in site.admin.get(f"{DEVAUTH}/{device_id}").json()["auth_sets"])
    assert statuses == ["accepted", "rejected"]
    site.ends(site.deploy(device_id, {"mode": "3"}), "success")

    assert site.admin.delete(f"{DEVAUTH}/{device_id}").status_code == 204
    anew = site.accept()
    assert anew != device_id
    assert site.admin.get(f"{CONFIG}/{anew}").json()["configured"] == {}
    site.ends(site.deploy(anew, {"mode": "4"}), "success")
    site.reported(anew, {"mode": "4"})


def test_our_agent_lives_beside_it_with_its_token(stage: Stage, tmp_path: Path) -> None:
    site = Site(stage, tmp_path)
    device = site.device()
    root, watched = tmp_path / "monitor", tmp_path / "watched.log"
    watched.touch()
    for words in (["create", "log", "oops", "OOPS", str(watched)], ["enable", "log", "oops"]):
        stage.run("mender-monitorctl", "--root", str(root), *words)
    # Below its own root, the agent looks for the client's file there too.
    (root / "etc/mender").mkdir(parents=True)
    shutil.copy(tmp_path / "device/etc/mender/mender.conf", root / "etc/mender")
    device.run_beside(sys.executable, *PROGRAMS["mender-monitord"], "--root", root)
    device.start()
    device_id = site.accept()
    checks = f"/api/management/v1/devicemonitor/devices/{device_id}/config"
    wait_until("the agent reports its check", lambda: site.admin.get(checks).json())
    with watched.open("a") as file:
        file.write("an OOPS of today\n")
    latest = f"/api/management/v1/devicemonitor/devices/{device_id}/alerts/latest"
    (alert,) = wait_until("the alert arrives", lambda: site.admin.get(latest).json())
    assert alert["subject"]["details"]["line_matching"]["data"] == "an OOPS of today"
    (only,) = site.admin.get(DEVAUTH).json()
    assert len(only["auth_sets"]) == 1, "the agent has no key of its own: it is the same device"


@pytest.mark.skipif(tool("mender-cli", "mender-cli") is None, reason="Debian's mender-cli is not here")
def test_mender_cli_logs_in_and_lists_devices(stage: Stage, tmp_path: Path) -> None:
    site = Site(stage, tmp_path, tls=True)
    program = str(tool("mender-cli", "mender-cli"))

    def cli(*words: str) -> str:
        done = subprocess.run(
            [program, "--server", site.url, "--skip-verify", *words],
            env={"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    identity = {"identity_data": {"mac": "52:54:00:00:00:09"}, "pubkey": _public_key()}
    assert site.admin.post(DEVAUTH, json=identity).status_code == 201
    cli("login", "--username", EMAIL, "--password", PASSWORD)
    listed = cli("devices", "list")
    (known,) = site.admin.get(DEVAUTH).json()
    assert known["id"] in listed
    assert "preauthorized" in listed


def _public_key() -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(serialization.Encoding.PEM, form).decode()
