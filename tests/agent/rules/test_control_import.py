"""`mender-monitorctl import`: what is printed, what is written, and what is left alone."""

import json
from pathlib import Path

import pytest
import samples

from vedette.agent import checkfiles, control
from vedette.agent.paths import Paths

DOORS = str(samples.CORPUS / "fail2ban/doors.conf")
GATE = str(samples.CORPUS / "fail2ban/gate.conf")
KEYWORDS = str(samples.CORPUS / "sigma/keywords.yml")


class Tool:
    """The control tool on a root of its own."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.paths = Paths(root)
        self._root, self._capsys = root, capsys

    def __call__(self, *arguments: str, status: int = 0) -> str:
        assert control.main(["--root", str(self._root), "import", *arguments]) == status
        said = self._capsys.readouterr()
        return said.err if status and said.err else said.out

    def names(self) -> list[str]:
        return sorted(checkfiles.stems(self.paths))


@pytest.fixture
def tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tool:
    return Tool(tmp_path, capsys)


def test_a_filter_becomes_a_check_that_is_off_until_it_is_enabled(tool: Tool) -> None:
    said = tool("fail2ban", DOORS, "--log", "/var/log/doors.log")
    assert said.splitlines() == [
        "doors: exact: log doors on /var/log/doors.log",
        "    note: each failure raises: how many are too many is the affair of a jail",
        "1 check made; rules: 1 exact, 0 approximated, 0 refused",
    ]
    check = checkfiles.find(tool.paths, "log", "doors")
    assert check.values["LOG_FILE"] == "/var/log/doors.log"
    assert check.values["LOG_IMPORTED_FROM"] == "fail2ban:doors"
    samples.check(check.values["LOG_PATTERN"], samples.CORPUS / "fail2ban/doors.log")  # through the file and back
    assert not checkfiles.enabled(tool.paths)


def test_a_rule_becomes_a_check_with_its_level_and_title(tool: Tool) -> None:
    tool("sigma", KEYWORDS, "--enable", "--log", "/var/log/syslog", "--expiration", "1d")
    (check,) = checkfiles.enabled(tool.paths)
    assert isinstance(check, checkfiles.CheckFile)
    assert (check.name, check.values["LOG_ALERT_LEVEL"]) == ("keywords", "CRITICAL")
    assert check.values["LOG_PATTERN_EXPIRATION"] == "86400"
    assert check.values["LOG_ALERT_DESCRIPTION"] == "The door lock is tampered with"
    samples.check(check.values["LOG_PATTERN"], samples.CORPUS / "sigma/keywords.log")


def test_a_dry_run_writes_nothing(tool: Tool) -> None:
    said = tool("fail2ban", GATE, "--dry-run")
    assert "1 check would be made; rules: 0 exact, 1 approximated, 0 refused" in said
    assert "    otherwise: each line is judged alone" in said
    assert tool.names() == []


def test_json_tells_everything(tool: Tool) -> None:
    (rule,) = json.loads(tool("sigma", KEYWORDS, "--json", "--name", "lock"))
    assert rule["verdict"] == "exact"
    assert rule["checks"][0]["name"] == "lock"
    assert rule["checks"][0]["LOG_IMPORTED_FROM"] == rule["origin"]


def test_importing_again_makes_it_anew_and_never_another(tool: Tool) -> None:
    tool("fail2ban", DOORS, "--log", "/var/log/doors.log")
    tool("fail2ban", DOORS, "--log", "/var/log/other.log")
    assert tool.names() == ["log_doors"]
    assert checkfiles.find(tool.paths, "log", "doors").values["LOG_FILE"] == "/var/log/other.log"


def test_a_check_made_by_hand_is_left_alone(tool: Tool) -> None:
    checkfiles.create(tool.paths, "log", "doors", [("LOG_PATTERN", "mine"), ("LOG_FILE", "/x")])
    said = tool("fail2ban", DOORS, "--log", "/var/log/doors.log", status=1)
    assert "refused: there is a check log doors that does not come from this rule; give --name" in said
    assert checkfiles.find(tool.paths, "log", "doors").values["LOG_PATTERN"] == "mine"
    tool("fail2ban", DOORS, "--log", "/var/log/doors.log", "--name", "doors-too")
    assert tool.names() == ["log_doors", "log_doors-too"]


def test_each_log_of_a_jail_has_a_check(tool: Tool) -> None:
    said = tool("fail2ban", str(samples.CORPUS / "fail2ban/etc"))
    assert "front: approximated: log front on /var/log/doors.log, log front-2 on /var/log/more-doors.log" in said
    assert "gone: refused: its filter not-there is not in" in said
    again = tool("fail2ban", str(samples.CORPUS / "fail2ban/etc"))
    assert again == said
    assert tool.names() == ["log_front", "log_front-2", "log_unit"]


def test_a_directory_with_a_prefix_for_all_names(tool: Tool) -> None:
    tool("sigma", str(samples.CORPUS / "sigma"), "--name", "s")
    assert tool.names() == ["log_s-" + each for each in ("audit", "encoded", "keywords", "new-file", "process", "sudo")]


def test_a_filter_of_which_nobody_knows_the_log_is_refused(tool: Tool) -> None:
    assert "refused: nothing says which log it is for; give --log FILE" in tool("fail2ban", DOORS, status=1)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["fail2ban"], 2, "usage"),
        (["yara", DOORS], 2, "usage"),
        (["fail2ban", DOORS, "--much"], 2, "usage"),
        (["fail2ban", DOORS, "--log"], 2, "usage"),
        (["fail2ban", DOORS, "--log", "doors.log"], 1, "neither an absolute path"),
        (["fail2ban", DOORS, "--name", "a b", "--log", "/x"], 1, "no name of a check"),
        (["fail2ban", DOORS, "--expiration", "soon"], 1, "'soon' is no duration"),
        (["fail2ban", "/nowhere"], 1, "there is no /nowhere"),
    ],
)
def test_called_wrongly(tool: Tool, arguments: list[str], status: int, said: str) -> None:
    assert said in tool(*arguments, status=status)
    assert tool.names() == []
