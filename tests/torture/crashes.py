"""The campaign of crashes: one story of a device is recorded, then its disk is cut off at every step it took.

For each step and each kind of cut: the disk is made as it then was, the daemon is started on it, reads on and delivers
to a real server, which knows what it had confirmed before the cut. Then every problem that was planted must be there
exactly once, and the server's account complete.
"""

import gzip
import hashlib
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import httpx
from board import Board
from disk import Cut, after
from logs import Logs, State
from recorder import Event, Mark, Recorder
from serving import RealServer, real_server

from vedette.agent.match import databases
from vedette.agent.uplink import child, deliver
from vedette.agent.uplink.transport import Answer, Transport
from vedette.server.alerts import account, service
from vedette.server.db import SYSTEM, Tx, UserScope
from vedette.server.devices.sessions import digest
from vedette.server.settings import Settings

END = "the very last line"


@dataclass(frozen=True, slots=True)
class Wrote:
    """The logs are like this from here on, and these problems are in them."""

    logs: State
    planted: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The server has stored this."""

    body: bytes


@dataclass
class Site:
    """Server and device of one campaign."""

    server: RealServer
    directory: Path
    devices: int = 0
    runs: int = 0
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.logs = Logs(self.directory / "log", self.directory / "pool")
        self.log = self.logs.directory / "app.log"
        self.board = Board(self.directory / "root", self.server.url)
        self.scope = UserScope(self.server.tenant.id, None)

    def new_device(self) -> tuple[str, str]:
        """A device that the server has accepted: its id and token."""
        self.devices += 1
        name, tenant = f"device-{self.devices}", self.server.tenant.id
        token = self.server.services.signer.sign(
            {"jti": name, "sub": name, "mender.device": True, "mender.tenant": tenant}
        )

        async def fill(tx: Tx) -> None:
            await tx.execute(
                "INSERT INTO device (tenant, id, identity, identity_hash, status, created_at, updated_at)"
                " VALUES (:t, :d, '{}', :d, 'accepted', 0, 0)",
                t=tenant,
                d=name,
            )
            await tx.execute(
                "INSERT INTO auth_set (tenant, device, id, pubkey, status, token_hash, created_at)"
                " VALUES (:t, :d, :d, 'k', 'accepted', :hash, 0)",
                t=tenant,
                d=name,
                hash=digest(token),
            )

        self.server.run(self.server.services.db.write(SYSTEM, fill))
        return name, token

    def told(self, device: str) -> Counter[str]:
        """What the server has, by name of alert."""
        out: Counter[str] = Counter()
        page = 1
        while True:
            listing = self.server.run(service.history(self.server.services, self.scope, device, page, 500))
            out.update(each.alert.name for each in listing.items)
            if len(listing.items) < 500:
                return out
            page += 1

    def accounts(self, device: str) -> tuple[account.Account, ...]:
        found: tuple[account.Account, ...] = self.server.run(
            account.completeness(self.server.services, self.scope, device)
        )
        return found


@contextmanager
def site(directory: Path) -> Iterator[Site]:
    """A server and a device below `directory`.

    Pattern databases are not compiled: hundreds of daemons would start hundreds of compilers.
    """
    data = directory / "data"
    data.mkdir(parents=True)
    linger, child.LINGER_S = child.LINGER_S, 0.0
    compiled, databases.available = databases.available, lambda: False
    try:
        with real_server(Settings(listen="127.0.0.1:0", data=data, public_url="http://vedette.test")) as server:
            yield Site(server, directory)
    finally:
        child.LINGER_S, databases.available = linger, compiled


# -- the story ------------------------------------------------------------------------------------------------------


class Story:
    """What happens to the device, step by step, while its disk is listened to."""

    def __init__(self, site: Site, seed: int, problems: int) -> None:
        self.site, self.board = site, site.board
        self.chance = random.Random(seed)
        self.planted = 0
        self.problems = problems
        self.generation = 0
        self.recorder = Recorder(self.board.paths.state_dir)
        for number in range(problems + 1):  # one more, which is planted after the crash
            self.board.check(f"p{number}", rf"problem <{number}>", site.log)
        self.board.check("end", END, site.log)

    def record(self) -> list[Event]:
        device, token = self.site.new_device()
        self.board.paths.state_dir.mkdir(parents=True)
        with self.recorder.recording(), _confirmations(self._confirmed):
            self.write()
            self.board.start()
            self.caught_up()
            self.board.admit(token)
            while self.planted < self.problems:
                self.chance.choice([self.write, self.write, self.rotate, self.copy_and_truncate])()
                self.chance.choice([self.caught_up, self.deliver, self.restart, self.nothing])()
            self.caught_up()
            self.deliver()
            self.board.stop()
        names = {f"Log file contains problem <{number}>": 1 for number in range(self.planted)}
        assert self.site.told(device) == names, "the story itself went wrong"
        return self.recorder.events

    def write(self) -> None:
        with self.site.log.open("a") as file:
            for _ in range(min(self.chance.randint(1, 2), self.problems - self.planted)):
                file.write("noise\n" * self.chance.randint(0, 50) + f"problem <{self.planted}>\n")
                self.planted += 1
        self._wrote()

    def rotate(self) -> None:
        """As logrotate does it: the newest generation as it is, older ones compressed."""
        self._shift()
        self.site.log.rename(self.site.log.with_name("app.log.1"))
        self.site.log.touch()
        self._wrote()

    def copy_and_truncate(self) -> None:
        """What nobody has read the beginning of is not known again in a copy: that is not promised."""
        self.caught_up()
        self._shift()
        copy = self.site.log.with_name("app.log.1")
        copy.write_bytes(self.site.log.read_bytes())
        os.truncate(self.site.log, 0)
        self._wrote()

    def _shift(self) -> None:
        """Make room for a new app.log.1. What is read to its end is compressed, as delaycompress does."""
        first = self.site.log.with_name("app.log.1")
        if first.exists():
            self.caught_up()
            self.generation += 1
            first.with_name(f"app.log.{self.generation + 1}.gz").write_bytes(gzip.compress(first.read_bytes()))
            first.unlink()

    def caught_up(self) -> None:
        self.board.until(lambda: self.board.numbered() >= self.planted, f"{self.planted} alerts")

    def deliver(self) -> None:
        self.board.deliver()

    def restart(self) -> None:
        self.board.stop()
        self.board.start()

    def nothing(self) -> None:
        """On at once."""

    def _wrote(self) -> None:
        self.recorder.events.append(Mark(Wrote(self.site.logs.keep(), self.planted)))

    def _confirmed(self, body: bytes) -> None:
        self.recorder.events.append(Mark(Confirmed(body)))


@contextmanager
def _confirmations(call: Callable[[bytes], None]) -> Iterator[None]:
    """Hear of every body of alerts that the server has confirmed, before the device does anything about it."""
    real = Transport.request

    def request(self: Transport, method: str, path: str, body: bytes, headers: Any) -> Answer:
        answer = real(self, method, path, body, headers)
        if path == deliver.DEFAULT_PATH and 200 <= answer.status < 300:
            call(body)
        return answer

    Transport.request = request  # type: ignore[method-assign]
    try:
        yield
    finally:
        Transport.request = real  # type: ignore[method-assign]


# -- the crashes ----------------------------------------------------------------------------------------------------


def crash_everywhere(site: Site, events: list[Event], seed: int, enough: Callable[[], bool] = lambda: False) -> int:
    """Cut the recorded story off at each of its steps, in each way; how many different disks that were."""
    first = next(n for n, event in enumerate(events) if isinstance(event, Mark)) + 1
    runs = 0
    for step in range(first, len(events) + 1):
        for cut in get_args(Cut):
            if enough():
                return runs
            chance = random.Random(f"{seed} {step}")
            files = after(events[:step], cut, chance)
            if site_is_new(site, events[:step], files):
                crash(site, events[:step], files, f"seed {seed}, step {step} of {len(events)}, {cut}")
                runs += 1
    return runs


def site_is_new(site: Site, past: list[Event], files: dict[str, bytes]) -> bool:
    """No other step or cut has left exactly this."""
    outside = sum(isinstance(event, Mark) for event in past)
    name = hashlib.sha256(repr((outside, sorted(files.items()))).encode()).hexdigest()
    new = name not in site.seen
    site.seen.add(name)
    return new


def crash(site: Site, past: list[Event], files: dict[str, bytes], where: str) -> None:
    """Start on what is left, go on, and compare with the truth."""
    marks = [event.what for event in past if isinstance(event, Mark)]
    wrote = [mark for mark in marks if isinstance(mark, Wrote)][-1]
    device, token = site.new_device()
    with httpx.Client(base_url=site.server.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http:
        for mark in marks:
            if isinstance(mark, Confirmed):
                headers = {"Content-Type": "application/json"}
                assert http.post(deliver.DEFAULT_PATH, content=mark.body, headers=headers).status_code == 204
    site.logs.restore(wrote.logs)
    state = site.board.paths.state_dir
    for path in state.iterdir():
        if path.is_file():
            path.unlink()
    for name, content in files.items():
        (state / name).write_bytes(content)
    site.board.admit(token)
    site.board.start()
    try:
        with site.log.open("a") as file:
            file.write(f"problem <{wrote.planted}>\n{END}\n")
        ended = partial(site.board.store.state, "log_end")
        site.board.until(lambda: ended().raised, f"the end after {where}")
        wait_s = site.board.deliver()
        assert wait_s is None, where
        assert site.board.store.counts().owed == 0, where
    finally:
        site.board.lose()
    told = site.told(device)
    names = {f"Log file contains problem <{number}>": 1 for number in range(wrote.planted + 1)}
    expected = Counter(names | {f"Log file contains {END}": 1})
    assert told == expected, f"{where}: missing {expected - told}, too many {told - expected}"
    (one,) = site.accounts(device)
    assert (one.complete_to, one.missing, one.before) == (one.last, (), ()), f"{where}: {one}"
    assert not list(state.glob("*damaged*")), where
    site.runs += 1
