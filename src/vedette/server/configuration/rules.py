"""What may be kept as a layer of a configuration. Pure."""

from functools import lru_cache
from typing import Final

import pcre2

from vedette.errors import Invalid
from vedette.model import configkeys
from vedette.server.configuration.effective import MAX_KEYS, MAX_LENGTH, MAX_TOTAL
from vedette.server.configuration.layers import Said, Values

MAX_COMMENT: Final = 1000


def check(said: Said) -> None:
    """Refuse what is no layer: too much, or keys that mean something to Vedette and may not be so.

    Raises:
        Invalid: with everything that is wrong with keys of ours.
    """
    check_size(said)
    configkeys.require(said, _pattern)


def check_size(said: Said) -> None:
    """Refuse what is too much for a configuration. Raises Invalid."""
    if len(said) > MAX_KEYS:
        raise Invalid(f"a configuration has at most {MAX_KEYS} keys")
    for key, value in said.items():
        if not 1 <= len(key) <= MAX_LENGTH:
            raise Invalid(f"configuration key {key[:50]!r}: give 1 to {MAX_LENGTH} characters")
        if value is not None and len(value) > MAX_LENGTH:
            raise Invalid(f"configuration value of {key[:50]!r}: give at most {MAX_LENGTH} characters")
    if sum(len(key) + len(value or "") for key, value in said.items()) > MAX_TOTAL:
        raise Invalid(f"a configuration has at most {MAX_TOTAL} characters")


def check_whole(values: Values) -> None:
    """Refuse what a device could not take up: checks that lack something. Raises Invalid."""
    configkeys.refuse(configkeys.incomplete(values))


def check_comment(comment: str) -> None:
    """Raises Invalid."""
    if len(comment) > MAX_COMMENT or "\0" in comment:
        raise Invalid(f"comment: give at most {MAX_COMMENT} characters, without NUL")


@lru_cache(maxsize=1024)
def _pattern(text: str) -> None:
    """Whether PCRE takes it, as it will on the device. Raises Invalid."""
    try:
        pcre2.compile(text)
    except (pcre2.PatternError, pcre2.LibraryError) as exc:
        raise Invalid(f"{text[:80]!r} is not a valid pattern: {exc}") from exc
