"""Tells systemd how the server is. Silent where there is no systemd. Source: sd_notify(3), sd_watchdog_enabled(3)."""

import os
import socket


def notify(state: str) -> None:
    """Send `state`, for example "READY=1"; without NOTIFY_SOCKET in the environment nothing happens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(state.encode(), address)
        except OSError:  # a supervisor that is gone is no reason to stop serving
            return


def watchdog_every_s() -> float | None:
    """How often "WATCHDOG=1" is due, in seconds; None: nobody waits for it."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "") or str(os.getpid())
    if not microseconds.isdigit() or int(microseconds) == 0 or pid != str(os.getpid()):
        return None
    return int(microseconds) / 2 / 1_000_000
