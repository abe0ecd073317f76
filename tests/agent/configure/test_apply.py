"""A configuration is brought to bear as a whole or not at all, whenever the power goes."""

import json
import os
import signal
import traceback
from pathlib import Path
from typing import Any

import pytest

from vedette.agent import checkfiles
from vedette.agent.configure import __main__ as configure
from vedette.agent.configure import apply, deployment, plan
from vedette.agent.configure.apply import MAX_TRIES, Applier
from vedette.agent.paths import Paths
from vedette.agent.settings import Settings
from vedette.clock import SystemClock

LOG = {
    "monitor.check.log.scan.LOG_PATTERN": "CVE.*HIGH",
    "monitor.check.log.scan.LOG_FILE": "/tmp/results-scan",
    "monitor.check.log.scan.LOG_PATTERN_EXPIRATION": "2d",
}
DISK = {"monitor.check.diskusage.root.DISKUSAGE_NAME": "/", "monitor.check.diskusage.root.DISKUSAGE_THRESHOLD": "90"}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "root")


def applier(paths: Paths, *, with_programs: bool = True, limit_s: float = 20.0) -> Applier:
    return Applier(paths, SystemClock(), with_programs=with_programs, limit_s=limit_s)


def program(paths: Paths, name: str, text: str) -> None:
    paths.apply_programs.mkdir(parents=True, exist_ok=True)
    path = paths.apply_programs / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def tree(paths: Paths) -> dict[str, str]:
    """Everything of checks and configuration: path to content or target."""
    found = {}
    for top in (paths.monitor_d, paths.configuration):
        for path in sorted(top.rglob("*")):
            if path.name in ("lock", "boot.json") or path.is_dir():
                continue
            name = str(path.relative_to(paths.root or ""))
            found[name] = f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
    return found


def test_checks_come_change_and_go(paths: Paths) -> None:
    assert applier(paths).apply(LOG | DISK).ok
    found = checkfiles.find(paths, "log", "scan")
    assert found.values == {
        "LOG_PATTERN": "CVE.*HIGH",
        "LOG_FILE": "/tmp/results-scan",
        "LOG_PATTERN_EXPIRATION": "2d",
    }
    assert [each.stem for each in checkfiles.enabled(paths)] == ["diskusage_root", "log_scan"]
    untouched = (paths.available / "diskusage_root.sh").stat().st_ino

    changed = LOG | {"monitor.check.log.scan.LOG_PATTERN": 'x"$`y\\\\', "monitor.check.log.scan.enabled": "false"}
    assert applier(paths).apply(changed | DISK).ok
    assert checkfiles.find(paths, "log", "scan").values["LOG_PATTERN"] == 'x"$`y\\\\'
    assert [each.stem for each in checkfiles.enabled(paths)] == ["diskusage_root"]
    assert (paths.available / "diskusage_root.sh").stat().st_ino == untouched, "what stays as it is is not written"

    assert applier(paths).apply({"mine": "1"}).ok
    assert checkfiles.available(paths) == checkfiles.enabled(paths) == []
    assert apply.current(paths) == {"mine": "1"}
    assert apply.from_server(paths) == frozenset()


