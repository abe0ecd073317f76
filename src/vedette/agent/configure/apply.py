"""Brings a configuration to bear: its checks become files, the device owner's programs do the rest. All or nothing.

What is there already is never half changed for good, whenever the power goes: before anything is touched the journal
says what was and what is to be; after the last step it goes. Whoever finds a journal goes on (or back) from there, for
every step may be done twice. The steps, in order:

1. The values are judged, all of them; a check of the same name that somebody made by hand is in the way. (Nothing yet.)
2. The journal is written.
3. Checks that are no longer wanted go, new and changed ones come, each as a whole; those that are as wanted stay.
4. `device-config.json` says the new values.
5. The programs run. If one fails: the journal says so, and 3 to 5 are done with what was before.
6. `checks.json` says which checks are the server's. The journal goes.

After each boot the programs run once more with what is in effect.

Which checks are the server's is what `checks.json` says and, while there is a journal, also what that says: so a check
that was made just before a power cut is never taken for one made by hand.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from vedette.agent import checkfiles, control_subsystems, durable, host, log, shellfile
from vedette.agent.checkfiles import SUFFIX
from vedette.agent.configure import plan, programs
from vedette.agent.configure.plan import Values, Wanted
from vedette.agent.paths import Paths
from vedette.agent.store import boot_id
from vedette.clock import Clock
from vedette.errors import Conflict, Invalid, VedetteError

MAX_TRIES: Final = 3  # that a power cut may interrupt: one of the programs may be what cuts it
MAX_LINES: Final = 500  # of the log
MAX_TEXT: Final = 96 * 1024  # characters of the log
MAX_ERROR: Final = 4096  # characters of one sentence of it
MAX_BYTES: Final = 8 * 1024 * 1024
IN_THE_WAY: Final = (
    "there is a check {} that was made by hand on this device; delete it there, or give the server's another name"
)
NOTE: Final = "# From the server: what is changed here by hand lasts until the server's next configuration.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it went."""

    ok: bool
    error: str = ""  # why not, in a sentence
    reboot: bool = False  # it takes effect with the next boot
    consistent: bool = True  # False: what was before could not be brought back completely
    log: tuple[tuple[str, str, str], ...] = ()  # time (RFC 3339), level, text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Journal:
    """What is being done."""

    before: Values
    after: Values
    checks: list[str]  # stems of all that may be the server's meanwhile
    with_programs: bool
    tries: int = 1
    back: str = ""  # why the way leads back to `before`; empty: it leads to `after`


@dataclass(slots=True)
class _Log:
    clock: Clock
    lines: list[tuple[str, str, str]] = field(default_factory=list)
    room: int = MAX_TEXT

    def say(self, level: str, text: str) -> None:
        """Keep a sentence; what went wrong is kept also where there is no room for chatter any more."""
        self.room -= len(text)
        if len(self.lines) < MAX_LINES and (self.room >= 0 or level == "error"):
            self.lines.append((self.clock.now().isoformat(), level, text[:MAX_ERROR]))


def current(paths: Paths) -> Values:
    """The configuration that is in effect; empty: there was never one."""
    try:
        return plan.parse(_file(paths).read_bytes())
    except (OSError, Invalid):
        return {}


def from_server(paths: Paths) -> frozenset[str]:
    """Stems of the checks that the server's configuration has made."""
    journal = _journal(paths)
    return frozenset([*_stems(paths), *(journal.checks if journal is not None else ())])


def says_server(paths: Paths, stem: str) -> bool:
    """Does the file of a check itself say that it is the server's? A copy says so too."""
    try:
        with (paths.available / f"{stem}{SUFFIX}").open("rb") as file:
            return NOTE.encode() in file.read(len(checkfiles.HEADER) + len(NOTE))
    except OSError:
        return False


def changed_here(paths: Paths) -> frozenset[str]:
    """Stems of the server's checks that are not as the server has them: somebody has changed or switched them here."""
    try:
        wanted = plan.checks(current(paths))
    except Invalid:
        return frozenset()
    return frozenset(stem for stem in from_server(paths) if stem in wanted and _verb(paths, wanted[stem]))


