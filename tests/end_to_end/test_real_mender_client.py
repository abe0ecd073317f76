"""Debian's real `mender-client` and `mender-cli` against the real server: they must notice no difference."""

import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mender_device import DEVICE_TYPE, FIRST_ARTIFACT, MenderDevice, tool, why_not

from vedette.demo.stage import PROGRAMS, Stage, free_port
from vedette.demo.story import wait_until

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

EMAIL, PASSWORD = "ann@example.com", "correct horse battery"
DEVAUTH = "/api/management/v2/devauth/devices"
CONFIG = "/api/management/v1/deviceconfig/configurations/device"
DEPLOYMENTS = "/api/management/v1/deployments/deployments"
FILTER = 'if grep -q broken "$1"; then echo this cannot work >&2; exit 1; fi'


class Site:
    """A real server, an administrator, and devices."""

    def __init__(self, stage: Stage, path: Path, *, tls: bool = False) -> None:
        self._stage = stage
        self._path = path
        port = free_port(0)
        options = ["--listen", f"127.0.0.1:{port}", "--data", str(path / "data")]
        self.certificate = certificate(path) if tls else None
        if self.certificate is not None:
            options += ["--tls-cert", str(self.certificate), "--tls-key", str(path / "key.pem")]
        stage.start("vedette", "server", *options)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        trust = ssl.create_default_context(cafile=self.certificate) if self.certificate else False
        self.admin = httpx.Client(base_url=self.url, verify=trust, trust_env=False, timeout=20)
        stage.callback(self.admin.close)
        wait_until("the server answers", self._answers)
        stage.run(
            "vedette", "user", "create", EMAIL, "--tenant", "default", "--password-stdin", "--data",
            str(path / "data"), stdin=PASSWORD,
        )  # fmt: skip
        answer = self.admin.post("/api/management/v1/useradm/auth/login", auth=(EMAIL, PASSWORD))
        self.admin.headers["Authorization"] = f"Bearer {answer.text}"

    def _answers(self) -> bool:
        try:
            return self.admin.get("/alive").status_code == 204
        except httpx.TransportError:
            return False

    def device(self) -> MenderDevice:
        made = MenderDevice(self._path / "device", self.url, certificate=self.certificate)
        made.apply(FILTER)
        self._stage.callback(made.stop)
        return made

    def accept(self, status: str = "pending") -> str:
        """Let in whoever asks; his id."""
        found = wait_until("a device asks to be let in", lambda: self.waiting(status))
        self.decide(found["id"], "accepted", next(e["id"] for e in found["auth_sets"] if e["status"] == status))
        device_id: str = found["id"]
        return device_id

    def waiting(self, status: str) -> dict[str, Any] | None:
        devices = self.admin.get(DEVAUTH).json()
        return next((d for d in devices if any(each["status"] == status for each in d["auth_sets"])), None)

    def decide(self, device: str, status: str, auth: str | None = None) -> None:
        if auth is None:
            (auth,) = (each["id"] for each in self.admin.get(f"{DEVAUTH}/{device}").json()["auth_sets"])
        answer = self.admin.put(f"{DEVAUTH}/{device}/auth/{auth}/status", json={"status": status})
        assert answer.status_code == 204, answer.text

    def inventory(self, device: str) -> dict[str, Any]:
        found = self.admin.get(f"/api/management/v1/inventory/devices/{device}").json()
        return {each["name"]: each["value"] for each in found["attributes"] if each["scope"] == "inventory"}

    def deploy(self, device: str, values: dict[str, str], **options: Any) -> str:
        assert self.admin.put(f"{CONFIG}/{device}", json=values).status_code == 204
        answer = self.admin.post(f"{CONFIG}/{device}/deploy", json=options)
        assert answer.status_code == 200, answer.text
        made: str = answer.json()["deployment_id"]
        return made

    def status(self, deployment: str) -> str:
        (entry,) = self.admin.get(f"{DEPLOYMENTS}/{deployment}/devices").json()
        status: str = entry["status"]
        return status

    def ends(self, deployment: str, status: str) -> None:
        wait_until(f"the deployment ends with {status}", lambda: self.status(deployment) == status)
        assert self.admin.get(f"{DEPLOYMENTS}/{deployment}").json()["status"] == "finished"

    def reported(self, device: str, values: dict[str, str]) -> None:
        def same() -> bool:
            found: dict[str, Any] = self.admin.get(f"{CONFIG}/{device}").json()
            return bool(found["reported"] == values)

        wait_until(f"the device reports {values}", same)


def certificate(path: Path) -> Path:
    """One for 127.0.0.1, signed by itself; its key is beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (path / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (path / "cert.pem").write_bytes(made.public_bytes(pem))
    return path / "cert.pem"


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
    log = wait_until("the log arrives", lambda: _log(site, failed, device_id))
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


def _log(site: Site, deployment: str, device: str) -> str | None:
    answer = site.admin.get(f"{DEPLOYMENTS}/{deployment}/devices/{device}/log")
    return answer.text if answer.status_code == 200 else None


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
