"""Tell systemd how we are: ready, alive, stopping. Without systemd nothing happens. Source: sd_notify(3)."""

import _socket  # not `socket`: that brings selectors and enumerations, half a megabyte for one datagram
import os
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
        with suppress(OSError):
            sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
            try:
                sock.setblocking(False)
                sock.sendto("\n".join(messages).encode(), self._address)
            finally:
                sock.close()
