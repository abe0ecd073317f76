"""The two examples of the mission, played and checked step by step."""

import json
import os
import secrets
import shlex
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

from vedette.clock import SystemClock
from vedette.demo.api import Api
from vedette.demo.mailbox import Mailbox
from vedette.demo.stage import Stage, Supervised, free_port
from vedette.errors import Unavailable

EMAIL: Final = "you@example.com"
PATIENCE_S: Final = 60
LOOK_EVERY_S: Final = 0.2
FILE_CHECK: Final = "results-scan"
COMMAND_CHECK: Final = "pid-change"

PID_CHANGE: Final = """#!/bin/sh
# Prints a line whenever the process named in a pid file is another one than before.
file={pid_file}
known=$(cat "$file")
while sleep 0.2; do
    now=$(cat "$file")
    [ "$now" = "$known" ] || echo "PID changed: worker was $known, is $now"
    known=$now
done
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything is up, the device is accepted."""

    stage: Stage
    api: Api
    mailbox: Mailbox
    url: str
    password: str
    root: Path
    device: str
    server: Supervised
    agent: Supervised
    scan_file: Path
    worker: "Worker"
    expiry_s: int


class Worker:
    """The process whose PID is watched: a plain `sleep` that can be restarted."""

    def __init__(self, pid_file: Path) -> None:
        self._pid_file = pid_file
        self._process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sleep", "86400"], start_new_session=True)  # noqa: S607
        fresh = self._pid_file.with_suffix(".new")
        fresh.write_text(f"{process.pid}\n")
        fresh.replace(self._pid_file)  # never seen half-written
        return process

    @property
    def pid(self) -> int:
        return self._process.pid

    def restart(self) -> None:
        self.stop()
        self._process = self._spawn()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def wait_until(what: str, met: Callable[[], Any], *, timeout_s: float = PATIENCE_S) -> Any:
    """The first true answer of `met`.

    Raises:
        Unavailable: it did not come in time.
    """
    clock = SystemClock()
    deadline = clock.elapsed() + timeout_s
    pause = threading.Event()
    while clock.elapsed() < deadline:
        if found := met():
            return found
        pause.wait(LOOK_EVERY_S)
    raise Unavailable(f"waited {timeout_s:g} s in vain: {what}")


def set_up(
    stage: Stage, *, port: int, expiry_s: int, on_mail: Callable[[EmailMessage], None], poll_s: int | None = 5
) -> Scene:
    """Start mailbox, server and agent; make tenant, user and checks; accept the device.

    `poll_s`: how often it asks for a configuration; None: as devices do by themselves.
    """
    mailbox = Mailbox(stage.path / "mail", on_mail)
    smtp = mailbox.start()
    stage.callback(mailbox.stop)

    port = free_port(port)
    url = f"http://127.0.0.1:{port}"
    data = stage.path / "server"
    password = secrets.token_urlsafe(9)
    server = stage.start(
        "vedette", "server", "--listen", f"127.0.0.1:{port}", "--data", str(data), "--public-url", url,
        "--smtp", smtp, "--mail-from", "vedette@example.com",
    )  # fmt: skip
    api = Api(url)
    wait_until(f"the server answers on {url} (see {stage.path}/vedette.log)", api.alive)
    tenant = json.loads(stage.run("vedette", "tenant", "create", "demo", "--json", "--data", str(data)))
    stage.run(
        "vedette", "user", "create", EMAIL, "--tenant", "demo", "--password-stdin", "--data", str(data), stdin=password
    )
    api.login(EMAIL, password)
    stage.say(f"server    {url}, storage in {data}")

    root = stage.path / "device"
    conf = root / "etc/mender/mender.conf"
    conf.parent.mkdir(parents=True)
    # Whoever changes the device's configuration on the pages is not to wait for ten minutes.
    told = {"ServerURL": url, "TenantToken": tenant["tenant_token"]}
    if poll_s is not None:
        told["UpdatePollIntervalSeconds"] = poll_s
    conf.write_text(json.dumps(told))
    scan_file = stage.path / "results-scan"
    worker = Worker(stage.path / "worker.pid")
    stage.callback(worker.stop)
    script = stage.path / "bin/pid-change"
    script.parent.mkdir()
    script.write_text(PID_CHANGE.format(pid_file=shlex.quote(str(stage.path / "worker.pid"))))
    script.chmod(0o755)
    checks = ((FILE_CHECK, "CVE.*HIGH", str(scan_file)), (COMMAND_CHECK, "PID changed", f"@{script}"))
    for check, pattern, source in checks:
        words = ["create", "log", check, pattern, source, f"{expiry_s}s"]
        stage.run("mender-monitorctl", "--root", str(root), *words)
        stage.run("mender-monitorctl", "--root", str(root), "enable", "log", check)
        stage.say(f"check     mender-monitorctl {shlex.join(words)}; mender-monitorctl enable log {check}")
    agent = stage.start("mender-monitord", "--root", str(root))
    found = wait_until("the device asks to be accepted", api.devices)[0]
    stage.say(f"device    {found['id']} asks to be let in ({_identity(found)}); accepting it")
    api.accept(found["id"], found["auth_sets"][0]["id"])
    wait_until("the device reports its checks", lambda: len(api.configured(found["id"])) == len(checks))
    stage.say("device    is in, and has told which checks it runs")
    return Scene(
        stage=stage, api=api, mailbox=mailbox, url=url, password=password, root=root, device=found["id"],
        server=server, agent=agent, scan_file=scan_file, worker=worker, expiry_s=expiry_s,
    )  # fmt: skip


