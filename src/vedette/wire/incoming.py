"""JSON from devices to checked values. Only the server imports this (msgspec).

Limits are looked at before and while decoding, so a hostile body costs no more than its own size. Optional keys may be
null (Go clients send their empty slices so); texts may be empty (real devices send such alerts); unknown keys are
ignored. Whatever else is wrong is named by its JSON path.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import msgspec

from vedette.errors import Invalid, TooLarge
from vedette.model import Alert, ConfiguredCheck, Details, Gap, Level, Line, Origin, Subject

MAX_BODY: Final = 1024 * 1024  # bytes
MAX_ALERTS: Final = 4096  # in one body
MAX_GAPS: Final = 4096  # in one body
MAX_CHECKS: Final = 4096  # in one configuration
MAX_NAME: Final = 4096  # characters of a name, type or status: an alert's name holds a whole pattern
MAX_LINES: Final = 1000  # context lines on either side

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime.min.replace(tzinfo=UTC) - _EPOCH
_LAST: Final = datetime.max.replace(tzinfo=UTC) - _EPOCH

_Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Counted = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e10)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class WireLine(msgspec.Struct, frozen=True, gc=False):
    """One line of a log."""

    line_number: _Counted
    data: str


_Lines = Annotated[list[WireLine], msgspec.Meta(max_length=MAX_LINES)]


class WireDetails(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What was seen."""

    description: str | None = None
    lines_before: _Lines | None = None
    line_matching: WireLine | None = None
    lines_after: _Lines | None = None

    def model(self) -> Details:
        """The same as a model value."""
        return Details(
            description=self.description or "",
            lines_before=_lines(self.lines_before),
            line_matching=None if self.line_matching is None else _line(self.line_matching),
            lines_after=_lines(self.lines_after),
        )


class WireSubject(msgspec.Struct, frozen=True, gc=False):
    """What the alert is about."""

    name: _Name
    type: _Name
    status: _Name
    details: WireDetails | None = None


class WireOrigin(msgspec.Struct, frozen=True, gc=False):
    """Our own key: where the record stands in the device's account."""

    id: UUID
    sequence: _Positive
    boot: UUID
    elapsed_s: _Seconds
    account: UUID | None = None


class WireAlert(msgspec.Struct, frozen=True, gc=False):
    """One alert as it came in, checked.

    The ingest stores it as it is: making model values of every context line would cost it half of its speed.
    """

    name: _Name
    level: Level
    timestamp: _Time
    subject: WireSubject
    origin: WireOrigin | None = None

    @property
    def at_us(self) -> int:
        """The device's time in microseconds since 1970; negative before."""
        return microseconds(self.timestamp)

    def details_text(self) -> str | None:
        """The details as JSON text, always written the same way; `details` reads it."""
        return None if self.subject.details is None else _encode(self.subject.details).decode()

    def model(self) -> Alert:
        """The same as a model value."""
        return Alert(
            name=self.name,
            level=self.level,
            at=self.timestamp.astimezone(UTC),
            subject=Subject(
                name=self.subject.name,
                type=self.subject.type,
                status=self.subject.status,
                details=None if self.subject.details is None else self.subject.details.model(),
            ),
            origin=None if self.origin is None else _origin(self.origin),
        )


class WireGap(msgspec.Struct, frozen=True, gc=False):
    """Numbers of a device's account that will never come."""

    account: UUID
    first: _Counted
    last: _Counted
    reason: _Name
    at: _Time


_encode: Final = msgspec.json.Encoder().encode
_gaps: Final = msgspec.json.Decoder(list[WireGap])
_alerts: Final = msgspec.json.Decoder(list[WireAlert])
_details: Final = msgspec.json.Decoder(WireDetails)
_checks: Final = msgspec.json.Decoder(list[dict[str, Any]])


def alerts(body: bytes | bytearray) -> list[WireAlert]:
    """The alerts of a device's POST, in its order.

    Raises:
        TooLarge: more bytes or more alerts than are taken at once.
        Invalid: not JSON, or not alerts; says where.
    """
    records = _decode(_alerts.decode, body, "alerts")
    if len(records) > MAX_ALERTS:
        raise TooLarge(f"{len(records)} alerts in one body; at most {MAX_ALERTS}, send the rest in another")
    for index, record in enumerate(records):
        if not _FIRST <= record.timestamp - _EPOCH <= _LAST:
            raise Invalid(f"the alerts are not valid: a time not of the years 1 to 9999 - at `$[{index}].timestamp`")
    return records


