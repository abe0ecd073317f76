"""Tell systemd how we are: ready, alive, stopping. Without systemd nothing happens. Source: sd_notify(3)."""

import os
import socket
from contextlib import suppress


class Notifier:
    """Speaks to NOTIFY_SOCKET (a path, or abstract when it begins with "@"); takes it out of the environment."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec, pid = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
        ours = self._address and usec.isdigit() and (not pid or pid == str(os.getpid()))
        self.watchdog_s = int(usec) / 1e6 / 2 if ours else 0.0
        """Seconds between signs of life, half of what systemd waits for; 0 = none wanted."""

    def send(self, *messages: str) -> None:
        """For example "READY=1", "STATUS=watching 3 checks"."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(messages).encode(), self._address)
