"""Plays the Mender client on a bus: `fake_mender_client.py ADDRESS STATE-FILE`.

The state file holds JSON: `token` and `server` that it has, `next` the token that a fetch gets, `fetches` counted,
`silent` when it answers nothing, `forged` a server that somebody else tells of in place of the client.
"""

import json
import sys
from pathlib import Path

from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, Proxy, prep_socket

NAME, PATH, INTERFACE = (
    "io.mender.AuthenticationManager",
    "/io/mender/AuthenticationManager",
    "io.mender.Authentication1",
)


def main() -> None:
    connection = DBusConnection(prep_socket(sys.argv[1].removeprefix("unix:path=")))
    somebody = DBusConnection(prep_socket(sys.argv[1].removeprefix("unix:path=")))
    state_file = Path(sys.argv[2])
    Proxy(message_bus, connection).RequestName(NAME)
    while True:
        message = connection.receive()
        if message.header.message_type is not MessageType.method_call:
            continue
        state = json.loads(state_file.read_text())
        fields = message.header.fields
        called = (fields[HeaderFields.path], fields.get(HeaderFields.interface), fields[HeaderFields.member])
        if state.get("silent"):
            continue
        if called == (PATH, INTERFACE, "GetJwtToken"):
            connection.send(new_method_return(message, "ss", (state["token"], state["server"])))
        elif called == (PATH, INTERFACE, "FetchJwtToken"):
            connection.send(new_method_return(message, "b", (True,)))
            state |= {"token": state["next"], "fetches": state.get("fetches", 0) + 1}
            state_file.write_text(json.dumps(state))
            body = (state["token"], state["server"])
            emitter = DBusAddress(PATH, interface=INTERFACE)
            speaker = connection
            if state.get("forged"):
                speaker, body = somebody, ("stolen", state["forged"])
            signal = new_signal(emitter, "JwtTokenStateChange", "ss", body)
            if speaker is somebody:  # to the one who asked, past every match rule
                signal.header.fields[HeaderFields.destination] = fields[HeaderFields.sender]
            speaker.send(signal)
        else:
            connection.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", ("no such method",)))


main()