class Applier:
    """One at a time, whoever it is. `with_programs`: else only the checks, for the programs are somebody else's."""

    def __init__(self, paths: Paths, clock: Clock, *, with_programs: bool, limit_s: float = 0.0) -> None:
        self._paths, self._clock = paths, clock
        self._with_programs, self._limit_s = with_programs, limit_s

    def changes(self, values: Values) -> list[str]:
        """What `apply` would do to the checks, a line each. Raises what makes it impossible."""
        wanted = self._judged(values)
        gone = sorted(from_server(self._paths) - wanted.keys())
        return [f"remove {stem}" for stem in gone] + [
            f"{verb} {stem}" for stem, each in sorted(wanted.items()) if (verb := _verb(self._paths, each))
        ]

    def apply(self, values: Values, before: Values | None = None) -> Outcome:
        """Bring `values` to bear in place of what was. After a failure everything is as it was before.

        `before`: what was, for who may have been interrupted after the last step; None: what is in effect now.
        """
        with self._lock():
            said = _Log(self._clock)
            journal = _journal(self._paths)
            if journal is not None:  # somebody was interrupted
                if not journal.back and journal.after == values and journal.tries < MAX_TRIES:
                    return self._try(values, replace(journal, tries=journal.tries + 1), said)
                why = journal.back or f"it was interrupted {journal.tries} times"
                consistent = self._go_back(journal, why, said)
                if journal.after == values:
                    return Outcome(ok=False, error=why, consistent=consistent, log=tuple(said.lines))
            before = current(self._paths) if before is None else before
            journal = _Journal(before=before, after=values, checks=[], with_programs=self._with_programs)
            return self._try(values, journal, said)

    def call_off(self, values: Values, before: Values) -> Outcome:
        """Bring back `before` in place of `values`, which were brought to bear."""
        with self._lock():
            said = _Log(self._clock)
            journal = _journal(self._paths) or _Journal(
                before=before, after=values, checks=sorted(_stems(self._paths)), with_programs=self._with_programs
            )
            consistent = self._go_back(journal, "it was called off", said)
            return Outcome(ok=consistent, error="", consistent=consistent, log=tuple(said.lines))

    def recover(self) -> None:
        """Undo what was interrupted and will not be gone on with; nobody has been told that it was done."""
        with self._lock():
            journal = _journal(self._paths)
            if journal is not None:
                self._go_back(journal, "it was interrupted", _Log(self._clock))

    def run_again(self) -> None:
        """Run the programs with what is in effect, once after each boot: not everything they change outlives one."""
        with self._lock():
            if self._paths.apply_journal.exists() or not _file(self._paths).exists():
                return
            durable.write_json(self._paths.applied_in, boot_id())  # before: one of them may be what ends the boot
            programs.run_all(self._paths, _file(self._paths), self._limit_s, _into_our_log)

    # -- the way there -------------------------------------------------------------------------------------------

    def _judged(self, values: Values) -> dict[str, Wanted]:
        """The checks that `values` make, each one that the daemon will take.

        Raises:
            Invalid: something is wrong with the values.
            Conflict: a check of the name was made by hand.
        """
        wanted = plan.checks(values)
        wrong = []
        for stem, each in wanted.items():
            try:
                draft = checkfiles.draft(self._paths, each.subsystem, each.name, each.assignments)
                control_subsystems.validate(draft)
            except Invalid as exc:
                wrong.append(f"{stem}: {exc}")
        if wrong:
            raise Invalid("; ".join(wrong))
        for stem in self._by_hand(wanted.keys() - from_server(self._paths)):
            raise Conflict(IN_THE_WAY.format(stem))
        return wanted

    def _by_hand(self, stems: Iterable[str]) -> list[str]:
        """Of these, which are not the server's, those that are there."""
        places = (self._paths.available, self._paths.enabled)
        return [each for each in sorted(stems) if any(os.path.lexists(at / f"{each}{SUFFIX}") for at in places)]

    def _try(self, values: Values, journal: _Journal, said: _Log) -> Outcome:
        """Go the way of `journal` to its end, or back."""
        begun = journal.tries > 1
        try:
            wanted = self._judged(values)
            journal = replace(journal, checks=sorted({*journal.checks, *_stems(self._paths), *wanted}))
            self._note(journal)
            begun = True
            self._make(wanted, journal.checks, said)
            ran = self._bring(journal.after, journal, said)
            why = "; ".join(ran.failed)
        except (VedetteError, OSError) as exc:
            why = _sentence(exc)
            said.say("error", why)
        if why:
            consistent = self._go_back(journal, why, said) if begun else True
            return Outcome(ok=False, error=why, consistent=consistent, log=tuple(said.lines))
        self._done(wanted)
        if journal.with_programs:
            durable.write_json(self._paths.applied_in, boot_id())
        return Outcome(ok=True, reboot=ran.reboot, log=tuple(said.lines))

    def _go_back(self, journal: _Journal, why: str, said: _Log) -> bool:
        """Bring back what was before, as far as possible; False: not all of it is."""
        tries = journal.tries + 1 if journal.back else 1
        journal = replace(journal, back=journal.back or why, tries=tries)
        said.say("info", "what was before is brought back")
        trouble: list[str] = []
        left: Iterable[str] = journal.checks
        try:
            wanted = plan.checks(journal.before)
            for stem in self._by_hand(wanted.keys() - {*journal.checks}):
                trouble.append(IN_THE_WAY.format(stem))
                del wanted[stem]
            left = wanted
            journal = replace(journal, checks=sorted({*journal.checks, *wanted}))
            self._note(journal)
            self._make(wanted, journal.checks, said)
        except (VedetteError, OSError) as exc:
            trouble.append(_sentence(exc))
        if journal.tries <= MAX_TRIES:
            try:
                trouble += self._bring(journal.before, journal, said).failed
            except OSError as exc:
                trouble.append(_sentence(exc))
        else:
            trouble.append(f"the programs were interrupted {MAX_TRIES} times and are not run again")
            durable.replace(_file(self._paths), plan.dump(journal.before), 0o600)
        for each in trouble:
            said.say("error", f"not everything is as before: {each}")
        self._done(left)
        return not trouble

    def _make(self, wanted: dict[str, Wanted], ours: Iterable[str], said: _Log) -> None:
        for stem in sorted({*ours} - wanted.keys()):
            subsystem, name = checkfiles.split(stem)
            with suppress(VedetteError):  # gone, by hand
                checkfiles.delete(self._paths, subsystem, name)
                said.say("info", f"the check {stem} is removed")
        for stem, each in sorted(wanted.items()):
            verb = _verb(self._paths, each)
            if not verb:
                continue
            if verb in ("create", "change"):
                checkfiles.create(self._paths, each.subsystem, each.name, each.assignments, NOTE)
            switch = checkfiles.enable if each.enabled else checkfiles.disable
            switch(self._paths, each.subsystem, each.name)
            said.say("info", f"the check {stem} is {verb.removesuffix('e')}ed")

    def _bring(self, values: Values, journal: _Journal, said: _Log) -> programs.Ran:
        """Let the programs have `values`."""
        durable.replace(_file(self._paths), plan.dump(values), 0o600)
        if not (journal.with_programs and self._with_programs):
            return programs.Ran()
        return programs.run_all(self._paths, _file(self._paths), self._limit_s, said.say)

    def _note(self, journal: _Journal) -> None:
        durable.write_json(self._paths.apply_journal, asdict(journal))

    def _done(self, ours: Iterable[str]) -> None:
        durable.write_json(_checks_file(self._paths), sorted(ours))
        durable.remove(self._paths.apply_journal)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One at a time. Whoever has it is bounded in time; what a killed one left running is ended first."""
        durable.make_directory(self._paths.configuration)
        fd = os.open(self._paths.configuration / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            host.end_leftovers(self._paths.apply_children)
            yield
        finally:
            os.close(fd)


def _into_our_log(level: str, sentence: str) -> None:
    (log.error if level == "error" else log.info)(sentence)


def _verb(paths: Paths, each: Wanted) -> str:
    """What has to be done for this check; "": nothing."""
    path = paths.available / f"{each.stem}{SUFFIX}"
    try:
        found = path.read_text("utf-8", "surrogateescape")
    except OSError:
        return "create"
    if found != checkfiles.HEADER + NOTE + shellfile.dump(each.assignments):
        return "change"
    link = paths.enabled / path.name
    is_enabled = link.is_symlink() and link.readlink() == path
    if is_enabled == each.enabled:
        return ""
    return "enable" if each.enabled else "disable"


def _file(paths: Paths) -> Path:
    return paths.configuration / "device-config.json"


def _checks_file(paths: Paths) -> Path:
    return paths.configuration / "checks.json"


def _stems(paths: Paths) -> list[str]:
    found = durable.read_json(_checks_file(paths), MAX_BYTES)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _journal(paths: Paths) -> _Journal | None:
    found = durable.read_json(paths.apply_journal, MAX_BYTES)
    try:
        return _Journal(**found) if isinstance(found, dict) else None
    except TypeError:  # of another version
        return None


def _sentence(exc: Exception) -> str:
    if isinstance(exc, OSError):
        return f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc)
    return str(exc)
