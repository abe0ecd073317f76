"""Programs that run from where none should, or that nobody has seen before, and kernel modules that are new.

A program of a directory that everybody may write to, or that was deleted, or that has no file at all, is what is left
of most break-ins. Near to it, and right: a program whose file was replaced by an update, and container runtimes that
run a copy of themselves in memory while they start something.
"""

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from vedette.agent.security import listening
from vedette.agent.security.patterns import Patterns
from vedette.agent.security.proc import Proc, Process
from vedette.agent.security.scanner import Context, Finding, Report

MEMORY: Final = "/memfd:"
RUNTIMES: Final = re.compile(r"/(usr|opt|snap)/.*/(runc|crun|youki|conmon|dockerd|lxc-start|containerd-shim[a-z0-9-]*)")
"""Container runtimes, where nobody but root puts programs: a name alone anybody can take."""
INTERPRETERS: Final = re.compile(r"(sh|bash|dash|ash|zsh|ksh|busybox|python|perl|ruby|node|php|lua)[0-9.]*")
ROOT: Final = "root"
LISTENING: Final = "listening"
MODULES: Final = "modules"


class Scanner:
    """Looks at all processes; what the baseline is asked of is learned by the first look that is asked of it."""

    def scan(self, context: Context) -> Report:
        return _Scan(context).run()


