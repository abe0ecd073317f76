"""A configuration taken by our agent, and one taken by Debian's real `mender-client` with our script: no difference."""

import json
import sys
from pathlib import Path

import pytest
from mender_device import MenderDevice, why_not
from real_site import FILTER, Site

from vedette.agent.paths import Paths
from vedette.demo.stage import Stage

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

SCRIPT = Path(__file__).parents[2] / "packaging/mender-configure/vedette"
LOG = {"monitor.check.log.oops.LOG_PATTERN": 'a "b" $c', "monitor.check.log.oops.LOG_FILE": "/tmp/nothing-here"}
STEPS = (
    ({"timezone": "UTC", **LOG}, "success"),
    ({"timezone": "broken", "monitor.check.service.cron.SERVICE_NAME": "cron"}, "failure"),
    ({**LOG, "monitor.check.log.oops.enabled": "false", "security.ports.interval": "1h"}, "success"),
    ({"monitor.check.log.by-hand.LOG_PATTERN": "x", "monitor.check.log.by-hand.LOG_FILE": "/x"}, "failure"),
    ({"timezone": "UTC"}, "success"),
)


def wrapper(root: Path) -> str:
    """As it is installed, but for where the control tool and its root are."""
    return f'PATH={Path(sys.executable).parent}:$PATH MENDER_MONITOR_ROOT={root} exec {SCRIPT} "$1"'


def tree(paths: Paths) -> dict[str, str]:
    """The checks, and which of them are the server's."""
    found = {"checks.json": (paths.configuration / "checks.json").read_text()}
    for path in sorted(paths.monitor_d.rglob("*.sh")):
        text = str(path.readlink()) if path.is_symlink() else path.read_text()
        found[str(path.relative_to(paths.monitor_d))] = text.replace(str(paths.root), "")
    return found


def by_hand(paths: Paths) -> None:
    paths.available.mkdir(parents=True)
    (paths.available / "log_by-hand.sh").write_text("LOG_PATTERN=mine\nLOG_FILE=/mine\n")


def test_the_same_configurations_leave_the_same_behind(tmp_path: Path) -> None:
    ours, theirs = Paths(tmp_path / "ours"), Paths(tmp_path / "theirs")
    with Stage(print) as stage:
        site = Site(stage, tmp_path)
        ours.mender_conf.parent.mkdir(parents=True)
        ours.mender_conf.write_text(json.dumps({"ServerURL": site.url, "UpdatePollIntervalSeconds": 1}))
        ours.apply_programs.mkdir(parents=True)
        for name, text in (("all", FILTER), ("vedette", wrapper(tmp_path / "ours"))):
            (ours.apply_programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (ours.apply_programs / name).chmod(0o755)
        for paths in (ours, theirs):
            by_hand(paths)
        stage.start("mender-monitord", "--root", str(tmp_path / "ours"))
        first = site.accept()
        client: MenderDevice = site.device()
        client.apply(FILTER, wrapper(tmp_path / "theirs"))
        client.start()
        second = site.accept()
        assert first != second
        for number, (values, status) in enumerate(STEPS):
            made = [site.deploy(device, values) for device in (first, second)]
            for each in made:
                site.ends(each, status)
            wanted = next(values for values, status in reversed(STEPS[: number + 1]) if status == "success")
            for device in (first, second):
                site.reported(device, wanted)
            assert tree(ours) == tree(theirs), number
            kept = json.loads((ours.configuration / "device-config.json").read_text())
            assert kept == client.configuration == wanted
