"""What the daemon hands over to its child, and how the child starts."""

import subprocess
import sys

from sandbox_device import Device

from vedette.agent import bootstrap
from vedette.agent.courier import LATER
from vedette.agent.metakeys import TERMS
from vedette.agent.settings import Settings
from vedette.agent.uplink import terms

NEVER_AT_START = ("cryptography", "site", "runpy", "vedette.agent.settings", "vedette.agent.shellfile")


def test_the_child_goes_by_what_the_daemon_handed_over(device: Device) -> None:
    device.paths.config_sh.parent.mkdir(parents=True)
    device.paths.config_sh.write_text("SEND_ALERT_MAX_INTERVAL_S=1\n")  # the daemon has not read it yet
    with device.store() as store:
        terms.hand_over(store, Settings(send_alert_max_interval_s=7, config_log_level="DEBUG"))
        taken = terms.taken(store, device.paths)
    assert (taken.send_alert_max_interval_s, taken.config_log_level) == (7, "DEBUG")


def test_without_a_daemon_or_of_another_version_the_file_counts(device: Device) -> None:
    device.paths.config_sh.parent.mkdir(parents=True)
    device.paths.config_sh.write_text("SEND_ALERT_MAX_INTERVAL_S=9\n")
    with device.store() as store:
        for left in (None, "", "[1, 2]", "{", "7"):
            if left is not None:
                store.set_meta(TERMS, left)
            assert terms.taken(store, device.paths).send_alert_max_interval_s == 9, left


def test_the_child_starts_with_little() -> None:
    """What it imports is the time from a log line to the server. It runs as the daemon starts it: isolated, no site."""
    *options, code, path = bootstrap.arguments("vedette.agent.uplink", later=LATER)
    look = code.replace("sys.exit(main())", "print(*sys.modules)")
    done = subprocess.run([sys.executable, *options, look, path], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "vedette.agent.uplink.child" in loaded
    assert not [name for name in NEVER_AT_START if name in loaded]
    assert not {"_ssl", "_random", "locale"} & {*loaded}  # `ssl`, `random`, `calendar` are there by name only
