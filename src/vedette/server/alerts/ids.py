"""The id of an alert: its time and a hash, as a UUID whose text sorts by time.

The same alert delivered twice has the same id, so one key is identity, idempotency and the order of the history.
RFC 9562, section 5.8 (version 8): 48 bits of milliseconds since 1970, 12 bits of microseconds within them, 62 bits of
hash. The hash is of the record's own id where the device gives one, else of all that it says.
"""

from hashlib import blake2b
from typing import Final

from vedette.wire.incoming import WireAlert

_HASH_BITS: Final = 62
_PIECE: Final = 2047  # bytes; hashlib's own limit, HASHLIB_GIL_MINSIZE
_LAST_MS: Final = (1 << 48) - 1


def alert_id(record: WireAlert, details: str | None) -> str:
    """The id of `record`, whose details are written as `details` (`WireAlert.details_text`)."""
    if record.origin is not None:
        content = record.origin.id.bytes
    else:
        name, level, subject, details = record.name, record.level, record.subject, details or ""
        type_, who, status = subject.type, subject.name, subject.status
        # Lengths in front: no two alerts can read the same.
        content = (
            f"{len(name)}:{name}{len(level)}:{level}{len(type_)}:{type_}{len(who)}:{who}"
            f"{len(status)}:{status}{len(details)}:{details}"
        ).encode()
    return _uuid(record.at_us, _digest(content))


def first_at(at_us: int) -> str:
    """The lowest id that an alert of this time (microseconds since 1970) or later can have."""
    return _uuid(at_us, 0)


def _digest(content: bytes) -> int:
    """62 bits. In small pieces: for bigger ones hashlib lets go of the interpreter lock, and to get it back from the
    busy database thread takes longer than the hash."""
    hashed = blake2b(content[:_PIECE], digest_size=8)
    for start in range(_PIECE, len(content), _PIECE):
        hashed.update(content[start : start + _PIECE])
    return int.from_bytes(hashed.digest()) >> 64 - _HASH_BITS


def _uuid(at_us: int, digest: int) -> str:
    ms, us = divmod(max(at_us, 0), 1000)  # a clock before 1970 is wrong anyway: such alerts come first
    number = min(ms, _LAST_MS) << 80 | 8 << 76 | us << 64 | 0b10 << _HASH_BITS | digest
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
