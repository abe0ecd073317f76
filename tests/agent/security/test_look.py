"""One look, from question to answer: what is new, what goes on, what is over; and which baseline counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vedette.agent.security import look
from vedette.agent.security.scanner import Context, Finding, Report
from vedette.agent.security.shelf import Shelf
from vedette.clock import FakeClock
from vedette.errors import Unavailable

CHECK = "ports_x"


def finding(key: str, **more: Any) -> Finding:
    return Finding(key=key, name=f"Port {key} is open", status="PORT_OPEN", what=f"{key} is open", **more)


@dataclass
class Asked:
    """A daemon that asks, and takes the answer to heart or is killed before it could."""

    state: Path
    monkeypatch: pytest.MonkeyPatch
    token: str = ""
    memory: Any = None
    raised: dict[str, bool] = field(default_factory=dict)
    contexts: list[Context] = field(default_factory=list)

    def look(
        self, report: Report | Exception, *, killed: bool = False, settings: Mapping[str, str] | None = None
    ) -> Any:
        asked = self

        class Scanner:
            def scan(self, context: Context) -> Report:
                asked.contexts.append(context)
                if isinstance(report, Exception):
                    raise report
                return report

        self.monkeypatch.setattr(look, "scanner", lambda kind: Scanner())
        question = {
            "kind": "ports",
            "check": CHECK,
            "settings": settings or {},
            "root": "/",
            "state": str(self.state),
            "baseline": self.token,
            "memory": self.memory,
            "raised": self.raised,
        }
        answer = look.answer(question, FakeClock(), lambda: None)
        if not killed and "baseline" in answer:
            self.token = answer["baseline"]
            self.memory = self.memory if answer["memory"] is None else answer["memory"]
            self.raised |= {each["key"]: bool(each["expires_s"]) for each in answer["found"]}
            for key in answer["over"]:
                self.raised.pop(key, None)
        return answer

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.state, CHECK)

    @property
    def files(self) -> list[str]:
        return sorted(path.suffix for path in (self.state / "security").iterdir())


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(tmp_path / "state", monkeypatch)


def keys(answer: Any) -> list[str]:
    return [each["key"] for each in answer["found"]]


def test_new_still_and_over(asked: Asked) -> None:
    answer = asked.look(Report(findings=[finding("a"), finding("b")]))
    assert (keys(answer), answer["over"]) == (["a", "b"], {})
    answer = asked.look(Report(findings=[finding("b"), finding("c")]))
    assert (keys(answer), list(answer["over"])) == (["c"], ["a"])


def test_events_are_not_over_by_not_being_found_again(asked: Asked) -> None:
    asked.look(Report(findings=[finding("login", expires_s=60)]))
    answer = asked.look(Report())
    assert (keys(answer), answer["over"]) == ([], {})
    answer = asked.look(Report(findings=[finding("login", expires_s=60)]))
    assert (keys(answer), answer["found"][0]["expires_s"]) == (["login"], 60)


def test_what_was_not_looked_at_stays_as_it_was(asked: Asked) -> None:
    found = [finding("file /root/x"), finding("/rootfs/y"), finding("/root"), finding("/etc/z")]
    asked.look(Report(findings=found))
    answer = asked.look(Report(unseen=["/root: Permission denied"]), killed=True)
    assert answer["over"].keys() == {"/rootfs/y", "/etc/z"}
    assert answer["unseen"] == ["/root: Permission denied"]
    assert asked.look(Report(partial=True))["over"] == {}


def test_accepted_findings_are_called_off_until_their_content_is_another(asked: Asked) -> None:
    asked.look(Report(findings=[finding("a", fingerprint="1"), finding("b")]))
    asked.shelf.accept({"a": "1", "b": ""})
    answer = asked.look(Report(findings=[finding("a", fingerprint="1"), finding("b", fingerprint="7")]))
    assert answer["over"].keys() == {"a", "b"}
    assert asked.contexts[-1].accepted == {"a", "b"}
    assert keys(asked.look(Report(findings=[finding("a", fingerprint="2")]))) == ["a"]


def test_of_too_many_the_first_hundred_have_alerts_and_the_rest_has_one(asked: Asked) -> None:
    found = [finding(f"{number:03}") for number in range(150)]
    answer = asked.look(Report(findings=found))
    assert keys(answer) == [*(f"{number:03}" for number in range(100)), f"{CHECK}: further findings"]
    answer = asked.look(Report(findings=found[10:]))
    assert keys(answer)[:10] == [f"{number:03}" for number in range(100, 110)]
    answer = asked.look(Report(findings=found[10:110]))
    assert (keys(answer), list(answer["over"])) == ([], [f"{CHECK}: further findings"])


def test_a_killed_look_has_never_been(asked: Asked) -> None:
    """Neither its baseline counts nor its memory: what it found is found again, be it found only once."""
    asked.look(Report(baseline={"n": 1}, memory={"at": 1}))
    asked.look(Report(findings=[finding("new", expires_s=60)], baseline={"n": 2}, memory={"at": 2}), killed=True)
    asked.look(Report())
    assert (asked.contexts[-1].baseline, asked.contexts[-1].memory) == ({"n": 1}, {"at": 1})
    assert asked.files == [".baseline"]
    asked.look(Report(findings=[finding("new", expires_s=60)], baseline={"n": 2}, memory={"at": 2}))
    asked.look(Report())
    assert (asked.contexts[-1].baseline, asked.contexts[-1].memory) == ({"n": 2}, {"at": 2})
    assert asked.files == [".baseline"]


def test_what_was_left_half_written_goes(asked: Asked) -> None:
    asked.look(Report(baseline={"n": 1}))
    for name in (f".{CHECK}.0123.new.77", f".{CHECK}.accepted.77", ".ports_xy.0123.new.77"):
        (asked.state / "security" / name).touch()
    asked.look(Report())
    assert {path.name for path in (asked.state / "security").glob(".*")} == {
        f".{CHECK}.accepted.77",  # perhaps somebody is at it
        ".ports_xy.0123.new.77",
    }


def test_a_first_look_that_was_killed_has_learned_nothing(asked: Asked) -> None:
    asked.look(Report(baseline={"n": 1}), killed=True)
    asked.look(Report(baseline={"n": 1}))
    assert asked.contexts[-1].baseline is None


def test_without_a_store_the_baseline_that_counted_last_is_known_all_the_same(asked: Asked) -> None:
    asked.look(Report(baseline={"n": 1}))
    asked.look(Report())  # from here on it is sure that it counts
    asked.look(Report(baseline={"n": 2}), killed=True)
    asked.token = ""
    asked.look(Report())
    assert asked.contexts[-1].baseline == {"n": 1}


def test_an_unchanged_baseline_is_not_written_again(asked: Asked) -> None:
    asked.look(Report(baseline={"n": 1}))
    token = asked.token
    asked.look(Report(baseline={"n": 1}))
    assert asked.token == token


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"", lambda data: data.replace(b"1", b"2", 1)])
def test_a_damaged_baseline_is_set_aside_and_said(asked: Asked, damage: Any) -> None:
    asked.look(Report(baseline={"n": 1}))
    asked.look(Report())
    (path,) = (asked.state / "security").glob("*.baseline")
    path.write_bytes(damage(path.read_bytes()))
    answer = asked.look(Report(baseline={"n": 3}))
    assert asked.contexts[-1].baseline is None
    assert keys(answer) == [f"{CHECK}: baseline"]
    assert asked.files == [".damaged", ".new"]
    assert asked.look(Report())["over"] == {}  # it is an event


def test_a_baseline_that_is_gone_is_said(asked: Asked) -> None:
    asked.look(Report(baseline={"n": 1}))
    asked.shelf.clear()
    assert keys(asked.look(Report(baseline={"n": 1}))) == [f"{CHECK}: baseline"]


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (Unavailable("the log is not there"), "the log is not there"),
        (OSError(13, "Permission denied", "/x"), "Permission denied"),
        (MemoryError(), "more memory"),
        (KeyError("n"), "a fault in the scanner of ports: KeyError('n') in test_look.py, line"),
    ],
)
def test_a_scanner_that_cannot_look_says_why_and_changes_nothing(
    asked: Asked, trouble: Exception, sentence: str
) -> None:
    asked.look(Report(baseline={"n": 1}))
    answer = asked.look(trouble)
    assert list(answer) == ["error"]
    assert sentence in answer["error"]


def test_settings_that_are_wrong_are_said(asked: Asked) -> None:
    assert "interval" in asked.look(Report(), settings={"interval": "1"})["error"]


def test_what_cannot_be_kept_is_found_again(asked: Asked) -> None:
    answer = asked.look(Report(findings=[finding("a", expires_s=9)], memory={"x": "y" * look.MAX_MEMORY}))
    assert (keys(answer), answer["memory"]) == (["a"], None)
    assert "larger" in answer["error"]


def test_texts_are_lines_of_bounded_length(asked: Asked) -> None:
    odd = finding("a\n\udcff\x1b[2J" + "k" * 9000, where="w" * 9000, by="\u202e", do="d")
    (found,) = asked.look(Report(findings=[odd]))["found"]
    assert found["key"].startswith(r"a\n\xff\x1b[2J")
    assert len(found["key"]) <= look.MAX_KEY
    lines = found["description"].splitlines()
    assert all(line.isprintable() and len(line) <= look.MAX_TEXT + 200 for line in lines)
    assert [line.partition(":")[0] for line in lines[1:]] == ["Where", "By", "What to do", "If it is all right"]


def test_two_long_names_that_begin_alike_are_two(asked: Asked) -> None:
    assert len(set(keys(asked.look(Report(findings=[finding("k" * 900 + end) for end in "ab"]))))) == 2


def test_clearing_a_check_leaves_others_alone(asked: Asked) -> None:
    asked.look(Report(baseline={"n": 1}))
    other = Shelf(asked.state, f"{CHECK}.y")
    other.save({"n": 2})
    other.accept({"a": ""})
    asked.shelf.clear()
    assert asked.files == [".accepted", ".new"]
