"""How bad a vulnerability is, as its CVSS vector says. Sources: the CVSS specifications 2.0, 3.0, 3.1 and 4.0 of FIRST.

Only what the vector says counts: base metrics, and temporal or environmental ones of 4.0 where they are given.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Final

from vedette.errors import Invalid

Metrics = Mapping[str, str]

_V2: Final[Mapping[str, Mapping[str, float]]] = {
    "AV": {"L": 0.395, "A": 0.646, "N": 1.0},
    "AC": {"H": 0.35, "M": 0.61, "L": 0.71},
    "Au": {"M": 0.45, "S": 0.56, "N": 0.704},
    "C": {"N": 0.0, "P": 0.275, "C": 0.66},
    "I": {"N": 0.0, "P": 0.275, "C": 0.66},
    "A": {"N": 0.0, "P": 0.275, "C": 0.66},
}
_V3: Final[Mapping[str, Mapping[str, float]]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "PR": {"N": 0.85, "L": 0.62, "H": 0.27},
    "UI": {"N": 0.85, "R": 0.62},
    "S": {"U": 0.0, "C": 1.0},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PR_CHANGED: Final = {"N": 0.85, "L": 0.68, "H": 0.5}


def score(vector: str) -> float:
    """0.0 to 10.0.

    Raises:
        Invalid: it is no vector, or of a version that is not known.
    """
    parts = vector.strip().strip("()").split("/")
    version = parts.pop(0).partition(":")[2] if parts[0].startswith("CVSS:") else "2.0"
    try:
        pairs = [part.split(":") for part in parts if part]
        metrics = {name: value for name, value in pairs}  # noqa: C416 - a part that is no pair is refused here
        if version == "2.0":
            return _score_2(metrics)
        if version in {"3.0", "3.1"}:
            return _score_3(metrics)
        if version == "4.0":
            return _score_4(metrics)
    except (KeyError, ValueError) as exc:
        raise Invalid(f"{vector[:100]!r} is no CVSS vector") from exc
    raise Invalid(f"{vector[:100]!r} is a CVSS vector of an unknown version")


def level(value: float, *, of_version_2: bool = False) -> int:
    """Of `model.feed.LEVELS`; 0: no severity at all. Version 2.0 knows nothing above high."""
    if value <= 0:
        return 0
    return 1 if value < 4 else 2 if value < 7 else 3 if value < 9 or of_version_2 else 4


def _score_2(metrics: Metrics) -> float:
    weight = {name: values[metrics[name]] for name, values in _V2.items()}
    impact = 10.41 * (1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"]))
    exploitability = 20 * weight["AV"] * weight["AC"] * weight["Au"]
    return round((0.6 * impact + 0.4 * exploitability - 1.5) * (1.176 if impact else 0.0) + 1e-9, 1)


def _score_3(metrics: Metrics) -> float:
    weight = {name: values[metrics[name]] for name, values in _V3.items()}
    changed = metrics["S"] == "C"
    if changed:
        weight["PR"] = _PR_CHANGED[metrics["PR"]]
    base = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = 7.52 * (base - 0.029) - 3.25 * (base - 0.02) ** 15 if changed else 6.42 * base
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * weight["AV"] * weight["AC"] * weight["PR"] * weight["UI"]
    return _up(min(10.0, (1.08 if changed else 1.0) * (impact + exploitability)))


def _up(value: float) -> float:
    """Rounded up to a tenth, without what binary fractions add. Source: CVSS 3.1, appendix A."""
    whole = round(value * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (math.floor(whole / 10_000) + 1) / 10


# --- version 4.0: a table of 270 groups of vectors, and the way within a group ---------------------------------------

# Tenths by EQ1 and EQ2 (lines), EQ3, EQ4, EQ5 and EQ6 (columns); "aa" is 10.0, "--" does not exist.
_SCORES: Final = """\
aa 99 98 95 95 92 aa 96 93 87 91 81 93 90 89 80 81 68 98 95 95 92 90 84 93 92 89 81 81 65 88 80 78 70 69 48 -- 92 -- 82 -- 72 -- 79 -- 69 -- 50 -- 69 -- 55 -- 27
99 97 95 92 92 85 95 91 90 83 84 71 92 81 82 71 72 53 95 93 92 85 85 73 92 82 80 72 70 59 84 70 71 52 50 30 -- 86 -- 75 -- 52 -- 71 -- 52 -- 29 -- 63 -- 29 -- 17
98 95 94 87 91 81 94 89 86 74 77 64 87 75 74 63 63 49 94 89 88 77 76 67 86 76 74 58 59 50 72 57 57 52 52 25 -- 83 -- 70 -- 54 -- 65 -- 58 -- 26 -- 53 -- 21 -- 13
95 90 88 76 76 70 90 77 75 62 61 53 77 66 68 59 52 30 89 78 76 67 62 58 74 59 57 57 47 23 61 52 57 29 24 16 -- 71 -- 59 -- 30 -- 58 -- 26 -- 15 -- 23 -- 13 -- 06
93 87 86 72 75 58 86 74 74 61 56 34 70 54 52 40 40 22 85 75 74 55 62 51 72 57 55 41 46 19 53 36 34 19 19 08 -- 64 -- 51 -- 20 -- 47 -- 21 -- 11 -- 24 -- 09 -- 04
88 75 73 53 60 50 73 55 59 40 41 20 54 43 45 22 20 11 75 55 58 45 40 21 61 51 48 18 20 09 46 18 17 07 08 02 -- 53 -- 24 -- 14 -- 24 -- 12 -- 05 -- 10 -- 03 -- 01
"""  # noqa: E501
_GROUPS: Final[Mapping[tuple[int, ...], float]] = {
    (*row, *column): 10.0 if text == "aa" else int(text) / 10
    for row, line in zip(product(range(3), range(2)), _SCORES.splitlines(), strict=True)
    for column, text in zip(product(range(3), range(3), range(3), range(2)), line.split(), strict=True)
    if text != "--"
}
_STEPS: Final[Mapping[str, str]] = {  # the values of a metric, the worst first
    "AV": "NALP", "AC": "LH", "AT": "NP", "PR": "NLH", "UI": "NPA", "VC": "HLN", "VI": "HLN", "VA": "HLN",
    "SC": "SHLN", "SI": "SHLN", "SA": "SHLN", "CR": "HML", "IR": "HML", "AR": "HML", "E": "APU",
}  # fmt: skip
# The worst vectors of a group, by the part of it that they belong to, and how many steps lead to the least bad one.
_WORST_1: Final = (
    ("AV:N PR:N UI:N",),
    ("AV:A PR:N UI:N", "AV:N PR:L UI:N", "AV:N PR:N UI:P"),
    ("AV:P PR:N UI:N", "AV:A PR:L UI:P"),
)
_WORST_2: Final = (("AC:L AT:N",), ("AC:H AT:N", "AC:L AT:P"))
_WORST_36: Final = {
    (0, 0): ("VC:H VI:H VA:H CR:H IR:H AR:H",),
    (0, 1): ("VC:H VI:H VA:L CR:M IR:M AR:H", "VC:H VI:H VA:H CR:M IR:M AR:M"),
    (1, 0): ("VC:L VI:H VA:H CR:H IR:H AR:H", "VC:H VI:L VA:H CR:H IR:H AR:H"),
    (1, 1): (
        "VC:L VI:H VA:L CR:H IR:M AR:H", "VC:L VI:H VA:H CR:H IR:M AR:M", "VC:H VI:L VA:H CR:M IR:H AR:M",
        "VC:H VI:L VA:L CR:M IR:H AR:H", "VC:L VI:L VA:H CR:H IR:H AR:M",
    ),
    (2, 1): ("VC:L VI:L VA:L CR:H IR:H AR:H",),
}  # fmt: skip
_WORST_4: Final = (("SC:H SI:S SA:S",), ("SC:H SI:H SA:H",), ("SC:L SI:L SA:L",))
_DEPTH_1, _DEPTH_2, _DEPTH_4 = (1, 4, 5), (1, 2), (6, 5, 4)
_DEPTH_36: Final = {(0, 0): 7, (0, 1): 6, (1, 0): 8, (1, 1): 8, (2, 1): 10}


def _score_4(given: Metrics) -> float:
    metrics = {name: _value_4(given, name) for name in _STEPS}
    if all(metrics[name] == "N" for name in ("VC", "VI", "VA", "SC", "SI", "SA")):
        return 0.0
    group = _group(metrics)
    one, two, three, four, five, six = group
    value = _GROUPS[group]
    steps = [
        (_next(value, (one + 1, *group[1:])), _way(metrics, _WORST_1[one]), _DEPTH_1[one]),
        (_next(value, (one, two + 1, *group[2:])), _way(metrics, _WORST_2[two]), _DEPTH_2[two]),
        (_next(value, *_after_36(group)), _way(metrics, _WORST_36[three, six]), _DEPTH_36[three, six]),
        (_next(value, (one, two, three, four + 1, five, six)), _way(metrics, _WORST_4[four]), _DEPTH_4[four]),
        (_next(value, (one, two, three, four, five + 1, six)), 0, 1),
    ]
    lower = [(room, way, depth) for room, way, depth in steps if room is not None]
    mean = sum(room * way / depth for room, way, depth in lower) / len(lower) if lower else 0.0
    return min(10.0, max(0.0, math.floor((value - mean) * 10 + 0.5 + 1e-6) / 10))


def _value_4(given: Metrics, name: str) -> str:
    """What a metric comes to. Modified ones count before those of the base; what is not said is the worst."""
    value = given.get("M" + name, "X") if name not in {"E", "CR", "IR", "AR"} else "X"
    if value == "X":
        value = given.get(name, "X") if name in {"E", "CR", "IR", "AR"} else given[name]
    if value == "X":
        value = _STEPS[name][0]
    if value not in _STEPS[name]:
        raise ValueError
    return value


def _group(metrics: Metrics) -> tuple[int, ...]:
    none = [metrics[name] == "N" for name in ("AV", "PR", "UI")]
    one = 0 if all(none) else 1 if any(none) and metrics["AV"] != "P" else 2
    two = 0 if metrics["AC"] == "L" and metrics["AT"] == "N" else 1
    high = [metrics[name] == "H" for name in ("VC", "VI", "VA")]
    three = 0 if high[0] and high[1] else 1 if any(high) else 2
    safety = "S" in (metrics["SI"], metrics["SA"])
    four = 0 if safety else 1 if "H" in (metrics["SC"], metrics["SI"], metrics["SA"]) else 2
    six = 0 if any(each and metrics[name] == "H" for each, name in zip(high, ("CR", "IR", "AR"), strict=True)) else 1
    return one, two, three, four, "APU".index(metrics["E"]), six


def _after_36(group: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The groups one step less bad in EQ3 and EQ6, which go together."""
    one, two, three, four, five, six = group
    pairs = {(0, 0): ((0, 1), (1, 0)), (0, 1): ((1, 1),), (1, 0): ((1, 1),), (1, 1): ((2, 1),)}.get((three, six), ())
    return [(one, two, eq3, four, five, eq6) for eq3, eq6 in pairs]


def _next(value: float, *groups: tuple[int, ...]) -> float | None:
    """How far the next group is below `value`; None: there is none."""
    found = [_GROUPS[group] for group in groups if group in _GROUPS]
    return value - max(found) if found else None


def _way(metrics: Metrics, worst: Sequence[str]) -> int:
    """Steps from the first of the worst vectors that is nowhere less bad than this one."""
    for vector in worst:
        steps = [
            _STEPS[name].index(metrics[name]) - _STEPS[name].index(value)
            for name, value in (each.split(":") for each in vector.split())
        ]
        if min(steps) >= 0:
            return sum(steps)
    raise ValueError