def gaps(body: bytes | bytearray) -> tuple[Gap, ...]:
    """The gaps of a device's account.

    Raises:
        TooLarge: more bytes or more gaps than are taken at once.
        Invalid: not JSON, or not such a list; says where.
    """
    records = _decode(_gaps.decode, body, "gaps")
    if len(records) > MAX_GAPS:
        raise TooLarge(f"{len(records)} gaps in one body; at most {MAX_GAPS}")
    out = []
    for index, each in enumerate(records):
        if each.first > each.last or not _FIRST <= each.at - _EPOCH <= _LAST:
            raise Invalid(f"the gaps are not valid: no range of numbers, or no time - at `$[{index}]`")
        at = each.at.astimezone(UTC)
        out.append(Gap(account=each.account, first=each.first, last=each.last, reason=each.reason, at=at))
    return tuple(out)


def details(text: str) -> Details:
    """What `WireAlert.details_text` wrote, as a model value."""
    return _details.decode(text).model()


def configuration(body: bytes | bytearray | str, *, limit: int = MAX_BODY) -> tuple[ConfiguredCheck, ...]:
    """The checks that a device says it runs.

    Args:
        limit: of `body`. What was taken once, and written again with all that is optional, may be longer.
    Raises:
        TooLarge: more bytes or more checks than are taken at once.
        Invalid: not JSON, or not such a list; says where.
    """
    items = _decode(_checks.decode, body, "checks", limit)
    if len(items) > MAX_CHECKS:
        raise TooLarge(f"{len(items)} checks in one body; at most {MAX_CHECKS}")
    return tuple(_check(item, f"$[{index}]") for index, item in enumerate(items))


def microseconds(at: datetime) -> int:
    """Microseconds since 1970, exact; `at` needs a time zone."""
    since = at - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def moment(us: int) -> datetime:
    """The other way: microseconds since 1970 as a time in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def _decode(
    decode: Callable[[bytes | bytearray | str], T], body: bytes | bytearray | str, what: str, limit: int = MAX_BODY
) -> T:
    if len(body) > limit:
        raise TooLarge(f"the body has more than {limit} bytes")
    try:
        return decode(body)
    except msgspec.DecodeError as exc:  # wrong types as well: ValidationError is one of these
        raise Invalid(f"the {what} are not valid: {exc}") from None
    except RecursionError:
        raise Invalid(f"the {what} are not valid: nested too deeply") from None
    except UnicodeDecodeError:
        raise Invalid(f"the {what} are not valid: not UTF-8") from None


def _check(item: dict[str, Any], path: str) -> ConfiguredCheck:
    texts = {}
    for key, default in (("name", None), ("type", None), ("status", "enabled")):
        value = item.get(key, default)
        if not isinstance(value, str):
            raise Invalid(f"the checks are not valid: Expected `str` - at `{path}.{key}`")
        if len(value) > MAX_NAME:
            raise Invalid(f"the checks are not valid: longer than {MAX_NAME} characters - at `{path}.{key}`")
        texts[key] = value
    kind = texts["type"]
    if kind in texts:
        raise Invalid(f"the checks are not valid: {kind!r} cannot be a type - at `{path}.type`")
    settings = item.get(kind)
    if settings is not None and not isinstance(settings, dict):
        raise Invalid(f"the checks are not valid: Expected `object` - at `{path}.{kind}`")
    known: dict[str, str | int] = {}
    for key, value in (settings or {}).items():
        if isinstance(value, str) or (isinstance(value, int) and -(2**63) <= value < 2**63):
            known[key] = value
        elif value is not None:
            raise Invalid(f"the checks are not valid: Expected `str | int` - at `{path}.{kind}.{key}`")
    return ConfiguredCheck(name=texts["name"], kind=kind, status=texts["status"], settings=known)


def _line(line: WireLine) -> Line:
    return Line(line.line_number, line.data)


def _lines(lines: list[WireLine] | None) -> tuple[Line, ...]:
    return tuple(_line(line) for line in lines or ())


def _origin(origin: WireOrigin) -> Origin:
    return Origin(
        id=origin.id,
        sequence=origin.sequence,
        boot=origin.boot,
        elapsed_s=origin.elapsed_s,
        account=origin.account,
    )
