"""From files with advisories on the server's machine to an alert about a package on a device, and back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_site import Site

from vedette.agent.paths import SCANNED_VARIABLE
from vedette.demo.stage import Stage
from vedette.demo.story import wait_until

FILLER = 3000
LATEST = "/api/management/v1/devicemonitor/devices/{}/alerts/latest"
CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage(print) as made:
        try:
            yield made
        finally:
            for log in sorted(made.path.glob("*.log")):  # shown where a test fails
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-8000:]}")


def advisory(number: int, package: str, fixed: str) -> dict[str, Any]:
    return {
        "id": f"DEBIAN-CVE-2026-{number}",
        "modified": "2026-03-01T00:00:00Z",
        "published": "2026-03-01T00:00:00Z",
        "upstream": [f"CVE-2026-{number}"],
        "summary": f"{package} reads past the end of what number {number} sends",
        "severity": [{"type": "CVSS_V3", "score": CRITICAL}],
        "affected": [
            {
                "package": {"ecosystem": "Debian:12", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
            }
        ],
    }


class Machine:
    """What the check looks at."""

    def __init__(self, root: Path) -> None:
        self.status = root / "var/lib/dpkg/status"
        self.status.parent.mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')

    def has(self, **packages: str) -> None:
        filler = {f"filler-{number}": "1.0-1" for number in range(200)}
        fresh = self.status.with_suffix(".new")
        fresh.write_text(
            "\n".join(
                f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n"
                for name, version in (filler | packages).items()
            )
        )
        fresh.replace(self.status)


def test_a_planted_advisory_raises_and_the_upgrade_calls_it_off(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned, root, files = tmp_path / "scanned", tmp_path / "device", tmp_path / "osv"
    machine = Machine(scanned)
    machine.has(openssl="3.0.11-1~deb12u2", bash="5.2-1")
    monkeypatch.setenv(SCANNED_VARIABLE, str(scanned))
    site = Site(stage, tmp_path)
    files.mkdir()
    for number in range(FILLER):
        name = f"filler-{number % 600}"
        (files / f"{number}.json").write_text(json.dumps(advisory(number, name, "0.9-1")))
    (files / "openssl.json").write_text(json.dumps(advisory(4000, "openssl", "3.0.11-1~deb12u3")))

    def feed(*arguments: str) -> Any:
        return json.loads(stage.run("vedette", "feed", *arguments, "--json", "--data", str(tmp_path / "data")))

    (first,) = feed("import", str(files))["streams"]
    assert first["advisories"] == FILLER + 1
    assert first["changed"] == first["blocks"] > 20

    conf = root / "etc/mender/mender.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(json.dumps({"ServerURL": site.url, "UpdatePollIntervalSeconds": 1}))
    for words in (["create", "cve", "all", "interval=5s", "severity=critical"], ["enable", "cve", "all"]):
        stage.run("mender-monitorctl", "--root", str(root), *words)
    stage.start("mender-monitord", "--root", str(root))
    device = site.accept()

    def open_now() -> list[str]:
        return sorted(each["subject"]["name"] for each in site.admin.get(LATEST.format(device)).json())

    wait_until("the advisory is found", lambda: open_now() == ["CVE-2026-4000 openssl"])
    (told,) = site.admin.get(LATEST.format(device)).json()
    assert told["name"] == "CVE-2026-4000 in openssl (critical)"
    said = told["subject"]["details"]["description"]
    for part in ("openssl 3.0.11-1~deb12u2 has CVE-2026-4000", "reads past the end", "Since: 2026-03-01",
                 "fixed in 3.0.11-1~deb12u3: apt-get install --only-upgrade openssl"):  # fmt: skip
        assert part in said

    machine.has(openssl="3.0.11-1~deb12u3", bash="5.2-1")
    wait_until("the upgrade calls it off", lambda: open_now() == [])

    # The next day: one more advisory. Devices fetch the index and what has changed of the blocks.
    (files / "bash.json").write_text(json.dumps(advisory(4001, "bash", "5.2-2")))
    (second,) = feed("import", str(files))["streams"]
    assert second["changed"] == 2
    assert second["fetched"] < second["size"] / 10
    machine.has(openssl="3.0.11-1~deb12u3", bash="5.2-1", new="1")  # what is newly wanted is fetched at once
    wait_until("what is new has come", lambda: open_now() == ["CVE-2026-4001 bash"])
    (source,) = feed("list")
    assert (source["name"], source["stream"], source["advisories"]) == ("osv", "Debian:12", FILLER + 2)
    (shown,) = site.admin.get("/api/management/v1/vedette/feed").json()
    assert (shown["stream"], shown["advisories"], shown["sources"][0]["name"]) == ("Debian:12", FILLER + 2, "osv")
