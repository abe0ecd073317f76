"""Keys of the store's table `meta` that the daemon and the uplink share."""

from typing import Final

CONFIG: Final = "report.config"  # the set of checks, as JSON, as it is now
CONFIG_SENT: Final = "report.config.sent"  # as the server has last confirmed it
TERMS: Final = "uplink.terms"  # what of config.sh concerns the uplink, as JSON (uplink/terms.py)
OF_CHECK: Final = "check "
"""And the name of a check: what it wants to know again, as JSON; gone with the check."""
