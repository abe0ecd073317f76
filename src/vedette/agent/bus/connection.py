"""One life of a connection to the bus: from the socket to its first error. Never blocks.

Whoever answers is bounded: a call has CALL_S seconds, WINDOW calls are unanswered at most (a system bus allows 128),
and a body larger than BODY_MAX is not taken apart, for that would hold up every other check.
"""

import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from jeepney.auth import BEGIN, AuthenticationError, Authenticator
from jeepney.bus import get_connectable_addresses
from jeepney.low_level import Endianness, HeaderFields, MessageFlag, MessageType, parse_signature
from jeepney.wrappers import DBusAddress, new_method_call

from vedette.agent.bus import ADDRESS_VARIABLE, address
from vedette.agent.loop import Loop, Timer

BUS: Final = "org.freedesktop.DBus"
BUS_PATH: Final = "/org/freedesktop/DBus"

READ_BYTES: Final = 32 * 1024
BODY_MAX: Final = 64 * 1024
WINDOW: Final = 32
CALL_S: Final = 25.0  # as the common client libraries wait
_FIXED: Final = 16  # bytes at the start of every message, from which its size is known
_SIZE_MAX: Final = 1 << 27  # of the protocol
NO_REPLY: Final = "org.freedesktop.DBus.Error.NoReply"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A method call."""

    destination: str
    path: str
    interface: str
    member: str
    signature: str = ""
    body: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back: values, or the name of an error and its sentence."""

    body: tuple[Any, ...] = ()
    error: str = ""
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A signal. Variants are pairs of signature and value, arrays of bytes are bytes, dictionaries dicts."""

    sender: str
    destination: str  # "" when it is for everybody
    path: str
    interface: str
    member: str
    serial: int
    signature: str
    body: tuple[Any, ...] | None  # None: larger than BODY_MAX
    size: int  # bytes of the body


class Lost(Exception):
    """The connection cannot be had or is of no use any more; the message says why."""


class Connection:
    """`on_up` is called once when calls can be made; `on_lost` once, with a reason, when it is over by itself.

    Raises:
        Lost: there is nobody at the address.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        on_up: Callable[[], None],
        on_signal: Callable[[Signal], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._loop, self._on_up, self._on_signal, self._on_lost = loop, on_up, on_signal, on_lost
        self.name = ""  # unique name on the bus: ":1.42"
        self._authenticator: Authenticator | None = Authenticator()
        self._buffer = bytearray()
        self._needed = _FIXED  # bytes until the buffer is worth a look
        self._skip = 0  # bytes to come of a body that is not looked at
        self._serial = 0
        self._open: dict[int, tuple[Callable[[Reply], None], Timer]] = {}
        self._waiting: deque[tuple[Call, Callable[[Reply], None]]] = deque()
        self._socket = _connect()
        self._closed = False
        loop.add_reader(self._socket.fileno(), self._read)
        self._greeting = loop.call_later(CALL_S, lambda: self._lose("it does not answer"))
        loop.call_soon(lambda: self._guard(self._authenticate))

    def call(self, call: Call, on_reply: Callable[[Reply], None]) -> None:
        """`on_reply` is called once, with an error after CALL_S seconds; never when the connection ends before.

        Nothing is called back from within: that the connection is lost is told later.
        """
        self._waiting.append((call, on_reply))
        self._loop.call_soon(lambda: self._guard(self._send_waiting))

    def close(self) -> None:
        """No more callbacks."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        self._greeting.cancel()
        for _, timer in self._open.values():
            timer.cancel()
        self._open.clear()
        self._waiting.clear()

    # -- out -----------------------------------------------------------------------------------------------------

    def _send_waiting(self) -> None:
        while self._waiting and len(self._open) < WINDOW and self._authenticator is None:
            call, on_reply = self._waiting.popleft()
            address = DBusAddress(call.path, call.destination, call.interface)
            message = new_method_call(address, call.member, call.signature or None, call.body)
            message.header.flags |= MessageFlag.no_auto_start  # who watches starts nothing
            self._serial += 1
            serial = self._serial
            timer = self._loop.call_later(CALL_S, lambda serial=serial: self._answer(serial, _NO_REPLY))  # type: ignore[misc]
            self._open[serial] = (on_reply, timer)
            self._send(message.serialise(serial))

    def _send(self, data: bytes) -> None:
        """A socket takes far more than WINDOW calls, unless nobody reads at its other end."""
        try:
            sent = self._socket.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            raise Lost("it reads nothing")

    # -- in ------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        self._guard(self._take)

    def _take(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise Lost("it has closed the connection")
        if self._authenticator is not None:
            self._authenticator.feed(data)
            self._authenticate()
            return
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._buffer += data[skipped:]
        while not self._closed and len(self._buffer) >= self._needed:
            header_size, body_size = _sizes(self._buffer)
            taken = header_size + (body_size if body_size <= BODY_MAX else 0)
            if len(self._buffer) < taken:
                self._needed = taken
                return
            raw = bytes(self._buffer[:taken])
            self._skip = header_size + body_size - taken
            skipped = min(self._skip, len(self._buffer) - taken)
            self._skip -= skipped
            del self._buffer[: taken + skipped]
            self._needed = _FIXED
            self._dispatch(_parse(raw, header_size, body_size))

    def _authenticate(self) -> None:
        if self._authenticator is None:
            return  # an odd bus, which answered before it was asked
        for line in self._authenticator:
            if not line:
                return  # its turn
            self._send(line)
        self._send(BEGIN)
        self._authenticator = None
        self.call(Call(destination=BUS, path=BUS_PATH, interface=BUS, member="Hello"), self._on_hello)

    def _on_hello(self, reply: Reply) -> None:
        if reply.error:
            self._lose(reply.sentence)
            return
        self._greeting.cancel()
        self.name = str(reply.body[0])
        self._on_up()

    def _dispatch(self, message: "_Message") -> None:
        text, body = message.text, message.body
        if message.type == MessageType.signal.value:
            self._on_signal(
                Signal(
                    sender=text(HeaderFields.sender),
                    destination=text(HeaderFields.destination),
                    path=text(HeaderFields.path),
                    interface=text(HeaderFields.interface),
                    member=text(HeaderFields.member),
                    serial=message.serial,
                    signature=text(HeaderFields.signature),
                    body=body,
                    size=message.body_size,
                )
            )
        elif message.type == MessageType.error.value:
            sentence = body[0] if body and isinstance(body[0], str) else ""
            name = text(HeaderFields.error_name) or "an error without a name"
            self._answer(message.answers, Reply(error=name, sentence=sentence or name))
        elif message.type == MessageType.method_return.value:
            self._answer(message.answers, Reply(body=body) if body is not None else _TOO_LARGE)
        # Nobody has a reason to call us; a call is left unanswered.

    def _answer(self, serial: int, reply: Reply) -> None:
        if serial in self._open:
            on_reply, timer = self._open.pop(serial)
            timer.cancel()
            on_reply(reply)
            self._guard(self._send_waiting)

    # -- end -----------------------------------------------------------------------------------------------------

    def _guard(self, step: Callable[[], None]) -> None:
        """Whatever is wrong with the connection ends it, and nothing else."""
        if self._closed:
            return
        try:
            step()
        except (Lost, AuthenticationError) as exc:
            self._lose(str(exc))
        except OSError as exc:
            self._lose(exc.strerror or str(exc))

    def _lose(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._on_lost(reason)


@dataclass(frozen=True, slots=True)
class _Message:
    type: int
    serial: int
    fields: dict[int, Any]  # by their codes; those that we do not know are left alone, as the specification wants
    body: tuple[Any, ...] | None
    body_size: int

    def text(self, field: HeaderFields) -> str:
        return str(self.fields.get(field.value, ""))

    @property
    def answers(self) -> int:
        """The serial of the call that this replies to, 0 for none."""
        serial = self.fields.get(HeaderFields.reply_serial.value, 0)
        return serial if isinstance(serial, int) else 0


def _order(head: bytes | bytearray) -> Endianness:
    if head[0] not in b"lB":
        raise Lost("it sends what is no message")
    return Endianness.little if head[0] in b"l" else Endianness.big


def _sizes(head: bytearray) -> tuple[int, int]:
    """Bytes of the header with its padding, and of the body. Source: D-Bus Specification, "Message Format"."""
    body_size, fields_size = struct.unpack_from(f"{_order(head).struct_code()}4xI4xI", head)
    if body_size > _SIZE_MAX or fields_size > _SIZE_MAX:
        raise Lost("it sends what is no message")
    return (_FIXED + fields_size + 7) // 8 * 8, body_size


def _parse(raw: bytes, header_size: int, body_size: int) -> _Message:
    """`raw` is the header and, unless it is too large, the body."""
    order = _order(raw)
    try:
        pairs, _ = _FIELDS.parse_data(raw, 12, order)
        fields = {code: value for code, (_, value) in pairs}
        body: tuple[Any, ...] | None = None
        if body_size <= BODY_MAX:
            arguments = parse_signature(list(f"({fields.get(HeaderFields.signature.value, '')})"))
            body = arguments.parse_data(raw, header_size, order, fds=_NO_FDS)[0]
    except (ValueError, LookupError, TypeError, AssertionError, struct.error, RecursionError):
        raise Lost("it sends what is no message") from None
    serial: int = struct.unpack_from(f"{order.struct_code()}8xI", raw)[0]
    return _Message(raw[1], serial, fields, body, body_size)


_FIELDS: Final = parse_signature(list("a(yv)"))
_NO_FDS: Final = range(1 << 32)  # descriptors are never passed to us: their number stands for itself
_NO_REPLY: Final = Reply(error=NO_REPLY, sentence=f"no answer within {CALL_S:g} s")
_TOO_LARGE: Final = Reply(error="org.freedesktop.DBus.Error.LimitsExceeded", sentence="the answer is too large")


def _connect() -> socket.socket:
    """A socket to the first address somebody listens on."""
    where = address()
    reason = ""
    try:
        for path in get_connectable_addresses(where):
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                connected.connect(path)
            except OSError as exc:
                connected.close()
                reason = exc.strerror or str(exc)
            else:
                return connected
    except (ValueError, RuntimeError):
        raise Lost(f"{ADDRESS_VARIABLE} {where[:200]!r} names no Unix socket") from None
    raise Lost(f"{reason} ({where[:200]})")
