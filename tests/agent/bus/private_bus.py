"""A message bus of our own, in its own process, and programs on it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, Message, new_method_call, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, Proxy, prep_socket
from real_device import wait_until

DBUS_DAEMON = shutil.which("dbus-daemon") or "dbus-daemon"
CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
  <limit name="max_match_rules_per_connection">60</limit>
  <limit name="max_replies_per_connection">64</limit>
</busconfig>
"""


class Bus:
    """`dbus-daemon` on a socket below `directory`; it can go away and come back."""

    def __init__(self, directory: Path, address: str = "") -> None:
        self.directory = directory
        self.address = address or f"unix:path={directory}/bus.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._programs: list[subprocess.Popen[bytes]] = []
        self._connections: list[DBusConnection] = []

    def start(self) -> None:
        config = self.directory / "bus.conf"
        config.write_text(CONFIG.format(address=self.address))
        self._process = subprocess.Popen(
            [DBUS_DAEMON, f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith(b"unix:")  # it listens

    def stop(self) -> None:
        """It goes away, and with it everybody's connection."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        for process in [*self._programs, *([self._process] if self._process else [])]:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stdin):
                if pipe is not None:
                    pipe.close()
        self._programs.clear()
        self._process = None

    def connect(self) -> DBusConnection:
        """A program on the bus, in the test's own process."""
        kind, _, path = self.address.removeprefix("unix:").partition("=")
        socket = prep_socket("\0" + path if kind == "abstract" else path, timeout=20)
        socket.settimeout(20)
        connection = DBusConnection(socket)
        self._connections.append(connection)
        return connection

    def has(self, name: str) -> bool:
        return bool(Proxy(message_bus, self._here()).NameHasOwner(name)[0])

    def run(self, script: Path, *arguments: str, name: str) -> subprocess.Popen[bytes]:
        """A program in a process of its own, when it has taken its name."""
        process = subprocess.Popen(
            [sys.executable, str(script), self.address, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._programs.append(process)
        wait_until(lambda: self.has(name), f"{name} on the bus")
        return process

    def call(self, address: DBusAddress, member: str, signature: str = "", *body: Any) -> Any:
        call: Message = new_method_call(address, member, signature or None, body)
        return self._here().send_and_get_reply(call, timeout=20).body

    def signal(self, path: str, interface: str, member: str, signature: str = "", *body: Any, to: str = "") -> None:
        """Send a signal, and return when the bus has handed it on."""
        emitter = DBusAddress(path, bus_name=to or None, interface=interface)
        message = new_signal(emitter, member, signature or None, body)
        if to:
            message.header.fields[HeaderFields.destination] = to
        here = self._here()
        here.send(message)
        Proxy(message_bus, here).GetId()

    def _here(self) -> DBusConnection:
        return self._connections[0] if self._connections else self.connect()


class Systemd:
    """The fake systemd on a bus, told what to be."""

    ADDRESS = DBusAddress("/control", bus_name="org.freedesktop.systemd1", interface="test.Control")

    def __init__(self, bus: Bus, **units: dict[str, Any]) -> None:
        self.bus = bus
        self.units = units
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, system_state: str = "running") -> None:
        script = Path(__file__).with_name("fake_systemd.py")
        arguments = json.dumps({f"{name}.service": unit for name, unit in self.units.items()})
        self.process = self.bus.run(script, arguments, system_state, name="org.freedesktop.systemd1")

    def set(self, unit: str, **values: Any) -> None:
        """Change properties of a unit and tell whoever listens: all in one signal."""
        self.tell("Set", f"{unit}.service", values)

    def tell(self, what: str, *values: Any) -> Any:
        (answer,) = self.bus.call(self.ADDRESS, what, "s", json.dumps(values))
        return json.loads(answer)