def _identity(device: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in device["identity_data"].items())


def line_in_a_file(scene: Scene) -> None:
    """First example: a scanner writes its finding into a file."""
    line = "CVE-2026-4242 openssl 3.0.11 HIGH: remote code execution"
    scene.stage.say(f'file      a scanner writes "{line}" into {scene.scan_file}')
    with scene.scan_file.open("a") as file:
        file.write(f"scan started\n{line}\nscan ended\n")
        file.flush()
        os.fsync(file.fileno())


def line_from_a_command(scene: Scene) -> None:
    """Second example: a command prints a line, because a process was restarted."""
    before = scene.worker.pid
    scene.worker.restart()
    scene.stage.say(
        f"command   the worker is restarted (process {before} -> {scene.worker.pid}); pid-change prints a line"
    )


def play_once(scene: Scene) -> None:
    """Both examples there and back: raised, stored, marked, mailed, called off, mailed again, nothing twice.

    Raises:
        Unavailable: a step did not hold.
    """
    api, device, say = scene.api, scene.device, scene.stage.say
    for play, check in ((line_in_a_file, FILE_CHECK), (line_from_a_command, COMMAND_CHECK)):
        subject = f"log_{check}"
        play(scene)
        found = wait_until(f"the alert of {subject} is open at the server", lambda: _open(api, device, subject))  # noqa: B023
        matching = found["subject"]["details"]["line_matching"]
        say(f'raised    {found["level"]}: {found["name"]}, line {matching["line_number"]}: "{matching["data"]}"')
    count = wait_until("the device list marks 2 open alerts", lambda: api.alert_count(device) == 2 and 2)
    say(f"marked    the device list shows {count} open alerts on {device}")
    _mailed(scene, "CRITICAL", 2)
    say(f"waiting   {scene.expiry_s} s without a further match, then both are called off")
    wait_until("both alerts are called off", lambda: not api.open_alerts(device), timeout_s=PATIENCE_S + scene.expiry_s)
    if api.alert_count(device) != 0:
        raise Unavailable("the device list still shows open alerts")
    say("off       no open alert is left, the mark is gone")
    _mailed(scene, "OK", 2)
    history = [(each["level"], each["subject"]["name"]) for each in api.alerts(device)]
    expected = [(level, f"log_{check}") for level in ("CRITICAL", "OK") for check in (FILE_CHECK, COMMAND_CHECK)]
    if sorted(history) != sorted(expected) or len(scene.mailbox.mails) != 4:
        raise Unavailable(f"something is lost or doubled: history {history}, {len(scene.mailbox.mails)} mails")
    say("counted   2 alerts raised, 2 called off, 4 mails: nothing lost, nothing doubled")


def _open(api: Api, device: str, subject: str) -> dict[str, Any] | None:
    return next((each for each in api.open_alerts(device) if each["subject"]["name"] == subject), None)


def _mailed(scene: Scene, level: str, count: int) -> None:
    def met(mails: list[EmailMessage]) -> bool:
        return sum(str(mail["Subject"]).startswith(f"{level}:") for mail in mails) >= count

    if not scene.mailbox.wait_for(met, PATIENCE_S):
        raise Unavailable(f"waited {PATIENCE_S} s in vain: {count} mails about {level}")
    scene.stage.say(f"mailed    {count} mails to {EMAIL}: {level}")