class _Scan:
    def __init__(self, context: Context) -> None:
        self._context, self._settings, self._proc = context, context.settings, Proc(context.root)
        self._allow = Patterns(context.settings["allow"])
        self._places = Patterns(context.settings["places"])
        self._found: dict[str, Finding] = {}
        self._baseline: dict[str, list[str]] = dict(context.baseline or {})
        self._unseen = 0

    def run(self) -> Report:
        running = [each for each in self._proc.all() if not each.kernel]
        for each in running:
            self._look(each)
        if self._settings["root"]:
            mine = [each for each in running if each.exe and self._proc.uid(each.pid) == 0]
            self._compare(ROOT, {each.exe: each for each in reversed(mine)}, self._as_root)
        if self._settings["listening"]:
            self._compare(LISTENING, self._listeners(), self._as_listener)
        if self._settings["modules"]:
            self._compare(MODULES, self._modules(), self._as_module)
        unseen = ("programs of other users: not permitted",) if self._unseen else ()
        return Report(findings=tuple(self._found.values()), baseline=self._baseline or None, unseen=unseen)

    # -- one process -----------------------------------------------------------------------------------------------

    def _look(self, process: Process) -> None:
        if not process.exe:
            self._unseen += 1
            return
        if process.exe.startswith(MEMORY):
            if not self._is_runtime(process):
                self._report(process, process.exe, "runs from memory, from no file at all", "PROCESS_FROM_MEMORY")
        elif self._places.match(process.exe):
            self._report(process, process.exe, "runs from where nothing may run from", "PROCESS_FROM_ODD_PLACE")
        elif process.deleted and self._settings["deleted"] and not self._is_replaced(process):
            self._report(process, process.exe, "runs though its executable was deleted", "PROCESS_OF_DELETED_FILE")
        elif (script := self._script(process)) and self._places.match(script):
            self._report(process, script, f"runs the script {script}", "PROCESS_FROM_ODD_PLACE")

    def _is_runtime(self, process: Process) -> bool:
        parent = self._proc.process(process.parent)
        return parent is not None and RUNTIMES.fullmatch(parent.exe) is not None

    def _is_replaced(self, process: Process) -> bool:
        """Is there a file by its name again, as after an update, where the process itself sees it?"""
        path = process.exe.lstrip("/")
        own = self._context.root / "proc" / str(process.pid) / "root" / path
        try:
            return own.exists() or (self._context.root / path).exists()
        except OSError:  # may not be looked at: nothing is claimed
            return True

    def _script(self, process: Process) -> str:
        """What an interpreter was told to run, as far as its first argument says so."""
        if not INTERPRETERS.fullmatch(posixpath.basename(process.exe)):
            return ""
        arguments = self._proc.text(process.pid, "cmdline").split("\0")[1:]
        first = next((each for each in arguments if each), "")
        if not first or first.startswith("-"):
            return ""
        return posixpath.normpath(posixpath.join(self._proc.link(process.pid, "cwd") or "/", first))

    def _report(self, process: Process, path: str, how: str, status: str) -> None:
        if self._allow.match(path) or self._allow.match(process.exe):
            return
        user = self._proc.user(self._proc.uid(process.pid))
        parent = self._proc.process(process.parent)
        key = f"process {path}"
        self._found.setdefault(
            key,
            Finding(
                key=key,
                name=f"A process runs that should not: {path}",
                status=status,
                what=f"{process.shown} {how}",
                where=path,
                since=self._proc.began(process.start),
                by=f"user {user}" + (f", started by {parent.shown}" if parent is not None else ""),
                do=f"look at it (ls -l /proc/{process.pid}/exe /proc/{process.pid}/fd), keep a copy, then kill it",
            ),
        )

    # -- against the baseline ----------------------------------------------------------------------------------------

    def _compare(self, part: str, there: Mapping[str, Any], finding: Callable[[str, Any], Finding]) -> None:
        asked_for_all = self._context.baseline == {} or (self._context.baseline is None and self._context.by_hand)
        if part not in self._baseline and not asked_for_all:
            self._baseline[part] = sorted(there)
        known = set(self._baseline.get(part, ()))
        for name in sorted(there.keys() - known):
            if not self._allow.match(name):
                each = finding(name, there[name])
                self._found.setdefault(each.key, each)

    def _as_root(self, exe: str, process: Process) -> Finding:
        return self._unknown(
            process, f"root {exe}", f"Unknown program runs as root: {exe}", "UNKNOWN_ROOT_PROCESS", "runs as root"
        )

    def _as_listener(self, exe: str, process: Process) -> Finding:
        return self._unknown(
            process, f"listening {exe}", f"Unknown program listens: {exe}", "UNKNOWN_LISTENER", "listens for others"
        )

    def _unknown(self, process: Process, key: str, name: str, status: str, how: str) -> Finding:
        return Finding(
            key=key,
            name=name,
            status=status,
            what=f"{process.shown} {how} and was not known to",
            where=process.exe,
            since=self._proc.began(process.start),
            by=f"user {self._proc.user(self._proc.uid(process.pid))}",
            do=f"systemctl status {process.pid} says what has started it",
        )

    def _listeners(self) -> dict[str, Process]:
        holders, _ = self._proc.sockets()
        out: dict[str, Process] = {}
        for socket in listening.sockets(self._context.root):
            for pid in () if socket.is_loopback else holders.get(socket.inode, ()):
                process = self._proc.process(pid)
                if process is not None and process.exe:
                    out.setdefault(process.exe, process)
        return out

    def _modules(self) -> dict[str, Sequence[str]]:
        """Of each its fields. Source: proc(5), /proc/modules: name, size, users, used by, state, address, taints."""
        try:
            lines = (self._context.root / "proc/modules").read_text().splitlines()
        except OSError:  # a kernel without modules
            return {}
        return {line.split()[0]: line.split() for line in lines if line.strip()}

    def _as_module(self, name: str, fields: Sequence[str]) -> Finding:
        taints = fields[6].strip("()") if len(fields) > 6 else ""
        odd = [
            text for letter, text in (("O", "is not part of the kernel"), ("E", "is not signed")) if letter in taints
        ]
        users = fields[3].strip("-,") if len(fields) > 3 else ""
        return Finding(
            key=f"module {name}",
            name=f"Kernel module {name} is new",
            status="NEW_KERNEL_MODULE",
            what=f"the kernel module {name} was loaded" + "".join(f" and {each}" for each in odd),
            where=f"used by {users}" if users else "",
            do=f"modinfo {name} says what it is; modprobe -r {name} removes it",
            fingerprint=taints,
        )
