"""Which probes are searched for a set of patterns, and whose they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from vedette.agent.match.probe import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Patterns are named by their place in the set."""

    probes: tuple[Probe, ...]  # texts first, then outlines
    owners: tuple[tuple[int, ...], ...]  # for each probe, the patterns to ask about a line that holds it
    loose: tuple[int, ...]  # patterns without probes: asked about every line

    @property
    def texts(self) -> tuple[Probe, ...]:
        """Those that are no outlines."""
        return tuple(each for each in self.probes if not each.outline)

    @property
    def literal(self) -> bool:
        """Can all probes be found by a plain search?"""
        return not any(each.outline or each.caseless for each in self.probes)


def make(patterns: Sequence[str], sample: bytes = b"", *, avoid: frozenset[Probe] = frozenset()) -> Plan:
    """Plan the search for all of `patterns`; see `probes.choose`."""
    from vedette.agent.match.probes import choose  # much that a search which was planned before does without

    owners: dict[Probe, list[int]] = {}
    loose: list[int] = []
    for index, pattern in enumerate(patterns):
        probes = choose(pattern, sample, avoid=avoid)
        for probe in probes:
            owners.setdefault(probe, []).append(index)
        if not probes:
            loose.append(index)
    probes = tuple(sorted(owners, key=lambda each: each.outline))  # stable
    return Plan(probes=probes, owners=tuple(tuple(owners[each]) for each in probes), loose=tuple(loose))
