"""What docs/cli.md and --help show is what can be typed, and all that can be typed is shown."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import EMAIL, PASSWORD, FakeDevice, RealServer
from typed import ALERT, ATTRIBUTES, MAC, Vedette, alert

from vedette.cli import COMMANDS, errors
from vedette.cli.command import Command
from vedette.cli.completion import script
from vedette.cli.main import parse, tree_of
from vedette.server.access import tenants

PAGE = Path(__file__).parents[2] / "docs/cli.md"


def commands() -> Iterator[tuple[str, Command]]:
    for name in COMMANDS:
        node = tree_of(name)[name]
        if isinstance(node, Command):
            yield name, node
        else:
            yield from ((f"{name} {action}", command) for action, command in node.items())


def examples() -> list[str]:
    return [line[4:] for line in PAGE.read_text().splitlines() if line.startswith("    ")]


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_examples_of_the_help_are_right(name: str, command: Command) -> None:
    assert command.examples
    for example in command.examples:
        typed = shlex.split(re.sub(r" < \S+$|^source <\((.*)\)$", r"\1", example))
        assert " ".join(typed).startswith(f"vedette {name}")
        assert parse(typed[1:]).command is command


def test_the_page_shows_every_command() -> None:
    shown = " ".join(PAGE.read_text().split())
    assert [name for name, _ in commands() if f"vedette {name}" not in shown] == []


def test_the_page_tells_every_exit_status() -> None:
    told = {int(found) for found in re.findall(r"(?m)^\| (\d+) \|", PAGE.read_text())}
    assert told == {value for name, value in vars(errors).items() if name.isupper()} | {130}


def test_every_example_of_the_page(
    vedette: Vedette, empty_server: RealServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the page, on a service provider with two devices; capitals are filled in."""
    ann, server = vedette, empty_server
    msp: Any = server.run(tenants.create_tenant(server.services, "msp", service_provider=True))
    server.add_user(EMAIL, tenant=msp.id)
    device = FakeDevice(server, {"mac": MAC}, tenant_token=msp.token)
    device.request()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    ann("login", server.url, "--email", EMAIL, stdin=PASSWORD)
    capitals = stage(work, ann, server, device, msp.token)
    ann("logout")
    for line in examples():
        for name, fill in capitals.items():
            if re.search(rf"(?<![-\w]){name}(?![-\w])", line):
                line = re.sub(rf"(?<![-\w]){name}(?![-\w])", fill() if callable(fill) else fill, line)
        line = line.replace("https://vedette.example.com", server.url)
        words = shlex.split(line)
        if words[0] == "source":
            continue  # the completion has a test of its own
        program, *typed = words
        assert program == "vedette"
        stdin, out = f"{PASSWORD}\n", None
        if typed[-2:-1] and typed[-2] in {"<", ">"}:  # all that the page wants of a shell
            *typed, sign, name = typed
            stdin, out = (Path(name).read_text(), None) if sign == "<" else (stdin, Path(name))
        done = vedette(*typed, stdin=stdin)
        assert done.status == 0, f"{line}\n{done.out}{done.err}"
        if out is not None:
            out.write_text(done.out)


def stage(work: Path, ann: Vedette, server: RealServer, device: FakeDevice, tenant_token: str) -> dict[str, Any]:
    """Files that the examples name, and what stands for the words in capitals."""
    (work / "device.pub").write_text(FakeDevice(server, {}).pem)
    (work / "settings.json").write_text('{"colour": "green"}')
    (work / "password-file").write_text(PASSWORD + "\n")
    (work / "search.json").write_text("{}")
    (work / "fleet").mkdir()
    (layer,) = re.findall(r"(?s)```yaml\n(.*?)```", PAGE.read_text())
    (work / "fleet/oslo.yaml").write_text(layer)
    other = FakeDevice(server, {"mac": "02:00:00:00:00:01"}, tenant_token=tenant_token)
    other.request()

    def the_alert() -> str:
        with device.client() as client:
            client.put(ATTRIBUTES, json=[{"name": "os", "value": "debian"}, {"name": "cpus", "value": 4}])
            client.post(ALERT, json=[alert()])
        found: str = ann("alerts", "list", "--device", MAC, "--json").json()[-1]["id"]
        return found

    def deployment() -> str:
        found: str = ann("deployments", "list", "--json").json()[0]["id"]
        return found

    def tried(status: str) -> str:
        """A deployment that the device has tried."""
        with device.client() as client:
            made: str = ann("config", "deploy", MAC, "--json").json()["deployment_id"]
            base, query = "/api/devices/v1/deployments/device/deployments", {"device_type": "x", "artifact_name": "y"}
            while (found := client.get(f"{base}/next", params=query).json()["id"]) != made:
                client.put(f"{base}/{found}/status", json={"status": "success"})
            message = {"timestamp": "2026-11-23T08:00:00Z", "level": "error", "message": "no such zone"}
            client.put(f"{base}/{made}/status", json={"status": status})
            client.put(f"{base}/{made}/log", json={"messages": [message]})
        return made

    def waiting() -> str:
        """A deployment for the next two lines to abort."""
        if ann("deployments", "show", deployment(), "--json").json()["status"] == "finished":
            ann("config", "deploy", MAC)
        return deployment()

    def key(mac: str) -> str:
        found: str = ann("devices", "show", mac, "--json").json()["auth_sets"][0]["id"]
        return found

    def tenant() -> str:
        found: str = ann("tenants", "list", "--json").json()[0]["id"]
        return found

    def rollout() -> str:
        found: str = ann("config", "rollouts", "--json").json()[0]["id"]
        return found

    entered: list[str] = []

    def the_tenant() -> str:
        if not entered:
            entered.append(tenant())
        return entered[0]

    return {
        "KEEP-OUT": "02:00:00:00:00:01",
        "ACCEPTED-KEY": lambda: key(MAC),
        "KEY": lambda: key("02:00:00:00:00:01"),
        "ALERT": the_alert,
        "DEPLOYMENT": waiting,
        "FAILED": lambda: tried("failure"),
        "DONE": lambda: tried("success"),
        "ROLLOUT": rollout,
        "TENANT": the_tenant,
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not on this machine")
def test_completion_offers_what_can_be_typed(tmp_path: Path) -> None:
    file = tmp_path / "completion"
    file.write_text(script())

    def offered(*words: str) -> list[str]:
        code = (
            'source "$1"; shift; COMP_WORDS=(vedette "$@"); COMP_CWORD=$#; _vedette;'
            ' ((${#COMPREPLY[@]} == 0)) || printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "--norc", "-eu", "-c", code, "bash", str(file), *words],
            capture_output=True, text=True, timeout=60, check=True, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split()

    assert set(COMMANDS) | {"server", "demo"} <= set(offered(""))
    assert offered("dev") == ["devices"]
    assert set(tree_of("devices")["devices"]) <= set(offered("devices", ""))  # type: ignore[arg-type]
    assert offered("devices", "list", "--st") == ["--status"]
    assert offered("devices", "list", "--status", "pending", "--js") == ["--json"]
    assert offered("completion", "b") == ["bash"]
    assert offered("devices", "nothing", "x") == []
    assert offered("devices", "$(touch owned)") == []
