"""The security checks; one scanner a kind, run in a short-lived child: `scanner` says what one is, `check` runs it."""

from typing import Final

KINDS: Final = ("cve", "pid-change", "ports", "setuid", "traffic", "integrity", "logins", "deployment", "processes")
"""As in `model.security`, which a device without such checks does not load."""
