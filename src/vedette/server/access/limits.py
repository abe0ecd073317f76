"""How often somebody may try: a bucket of tries that refills with time, for each of a bounded number of names."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from vedette.clock import Clock
from vedette.errors import TooMany

MAX_NAMES: Final = 10_000
ATTEMPTS: Final = "too many attempts; wait a little"


@dataclass(slots=True)
class _Bucket:
    tries: float
    at: float  # elapsed seconds


def neighbourhood(address: str) -> str:
    """Whom tries from `address` count for: of IPv6, where one machine has countless addresses, its /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(parsed.ipv4_mapped or ip_network((int(parsed) >> 64 << 64, 64)))


class Limit:
    """`burst` tries at once, then one every `every_s` seconds."""

    def __init__(
        self, clock: Clock, *, burst: int, every_s: float, names: int = MAX_NAMES, said: str = ATTEMPTS
    ) -> None:
        """At most `names` are remembered, those that tried last; `said` is what who tries too often hears."""
        self._clock = clock
        self._names = names
        self._said = said
        self._burst = burst
        self._every_s = every_s
        self._buckets: dict[str, _Bucket] = {}

    def take(self, name: str) -> None:
        """Use up a try of `name`.

        Raises:
            TooMany: there is none left; says when the next one comes.
        """
        now = self._clock.elapsed()
        bucket = self._buckets.pop(name, None) or _Bucket(self._burst, now)
        self._buckets[name] = bucket  # the least recently used is first
        bucket.tries = min(self._burst, bucket.tries + (now - bucket.at) / self._every_s)
        bucket.at = now
        if len(self._buckets) > self._names:
            del self._buckets[next(iter(self._buckets))]
        if bucket.tries < 1:
            raise TooMany(self._said, retry_after_s=(1 - bucket.tries) * self._every_s)
        bucket.tries -= 1

    def give_back(self, name: str) -> None:
        """The try was a good one and does not count."""
        bucket = self._buckets.get(name)
        if bucket is not None:
            bucket.tries += 1


def per_minute(clock: Clock, calls: int, names: int) -> Limit | None:
    """A limit of calls for each of `names` callers; None: there is none."""
    if not calls:
        return None
    return Limit(
        clock, burst=calls, every_s=60 / calls, names=names, said=f"too many requests: at most {calls} a minute"
    )
