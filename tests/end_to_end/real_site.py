"""A real server with an administrator, and the devices that belong to it."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mender_device import MenderDevice

from vedette.demo.stage import Stage, free_port
from vedette.demo.story import wait_until

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

    def log(self, deployment: str, device: str) -> str | None:
        answer = self.admin.get(f"{DEPLOYMENTS}/{deployment}/devices/{device}/log")
        return answer.text if answer.status_code == 200 else None

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
