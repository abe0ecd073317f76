"""Ports that are open to others and should not be: each listening socket against a list, learned or given.

A port is known by protocol, address, number and executable; the process id does not matter. UDP sockets of a number
that the kernel gave (an answer is waited for there, or a service has another one each time) are known by executable
alone. A socket that a known executable has handed on, as systemd does, is that executable's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from vedette.agent.security import listening
from vedette.agent.security.listening import Socket
from vedette.agent.security.proc import Proc, Process
from vedette.agent.security.scanner import Context, Finding, Report

ANY: Final = "*"
UNSEEN: Final = "programs of other users: not permitted, so their ports are known by number alone"


@dataclass(slots=True)
class _Port:
    """What listens under one name; several sockets may."""

    key: str
    sockets: list[Socket] = field(default_factory=list)
    holders: list[Sequence[Process]] = field(default_factory=list)  # of each socket

    @property
    def executables(self) -> list[str]:
        return sorted({each.exe for holders in self.holders for each in holders if each.exe})


class Scanner:
    """Looks at /proc/net and, to learn whose the sockets are, at what all processes have open."""

    def scan(self, context: Context) -> Report:
        proc = Proc(context.root)
        ports, complete = _ports(context, proc)
        known = _known(context, ports)
        strange = [each for each in ports if not _is_right(each, known, context.settings)]
        memory = _remember(context, proc.boot(), strange)
        return Report(
            findings=[
                _finding(each, known.get(each.key, []), proc, memory["seen"][each.key] if context.memory else None)
                for each in strange
                if _stays(context, memory["seen"][each.key])
            ],
            baseline={"ports": known} if context.settings["baseline"] == "learn" else None,
            memory=memory,
            unseen=() if complete else (UNSEEN,),
        )


def _ports(context: Context, proc: Proc) -> tuple[list[_Port], bool]:
    """All ports, and whether it could be seen whose they are."""
    holders, complete = proc.sockets()
    given = listening.ephemeral(context.root)
    ports: dict[str, _Port] = {}
    processes: dict[int, Process | None] = {}
    for socket in listening.sockets(context.root):
        here = []
        for pid in holders.get(socket.inode, ()):
            if pid not in processes:
                processes[pid] = proc.process(pid)
            if (process := processes[pid]) is not None:
                here.append(process)
        key = socket.key
        if socket.protocol == "udp" and socket.port in given:
            exe = next((each.exe for each in here if each.exe), "")
            if not exe:
                continue  # of a number that is another one each time, and nobody knows whose
            key = f"{key.rpartition(':')[0]}:{ANY} {exe}"
        port = ports.setdefault(key, _Port(key))
        port.sockets.append(socket)
        port.holders.append(here)
    return list(ports.values()), complete


def _known(context: Context, ports: Sequence[_Port]) -> Mapping[str, list[str]]:
    """The executables that were learned, by port."""
    if context.settings["baseline"] != "learn":
        return {}
    if context.baseline is None:
        return {each.key: each.executables for each in ports}
    known: Mapping[str, list[str]] = context.baseline.get("ports", {})
    # What was learned by somebody who may not see whose it is.
    late = {each.key: each.executables for each in ports if known.get(each.key) == [] and each.executables}
    return {**known, **late}


def _is_right(port: _Port, known: Mapping[str, list[str]], settings: Mapping[str, Any]) -> bool:
    for socket, holders in zip(port.sockets, port.holders, strict=True):
        if socket.is_loopback and not settings["loopback"]:
            continue
        executables = {each.exe for each in holders if each.exe}
        learned = known.get(port.key)
        if learned is not None and (not executables or not learned or executables & set(learned)):
            continue
        if not any(_allows(entry, socket, executables) for entry in settings["allow"]):
            return False
    return True


def _allows(entry: str, socket: Socket, executables: set[str]) -> bool:
    """PROTOCOL/PORT, PROTOCOL/ADDRESS:PORT, either with =EXECUTABLE."""
    place, _, executable = entry.partition("=")
    protocol, _, place = place.partition("/")
    address, _, port = place.rpartition(":")
    return (
        protocol in {ANY, socket.protocol}
        and port in {ANY, str(socket.port)}
        and (not address or address == ANY or address.strip("[]").lower() == socket.address)
        and (not executable or any(fnmatchcase(each, executable) for each in executables))
    )


def _remember(context: Context, boot: str, strange: Sequence[_Port]) -> dict[str, Any]:
    """When each was first seen, by both clocks; not kept over a reboot."""
    before = context.memory or {}
    seen = before.get("seen", {}) if before.get("boot") == boot else {}
    now = [int(context.clock.elapsed()), context.clock.now().isoformat(timespec="seconds")]
    return {"boot": boot, "seen": {each.key: seen.get(each.key, now) for each in strange}}


def _stays(context: Context, seen: Sequence[Any]) -> bool:
    """Is it there for long enough?"""
    return context.by_hand or context.clock.elapsed() - seen[0] >= context.settings["dwell"]


def _finding(port: _Port, learned: Sequence[str], proc: Proc, seen: Sequence[Any] | None) -> Finding:
    holders = [process for each in port.holders for process in each]
    first = min(holders, key=lambda each: each.pid, default=None)
    socket = port.sockets[0]
    what = f"{first.shown if first else 'a program that may not be seen'} listens on {port.key.partition(' /')[0]}"
    others = {each.exe for each in holders if first is not None and each.exe != first.exe} - {""}
    if others:
        what += f", and so do {', '.join(sorted(others))}"
    if learned and first is not None:
        what += f"; known there: {', '.join(learned)}"
    look = f"ss -lnp{socket.protocol[0]} 'sport = :{socket.port}' shows it"
    end = f"; stop its service (systemctl status {first.pid} names it), or kill {first.pid}" if first else ""
    since = datetime.fromisoformat(seen[1]) if seen else proc.began(first.start) if first is not None else None
    return Finding(
        key=port.key,
        name=f"Port {port.key} is open",
        status="PORT_OPEN",
        what=what,
        where=f"{socket.protocol} port {socket.port} of {socket.address}",
        since=since,
        by=f"user {proc.user(socket.uid)}",
        do=look + end,
        fingerprint=" ".join(port.executables),
    )
