"""Plays systemd on a bus: `fake_systemd.py ADDRESS UNITS-AS-JSON SYSTEM-STATE`.

Does what org.freedesktop.systemd1(5) says of the few methods that matter: no signal before Subscribe, units that do
not exist can be loaded and are "not-found", a change of a unit is one PropertiesChanged with all that changed.
"""

import json
import sys
from typing import Any

from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, Proxy, prep_socket

MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "org.freedesktop.systemd1.Unit"
PATH = "/org/freedesktop/systemd1"
PROPERTIES = "org.freedesktop.DBus.Properties"
QUIET = {"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead", "Job": 0, "Down": 0}

units: dict[str, dict[str, Any]] = {
    name: {**QUIET, "LoadState": "loaded", **values} for name, values in json.loads(sys.argv[2]).items()
}
aliases: dict[str, str] = {}
calls: list[str] = []
system_state = sys.argv[3]
subscribed = False


def escaped(name: str) -> str:
    return PATH + "/unit/" + "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in name)


def variants(values: dict[str, Any]) -> dict[str, Any]:
    """As systemd has them on the bus, with others that nobody here asks for."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if name == "Job":
            out[name] = ("(uo)", (value, f"{PATH}/job/{value}" if value else "/"))
        elif name == "Down":
            out["InactiveEnterTimestampMonotonic"] = ("t", value)
        else:
            out[name] = ("s", value)
    out["Following"] = ("s", "")
    return out


def control(connection: DBusConnection, what: str, values: list[Any]) -> Any:
    global system_state
    if what == "Set":
        name, changed = values
        units.setdefault(name, dict(QUIET)).update(changed)
        told = {key: value for key, value in units[name].items() if key != "LoadState"}  # as systemd: constant
        if subscribed:
            emitter = DBusAddress(escaped(name), interface=PROPERTIES)
            body = (UNIT, variants(told), ["Names"])
            connection.send(new_signal(emitter, "PropertiesChanged", "sa{sv}as", body))
    elif what == "SystemState":
        (system_state,) = values
    elif what == "Alias":
        aliases[values[0]] = values[1]
    elif what == "Reload":
        units.update({name: {**QUIET, **unit} for name, unit in values[0].items()})
        emitter = DBusAddress(PATH, interface=MANAGER)
        connection.send(new_signal(emitter, "Reloading", "b", (True,)))
        connection.send(new_signal(emitter, "Reloading", "b", (False,)))
    return calls


def main() -> None:
    global subscribed
    connection = DBusConnection(prep_socket(sys.argv[1].removeprefix("unix:path=")))
    Proxy(message_bus, connection).RequestName("org.freedesktop.systemd1")
    while True:
        message = connection.receive()
        if message.header.message_type is not MessageType.method_call:
            continue
        fields = message.header.fields
        member, path, body = fields[HeaderFields.member], fields[HeaderFields.path], message.body
        interface = fields.get(HeaderFields.interface)
        calls.append(member)
        if path == "/control":
            answer = control(connection, member, json.loads(body[0]))
            reply = new_method_return(message, "s", (json.dumps(answer),))
        elif member == "Subscribe" and interface == MANAGER:
            subscribed = True
            reply = new_method_return(message)
        elif member == "LoadUnit" and interface == MANAGER:
            name = aliases.get(body[0], body[0])
            if len(name) > 255:
                reply = new_error(message, "org.freedesktop.DBus.Error.InvalidArgs", "s", ("Unit name is not valid.",))
            else:
                units.setdefault(name, dict(QUIET))
                reply = new_method_return(message, "o", (escaped(name),))
        elif member == "GetAll" and body == (UNIT,):
            (unit,) = (unit for name, unit in units.items() if escaped(name) == path)
            reply = new_method_return(message, "a{sv}", (variants(unit),))
        elif member == "Get" and body == (MANAGER, "SystemState"):
            reply = new_method_return(message, "v", (("s", system_state),))
        else:
            reply = new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", (f"no {member} here",))
        connection.send(reply)


main()
