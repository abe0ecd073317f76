"""The system's message bus (D-Bus), on the agent's own loop.

`connection` speaks the protocol for as long as one socket lives, `client` comes back when the bus does, `rules` reads
match rules, `render` turns a signal into the text that patterns are tried on. The wire format is jeepney's, a pure
Python library without I/O of its own: 100 kB of memory, and imported only when a check needs the bus.
Source: D-Bus Specification 0.43.
"""

import os
from pathlib import Path
from typing import Final

ADDRESS_VARIABLE: Final = "DBUS_SYSTEM_BUS_ADDRESS"
DEFAULT_ADDRESS: Final = "unix:path=/var/run/dbus/system_bus_socket"


def address() -> str:
    """Where the system bus is, as the environment or the specification has it."""
    return os.environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS


def may_be_there() -> bool:
    """Is it worth a try? Costs next to nothing where there is no bus."""
    return bool(os.environ.get(ADDRESS_VARIABLE)) or Path(DEFAULT_ADDRESS.partition("=")[2]).exists()
