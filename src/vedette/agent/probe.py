"""`python -m vedette.agent.probe`: tries an address once for the daemon and is gone.

A line of JSON on standard input says what to try, a line on standard output how it went: {"ok": true, "why": "..."}.
Only started by `checks/connectivity`; so what is imported here is never in the daemon's memory.
"""

import base64
import json
import os
import re
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from vedette.agent.targets import DNS, HTTPS, PORTS, TCP
from vedette.clock import SystemClock

BETWEEN_TRIES_S: Final = 1.0
MAX_HEAD: Final = 8192
RESOLV_CONF: Final = Path("/etc/resolv.conf")
NO_ERROR, NAME_ERROR = 0, 3
RCODES: Final = {1: "format error", 2: "server failure", NAME_ERROR: "no such name", 4: "not implemented", 5: "refused"}


class Failed(Exception):
    """It could not be reached; the message says why."""


def main() -> int:
    question = json.loads(sys.stdin.buffer.readline())
    answer = attempt(question)
    os.write(1, json.dumps(answer).encode() + b"\n")
    return 0


def attempt(question: dict[str, Any]) -> dict[str, Any]:
    """Try up to `tries` times within `limit_s` seconds; the first success counts."""
    clock = SystemClock()
    end = clock.elapsed() + question["limit_s"]
    way: Callable[[dict[str, Any], float], str] = {TCP: _tcp, DNS: _dns}.get(question["kind"], _http)
    why = ""
    for number in range(question["tries"]):
        if number:
            if clock.elapsed() + BETWEEN_TRIES_S >= end:
                break
            time.sleep(BETWEEN_TRIES_S)
        share_s = max(0.1, (end - clock.elapsed()) / (question["tries"] - number))
        try:
            return {"ok": True, "why": way(question, share_s)}
        except TimeoutError:
            why = f"no answer within {share_s:.0f} s"
        except ssl.SSLCertVerificationError as exc:
            why = f"its certificate is not trusted: {exc.verify_message}"
        except (Failed, OSError) as exc:
            why = (exc.strerror if isinstance(exc, OSError) else "") or str(exc)
    return {"ok": False, "why": why}


def _tcp(question: dict[str, Any], timeout_s: float) -> str:
    with closing(_connect(question, timeout_s)) as connection:
        return f"connected to {_shown(connection.getpeername())}"


def _http(question: dict[str, Any], timeout_s: float) -> str:
    """A HEAD request; any answer that is HTTP counts, for it shows that there is a way to the server."""
    clock = SystemClock()
    end = clock.elapsed() + timeout_s
    connection = _connect(question, timeout_s)
    try:
        connection.settimeout(max(0.1, end - clock.elapsed()))
        if question["kind"] == HTTPS:
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=question["host"])
        host = f"[{question['host'].partition('%')[0]}]" if ":" in question["host"] else question["host"]
        if question["port"] != PORTS[question["kind"]]:
            host += f":{question['port']}"
        lines = [
            f"HEAD {question['path']} HTTP/1.1",
            f"Host: {host}",
            "User-Agent: mender-monitor",
            "Accept: */*",
            "Connection: close",
        ]
        if question["credentials"]:
            lines.append("Authorization: Basic " + base64.b64encode(unquote_to_bytes(question["credentials"])).decode())
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while b"\n" not in head and len(head) < MAX_HEAD:
            connection.settimeout(max(0.1, end - clock.elapsed()))
            if not (part := connection.recv(MAX_HEAD)):
                break
            head += part
    finally:
        connection.close()
    found = re.match(rb"HTTP/\d(?:\.\d)? (\d{3})", head)
    if found is None:
        raise Failed("the connection was closed without an answer" if not head else "what answers does not speak HTTP")
    return f"the server answered {found[1].decode()}"


def _connect(question: dict[str, Any], timeout_s: float) -> socket.socket:
    """To the first address of the host that takes the connection, through the interface if one is named."""
    clock = SystemClock()
    end = clock.elapsed() + timeout_s
    try:
        found = socket.getaddrinfo(question["host"], question["port"], type=socket.SOCK_STREAM)
    except socket.gaierror as exc:
        raise Failed(f"{question['host']} does not resolve: {exc.strerror}") from exc
    trouble: OSError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(found):
        connection = socket.socket(family, kind, protocol)
        try:
            _bind(connection, question["interface"])
            connection.settimeout(max(0.1, (end - clock.elapsed()) / (len(found) - number)))
            connection.connect(address)
        except OSError as exc:
            connection.close()
            trouble = exc
        else:
            return connection
    assert trouble is not None
    raise trouble


def _bind(connection: socket.socket, interface: str) -> None:
    """Through this interface only, whatever the routes say. Source: socket(7), SO_BINDTODEVICE."""
    if not interface:
        return
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    except OSError as exc:
        raise Failed(f"the interface {interface} cannot be used: {exc.strerror}") from exc


# -- DNS: as the system resolves, or asked of one server. Source: RFC 1035, section 4. ------------------------------


def _dns(question: dict[str, Any], timeout_s: float) -> str:
    name = question["path"]
    if not question["host"] and not question["interface"]:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except socket.gaierror as exc:
            raise Failed(f"{name} does not resolve: {exc.strerror}") from exc
        return f"{name} is {found[0][4][0]}"
    server = question["host"] or _name_server()
    family, kind, protocol, _, address = socket.getaddrinfo(server, question["port"], type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as connection:
        _bind(connection, question["interface"])
        connection.settimeout(timeout_s)
        connection.connect(address)  # answers of others are not heard
        number = struct.unpack("!H", os.urandom(2))[0]
        connection.send(_query(number, name))
        while True:
            answer = connection.recv(4096)
            if len(answer) >= 12 and struct.unpack("!H", answer[:2])[0] == number and answer[2] & 0x80:
                break
    code = answer[3] & 0x0F
    if code != NO_ERROR:
        raise Failed(f"the name server {server} says of {name}: {RCODES.get(code, f'error {code}')}")
    return f"the name server {server} resolves {name}"


def _query(number: int, name: str) -> bytes:
    """A question for the addresses (A) of `name`, recursion desired."""
    labels = name.removesuffix(".").split(".")
    encoded = b"".join(bytes([len(label)]) + label.encode("ascii") for label in labels) + b"\0"
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + encoded + struct.pack("!HH", 1, 1)


def _name_server() -> str:
    for line in RESOLV_CONF.read_text(errors="replace").splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            return words[1]
    raise Failed(f"{RESOLV_CONF} names no server to ask")


def _shown(address: tuple[Any, ...]) -> str:
    return f"[{address[0]}]:{address[1]}" if ":" in str(address[0]) else f"{address[0]}:{address[1]}"


if __name__ == "__main__":
    sys.exit(main())
