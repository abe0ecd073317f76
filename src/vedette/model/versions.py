"""Which of two versions is the older one, by the rules of who numbered them.

A rule makes a key of a version; keys of one rule compare as the versions do. A version that breaks its rule has a key
all the same: what can be understood of it counts. (For PEP 440 and semantic versions it comes before all others then.)
Nobody hands over versions of more than `feed.MAX_VERSION` characters.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

Key = tuple[Any, ...]
Rule = Callable[[str], Key]

_CACHED: Final = 20_000  # keys of each rule; advisories repeat the same versions over and over

# --- dpkg, opkg ------------------------------------------------------------------------------------------------------

_DPKG_PARTS: Final = re.compile(r"([^0-9]*)([0-9]*)")
_NO_MORE: Final = ((0,), 0)


@lru_cache(_CACHED)
def dpkg(version: str) -> Key:
    """[epoch:]upstream[-revision]. Source: deb-version(7)."""
    epoch, colon, rest = version.strip().partition(":")
    if not (colon and _is_number(epoch)):
        epoch, rest = "0", version.strip()
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch), _dpkg_part(upstream), _dpkg_part(revision)


def _dpkg_part(text: str) -> Key:
    """Words and numbers in turns. In words "~" comes before their end, letters come before all other characters."""
    parts: list[tuple[tuple[int, ...], int]] = []
    for word, number in _DPKG_PARTS.findall(text):
        if word or number:
            parts.append(((*map(_dpkg_order, word), 0), int(number or 0)))
    return (*(parts or (_NO_MORE,)), _NO_MORE)  # nothing and 0 are the same


def _dpkg_order(char: str) -> int:
    if char == "~":
        return -1
    return ord(char) + (0 if char.isascii() and char.isalpha() else 0x110000)


# --- rpm -------------------------------------------------------------------------------------------------------------

_RPM_WORDS: Final = re.compile(r"[0-9]+|[A-Za-z]+|~|\^")
_RPM_END: Final = (1,)


@lru_cache(_CACHED)
def rpm(version: str) -> Key:
    """[epoch:]version[-release]. Source: rpm's documentation of version comparison, with tilde and caret."""
    epoch, colon, rest = version.strip().partition(":")
    if not (colon and _is_number(epoch)):
        epoch, rest = "0", version.strip()
    upstream, _, release = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch), _rpm_part(upstream), _rpm_part(release)


def _rpm_part(text: str) -> Key:
    """In the order: "~", the end, "^", letters, numbers. What else there is only separates."""
    tokens: list[tuple[Any, ...]] = []
    for word in _RPM_WORDS.findall(text):
        if word == "~":
            tokens.append((0,))
        elif word == "^":
            tokens.append((2,))
        else:
            tokens.append((4, int(word)) if word[0].isdigit() else (3, word))
    return (*tokens, _RPM_END)


# --- apk -------------------------------------------------------------------------------------------------------------

_APK: Final = re.compile(
    r"(?P<numbers>[0-9]+(?:\.[0-9]+)*)(?P<letter>[a-z]?)(?P<suffixes>(?:_[a-z]+[0-9]*)*)(?:~[0-9a-f]+)?(?:-r(?P<revision>[0-9]+))?"
)
_APK_SUFFIX: Final = re.compile(r"_([a-z]+)([0-9]*)")
_APK_BEFORE: Final = ("alpha", "beta", "pre", "rc")
_APK_AFTER: Final = ("cvs", "svn", "git", "hg", "p")
# What may come next, the oldest first.
_PRE, _END, _REVISION, _SUFFIX_NUMBER, _POST, _LETTER, _NUMBER = range(7)