def test_a_security_check_is_made_of_its_settings(paths: Paths) -> None:
    values = {"security.ports.interval": "5m", "security.ports.allow": "tcp/22, tcp/443"}
    outcome = applier(paths).apply(values)
    assert outcome.ok, outcome.error
    found = checkfiles.find(paths, "ports", "security")
    assert found.values == {"PORTS_INTERVAL": "5m", "PORTS_ALLOW": "tcp/22, tcp/443"}
    assert [each.stem for each in checkfiles.enabled(paths)] == ["ports_security"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"security.ports.interval": "soon"}, "security.ports.interval: "),
        ({"security.nothing.interval": "5m"}, "there is no security check 'nothing'"),
        ({"monitor.check.log.scan.LOG_PATTERN": "("}, "missing closing parenthesis"),
        ({"monitor.check.log.other.LOG_PATTERN": "x"}, "LOG_FILE is missing"),
        ({"monitor.check.own.a.X": "1"}, "there is no subsystem 'own'"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_touched(paths: Paths, wrong: dict[str, str], said: str) -> None:
    assert applier(paths).apply(LOG).ok
    program(paths, "a", f"touch {paths.root}/ran")
    before = tree(paths)
    outcome = applier(paths).apply(LOG | DISK | wrong)
    assert not outcome.ok
    assert said in outcome.error
    assert tree(paths) == before
    assert not (paths.root / "ran").exists()
    assert said in outcome.log[-1][2], "the log says it too"


def test_several_wrong_keys_are_all_named(paths: Paths) -> None:
    outcome = applier(paths).apply({"security.ports.interval": "soon", "security.setuid.nothing": "x"})
    assert "security.ports.interval" in outcome.error
    assert "security.setuid.nothing" in outcome.error


@pytest.mark.parametrize("where", ["available", "enabled"])
def test_a_check_made_by_hand_is_never_overwritten(paths: Paths, where: str) -> None:
    by_hand = (paths.available if where == "available" else paths.enabled) / "log_scan.sh"
    by_hand.parent.mkdir(parents=True)
    by_hand.write_text("LOG_PATTERN=mine\nLOG_FILE=/mine\n")
    before = tree(paths)
    outcome = applier(paths).apply(LOG | DISK)
    assert not outcome.ok
    assert "log_scan that was made by hand" in outcome.error
    assert tree(paths) == before
    by_hand.unlink()
    assert applier(paths).apply(LOG | DISK).ok


def test_what_was_changed_by_hand_is_as_the_server_says_after_the_next_time(paths: Paths) -> None:
    applier(paths).apply(LOG)
    good = tree(paths)
    checkfiles.disable(paths, "log", "scan")
    assert apply.changed_here(paths) == {"log_scan"}
    (paths.available / "log_scan.sh").write_text("LOG_PATTERN=mine\nLOG_FILE=/mine\n")
    applier(paths).apply(LOG)
    assert tree(paths) == good
    (paths.available / "log_scan.sh").unlink()
    applier(paths).apply(LOG)
    assert tree(paths) == good


def test_programs_have_the_configuration_and_their_failure_undoes_everything(paths: Paths) -> None:
    program(paths, "1-first", 'cat "$1" >>"$(dirname "$0")/../seen"; echo first says hello')
    assert applier(paths).apply({"a": "1"} | LOG).ok
    before = tree(paths)
    program(paths, "2-picky", 'if grep -q broken "$1"; then echo no such thing >&2; exit 3; fi')
    program(paths, "3-last", f'touch {paths.root}/last; echo "$VEDETTE_APPLIES_CONFIGURATION"')
    outcome = applier(paths).apply({"a": "broken"} | DISK)
    assert not outcome.ok
    assert outcome.consistent
    assert outcome.error == "2-picky failed with exit code 3"
    assert tree(paths) == before
    said = [text for _, _, text in outcome.log]
    assert "1-first: first says hello" in said
    assert "2-picky: no such thing" in said
    assert "what was before is brought back" in said
    assert (paths.root / "last").exists(), "the others are run all the same"
    seen = (paths.apply_programs / "../seen").read_text()
    given = [json.loads(each + "}")["a"] for each in seen.split("}") if each.strip()]
    assert given == ["1", "broken", "1"]


def test_a_failure_that_cannot_be_undone_is_told(paths: Paths) -> None:
    program(paths, "a", "exit 1")
    outcome = applier(paths).apply({"a": "1"})
    assert (outcome.ok, outcome.consistent) == (False, False)
    assert apply.current(paths) == {}


def test_a_reboot_is_asked_for_by_exit_code_20(paths: Paths) -> None:
    program(paths, "a", "exit 20")
    program(paths, "b", "exit 0")
    outcome = applier(paths).apply({"a": "1"})
    assert (outcome.ok, outcome.reboot) == (True, True)


def test_a_program_that_hangs_is_ended_and_one_that_starts_a_daemon_is_not_waited_for(paths: Paths) -> None:
    program(paths, "a", f"sleep 1000 & echo $! >{paths.root}/daemon; exec >/dev/null 2>&1; sleep 0.1")
    assert applier(paths).apply({"a": "1"}).ok
    daemon = int((paths.root / "daemon").read_text())
    os.kill(daemon, 0)  # it lives
    os.kill(daemon, 9)
    program(paths, "a", "echo begun; yes")
    outcome = applier(paths, limit_s=0.3).apply({"a": "2"})
    assert "a took longer than" in outcome.error
    assert not paths.apply_children.exists()


def test_what_programs_say_is_kept_within_limits(paths: Paths) -> None:
    for name in "abcd":
        program(paths, name, "i=0; while [ $i -lt 300 ]; do printf 'é%990s\\n' $i; i=$((i+1)); done; exit 1")
    outcome = applier(paths).apply({"a": "1"})
    said = [text for _, level, text in outcome.log if level == "info"]
    assert any(text.endswith(" 299") for text in said), "the last lines of a program are kept"
    assert sum(map(len, said)) <= apply.MAX_TEXT
    failed = [text for _, level, text in outcome.log if level == "error" and "not everything" not in text]
    assert len(failed) == 8, "and every failure"
    assert len(json.dumps(outcome.log).encode()) < 1_000_000, "what the server takes"


def test_what_cannot_be_started_is_a_failure(paths: Paths) -> None:
    program(paths, "a", "")
    (paths.apply_programs / "a").chmod(0o644)
    assert "a cannot be started: Permission denied" in applier(paths).apply({"a": "1"}).error
    assert not applier(paths, with_programs=False).apply({"a": "1"}).log


def test_called_off_what_was_before_comes_back(paths: Paths) -> None:
    program(paths, "a", 'cp "$1" "$(dirname "$0")/../now"')
    applier(paths).apply(LOG | {"a": "1"})
    before = tree(paths)
    applier(paths).apply(DISK | {"a": "2"})
    assert applier(paths).call_off(DISK | {"a": "2"}, LOG | {"a": "1"}).ok
    assert tree(paths) == before
    assert json.loads((paths.apply_programs / "../now").read_text())["a"] == "1"


def test_called_off_what_was_made_by_hand_meanwhile_stays(paths: Paths) -> None:
    applier(paths).apply(LOG)
    applier(paths).apply(DISK)
    checkfiles.create(paths, "log", "scan", [("LOG_PATTERN", "mine"), ("LOG_FILE", "/mine")])
    outcome = applier(paths).call_off(DISK, LOG)
    assert not outcome.consistent
    assert checkfiles.find(paths, "log", "scan").values["LOG_PATTERN"] == "mine"
    assert apply.from_server(paths) == frozenset()


def test_what_cannot_be_gone_on_with_goes_back(tmp_path: Path) -> None:
    """Between two tries the device has lost the program of a subsystem."""
    paths = prepared(tmp_path / "root")
    before = tree(paths)
    mine = paths.monitor_d / "mine.sh"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    program(paths, "b", f'if grep -q mine "$1"; then {KILL}; fi')
    values = {"monitor.check.mine.a.X": "1"} | DISK
    assert in_a_process(paths, values) == -KILLED
    assert "mine_a" in apply.from_server(paths)
    mine.unlink()
    outcome = applier(paths).apply(values)
    assert (outcome.ok, outcome.consistent) == (False, True)
    assert tree(paths) == before


def test_programs_run_once_more_after_a_boot(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(config_deployments="on")
    program(paths, "a", f'cat "$1" >>{paths.root}/seen')
    configure._work(paths, settings)
    assert not (paths.root / "seen").exists(), "nothing was ever applied"
    applier(paths).apply({"a": "1"})
    configure._work(paths, settings)
    assert (paths.root / "seen").read_text().count("{") == 1
    for module in (apply, configure):
        monkeypatch.setattr(module, "boot_id", lambda: "another")
    for _ in range(2):
        configure._work(paths, settings)
    assert (paths.root / "seen").read_text().count("{") == 2
    monkeypatch.setattr(configure, "boot_id", lambda: "third")
    configure._work(paths, Settings(config_deployments="off"))
    assert (paths.root / "seen").read_text().count("{") == 2, "where somebody else does it, he does it after a boot too"


# --- whenever the power goes ------------------------------------------------------------------------------------------

KILLED = 9
KILL = f"[ $PPID = {os.getpid()} ] || kill -9 $PPID"  # whoever runs it, as a power cut does; but not the tests
FAILED = 100
STEPS = ("replace", "rename", "unlink", "symlink", "fsync", "write", "mkdir", "posix_spawn")


def in_a_process(paths: Paths, values: dict[str, str], last: int = -1) -> int:
    """Apply in a process of its own, which ends for good before or after its `last` step; its exit status.

    Status of one that came to the end: how many steps there are, and 100 more when it failed.
    """
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(_apply_and_count(paths, values, last))
        except BaseException:
            traceback.print_exc()
            os._exit(255)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _apply_and_count(paths: Paths, values: dict[str, str], last: int) -> int:
    count = 0

    def counted(function: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args, **more)
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    done = applier(paths).apply(values)
    return count if done.ok else FAILED + count


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill takes nothing from the disk, so nothing has to reach it: hundreds of times that would take long."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def prepared(root: Path) -> Paths:
    paths = Paths(root)
    assert applier(paths, with_programs=False).apply(LOG | {"a": "1"}).ok
    program(paths, "a", 'if grep -q broken "$1"; then exit 1; fi')
    return paths


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("new", [DISK | {"a": "2"}, DISK | {"a": "broken"}], ids=["good", "broken"])
def test_killed_at_any_step_it_is_gone_on_with(tmp_path: Path, new: dict[str, str]) -> None:
    """To the same end as if nobody had disturbed it: all of the new, or with a failing program all of the old."""
    sample = prepared(tmp_path / "sample")
    status = in_a_process(sample, new)
    assert (status > FAILED) == (new["a"] == "broken")
    expected, steps = tree(sample), status % FAILED
    assert steps > 30, "the steps are not counted"
    for last in range(1, steps + 1):
        paths = prepared(tmp_path / str(last))
        assert in_a_process(paths, new, last) == -KILLED
        assert apply.from_server(paths) >= {each.stem for each in checkfiles.available(paths)}, "taken for one by hand"
        outcome = applier(paths).apply(new, before=LOG | {"a": "1"})
        assert outcome.ok == (new["a"] != "broken"), (last, outcome)
        assert relocated(tree(paths), paths, sample) == expected, last
        assert not paths.apply_journal.exists()


@pytest.mark.usefixtures("quick")
def test_killed_at_any_step_and_not_gone_on_with_it_is_undone(tmp_path: Path) -> None:
    """Nobody was told that it was done; so it counts as not done, unless it was."""
    new = DISK | {"a": "2"}
    sample = prepared(tmp_path / "sample")
    old = tree(sample)
    steps = in_a_process(sample, new)
    done = tree(sample)
    for last in range(1, steps + 1):
        paths = prepared(tmp_path / str(last))
        assert in_a_process(paths, new, last) == -KILLED
        applier(paths).recover()
        assert relocated(tree(paths), paths, sample) in (old, done), last
        assert not paths.apply_journal.exists()


def relocated(found: dict[str, str], here: Paths, there: Paths) -> dict[str, str]:
    """Without temporary files of the one who was killed, which nobody looks at."""
    return {
        name: text.replace(str(here.root), str(there.root))
        for name, text in found.items()
        if not Path(name).name.startswith(".")
    }


def test_a_program_that_always_takes_the_power_away_is_given_up(tmp_path: Path) -> None:
    paths = prepared(tmp_path / "root")
    before = tree(paths)
    program(paths, "b", f'if grep -q fatal "$1"; then {KILL}; fi')
    for _ in range(MAX_TRIES):
        assert in_a_process(paths, {"a": "fatal"}) == -KILLED
    outcome = applier(paths).apply({"a": "fatal"})
    assert not outcome.ok
    assert "interrupted 3 times" in outcome.error
    assert relocated(tree(paths), paths, paths) == before
    assert outcome.consistent
    # And when it does so on the way back as well: three times there, three times back.
    program(paths, "b", KILL)
    for _ in range(2 * MAX_TRIES):
        assert in_a_process(paths, {"a": "fatal"}) == -KILLED
    outcome = applier(paths).apply({"a": "fatal"})
    assert (outcome.ok, outcome.consistent) == (False, False)
    assert not paths.apply_journal.exists()


@pytest.mark.usefixtures("quick")
def test_interrupted_after_the_last_step_and_failing_then_it_goes_back_to_what_was(tmp_path: Path) -> None:
    paths = prepared(tmp_path / "root")
    old = tree(paths)
    new = DISK | {"a": "2"}
    assert applier(paths).apply(new).ok  # and nobody noted that it was done
    program(paths, "b", 'if grep -q DISKUSAGE "$1"; then exit 1; fi')
    outcome = applier(paths).apply(new, before=LOG | {"a": "1"})
    assert (outcome.ok, outcome.consistent) == (False, True)
    assert tree(paths) == old


def test_the_program_of_one_who_was_killed_does_not_run_beside_the_next(tmp_path: Path) -> None:
    paths = prepared(tmp_path / "root")
    program(paths, "b", f'if grep -q slow "$1"; then echo $$ >{tmp_path}/pid; {KILL}; exec sleep 1000; fi')
    assert in_a_process(paths, {"a": "slow"}) == -KILLED
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, 0)
    applier(paths).recover()
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"


# --- what a configuration is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[]", "must be one JSON object"),
        (b"{", "is not JSON"),
        (b'{"a": 1}', "is no text"),
        (b'{"a": null}', "is no text"),
        (b'{"a": "1", "a": "2"}', "there twice"),
        (b'{"": "1"}', "1 to 4096 characters"),
        (json.dumps({"a": "x" * 4097}).encode(), "1 to 4096 characters"),
        (json.dumps({str(each): "" for each in range(1001)}).encode(), "at most 1000 keys"),
        (b'{"a": "\\ud800"}', "no Unicode text"),
        (b"[" * 100_000, "is not JSON"),
        (b" " * (plan.MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_is_no_configuration(content: bytes, said: str) -> None:
    with pytest.raises(plan.Invalid, match=said):
        plan.parse(content)


def test_programs_read_back_what_was_sent(paths: Paths) -> None:
    values = {"é": 'quo"ted\n', "b": ""}
    assert plan.parse(plan.dump(values)) == values


def test_the_record_keeps_the_last_and_says_what_is_installed(paths: Paths) -> None:
    now = SystemClock().now()

    def one(number: int, status: str, **more: bool) -> None:
        made = deployment.Deployment(
            id=str(number), artifact=f"c-{number}", phase=deployment.TELL, values={}, before={}, **more
        )
        deployment.note(paths, made, status, now)

    assert deployment.installed(paths) == ""
    for number in range(30):
        one(number, deployment.SUCCESS)
    one(30, deployment.FAILURE)
    known = deployment.known(paths)
    assert [each["id"] for each in known] == [str(number) for number in range(11, 31)]
    assert deployment.installed(paths) == "c-29"
    one(31, deployment.FAILURE, consistent=False)
    assert deployment.installed(paths) == "c-29_INCONSISTENT"
    one(32, deployment.WAITING)
    one(32, deployment.SUCCESS)
    assert deployment.installed(paths) == "c-32"
    assert deployment.known(paths)[-1] | {"at": ""} == {
        "id": "32", "artifact": "c-32", "status": "success", "at": "", "error": "", "reboot": False, "consistent": True
    }  # fmt: skip