@lru_cache(_CACHED)
def apk(version: str) -> Key:
    """Source: apk-package(5): numbers, a letter, suffixes as _rc1 or _p2, the commit (which does not count), -r and the
    revision of the package. A later number that begins with 0 compares as digits behind a decimal point do."""
    found = _APK.match(version.strip())
    if found is None:
        return ((_END,),)
    first, *numbers = found["numbers"].split(".")
    tokens: list[tuple[Any, ...]] = [(_NUMBER, 1, int(first))]
    tokens += [(_NUMBER, 0, each) if each[0] == "0" else (_NUMBER, 1, int(each)) for each in numbers]
    if found["letter"]:
        tokens.append((_LETTER, found["letter"]))
    for word, number in _APK_SUFFIX.findall(found["suffixes"]):
        if word in _APK_BEFORE:
            tokens.append((_PRE, _APK_BEFORE.index(word)))
        else:
            tokens.append((_POST, _APK_AFTER.index(word) if word in _APK_AFTER else len(_APK_AFTER)))
        if number:
            tokens.append((_SUFFIX_NUMBER, int(number)))
    if found["revision"] is not None:
        tokens.append((_REVISION, int(found["revision"])))
    return (*tokens, (_END,))


# --- Python ----------------------------------------------------------------------------------------------------------

_PEP440: Final = re.compile(
    r"v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)"
    r"(?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>[0-9]*))?"
    r"(?P<post>-(?P<post_implicit>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>[0-9]*))?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_number>[0-9]*))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?"
)
_PRE_RANKS: Final = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
_LOWEST, _HIGHEST = (-1,), (9,)


@lru_cache(_CACHED)
def pep440(version: str) -> Key:
    """Source: PEP 440, "Summary of permitted suffixes and relative ordering" and the appendix on local versions."""
    found = _PEP440.fullmatch(version.strip().lower())
    if found is None:
        return (-1,)
    release = [int(each) for each in found["release"].split(".")]
    while release and release[-1] == 0:
        release.pop()
    post: Key = _LOWEST
    if found["post"] is not None:
        post = (0, int(found["post_implicit"] or found["post_number"] or 0))
    dev: Key = _HIGHEST if found["dev"] is None else (0, int(found["dev_number"] or 0))
    if found["pre"] is not None:
        pre: Key = (_PRE_RANKS[found["pre"]], int(found["pre_number"] or 0))
    else:  # 1.0.dev1 comes before 1.0a1, and 1.0 after 1.0rc1
        pre = _LOWEST if dev != _HIGHEST and post == _LOWEST else _HIGHEST
    local: Key = _LOWEST
    if found["local"] is not None:
        local = tuple((1, int(each)) if each.isdigit() else (0, each) for each in re.split(r"[-_.]", found["local"]))
        local = (0, local)
    return int(found["epoch"] or 0), tuple(release), pre, post, dev, local


# --- semantic versions -----------------------------------------------------------------------------------------------

_SEMVER: Final = re.compile(
    r"v?(?P<numbers>[0-9]+(?:\.[0-9]+){0,2})(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]*)?"
)


@lru_cache(_CACHED)
def semver(version: str) -> Key:
    """Source: semver.org 2.0.0, section 11. Numbers that are missing are 0, as in ranges of advisories."""
    found = _SEMVER.fullmatch(version.strip())
    if found is None:
        return (-1,)
    numbers = [int(each) for each in found["numbers"].split(".")]
    numbers += [0] * (3 - len(numbers))
    if found["pre"] is None:
        return (*numbers, _HIGHEST)
    parts = tuple((0, int(each)) if _is_number(each) else (1, each) for each in found["pre"].split("."))
    return (*numbers, (0, parts))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


RULES: Final[dict[str, Rule]] = {"dpkg": dpkg, "rpm": rpm, "apk": apk, "pep440": pep440, "semver": semver}

_OF_ECOSYSTEMS: Final = {
    **dict.fromkeys(("Debian", "Ubuntu", "Raspbian", "Echo"), "dpkg"),
    **dict.fromkeys(("Alpine", "Alpaquita", "Chainguard", "Wolfi", "MinimOS"), "apk"),
    **dict.fromkeys(
        ("AlmaLinux", "Mageia", "Photon OS", "Red Hat", "Rocky Linux", "SUSE", "openSUSE", "openEuler", "Azure Linux"),
        "rpm",
    ),
    "PyPI": "pep440",
}


def rule_of(ecosystem: str) -> str:
    """The name of the rule of an ecosystem (without its release) as OSV calls it; empty where it is not known."""
    return _OF_ECOSYSTEMS.get(ecosystem, "")
