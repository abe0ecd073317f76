"""Conditions on devices as SQL: what users ask for, in the words of the published API. Pure functions.

Comparing follows the kind of the value: the text "5" is not the number 5. A list has a value when one of its members
has it. What a device does not have is unequal to everything ($ne, $nin, $ltne hold).
"""

# ruff: noqa: S608 - only constants of this file become part of a statement; values are parameters

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from vedette.errors import Invalid
from vedette.server.devices.attribute_store import encoded
from vedette.server.devices.values import DeviceQuery
from vedette.server.times import micros

MAX_PREDICATES: Final = 64
MAX_NUMBER: Final = 30  # characters; longer is no number that anybody reports
MAX_VALUES: Final = 1000  # in one list of $in
MAX_TEXT: Final = 256  # characters that a part of a value is looked for with
_INT64: Final = (-(2**63), 2**63 - 1)
SCOPES: Final = ("identity", "inventory", "monitor", "system", "tags")


@dataclass(frozen=True, slots=True)
class Where:
    """A condition and its parameters."""

    sql: str = "TRUE"
    params: Mapping[str, object] = field(default_factory=dict)
    of_groups: str = "TRUE"  # the part of it that asks for group and status alone
    one_group: bool = False  # the group is named
    rest: int = 0  # how many parts are not in `of_groups`
    ids: Sequence[str] | None = None  # the device is one of these, each named once
    issues: bool = False  # it has open problems
    seeks: Sequence["Seek"] = ()  # parts that an index on attributes finds


@dataclass(frozen=True, slots=True, kw_only=True)
class Seek:
    """Rows of `attribute` for a device that has a value: `plain` that have it; `lists` that may have it within, which
    they do where `member` holds."""

    plain: str
    lists: str
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A part of a list, in an order."""

    limit: int  # 0: only how long the list is
    offset: int = 0
    order: str = "device.id"
    params: Mapping[str, object] = field(default_factory=dict)  # of the order
    with_auth: bool = False
    counted: bool = True  # how long the whole list is, is wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """One thing asked of a device."""

    scope: str
    attribute: str
    type: str  # $eq, $ne, ...
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """What a list is ordered by."""

    scope: str
    attribute: str
    descending: bool = True


class _Params(dict[str, object]):
    def add(self, value: object) -> str:
        name = f"p{len(self)}"
        self[name] = value
        return f":{name}"


@dataclass(frozen=True, slots=True)
class _Column:
    """An attribute that is a column of `device`: how it is written, and how a value is compared with it."""

    sql: str
    comparable: Callable[[Any], object | None]  # None: no device can have such a value

    nullable: bool = False

    @property
    def each(self) -> str:
        """The macro for a list of its values."""
        return "each" if self.comparable is _text else "each_int"


def _text(value: Any) -> object | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> object | None:
    return _bindable(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _bindable(value: Any) -> Any:
    """A value as the database takes it: a number beyond its range becomes the last one within."""
    return min(max(value, _INT64[0]), _INT64[1]) if isinstance(value, int) else value


def _boolean(value: Any) -> object | None:
    return int(value) if isinstance(value, bool) else None


def _time(value: Any) -> object | None:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if at is None or at.tzinfo is None else micros(at)


_ALERTS: Final = "(CASE WHEN device.open_count > 0 THEN 1 ELSE 0 END)"
_OPEN: Final = "device.open_count > 0"  # as the indexes of devices with issues say it
_COLUMNS: Final[Mapping[tuple[str, str], _Column]] = {
    ("identity", "id"): _Column("device.id", _text),
    ("identity", "status"): _Column("device.status", _text),
    ("monitor", "alert_count"): _Column("device.open_count", _number),
    ("monitor", "alerts"): _Column(_ALERTS, _boolean),
    ("system", "check_in_time"): _Column("device.check_in_at", _time, nullable=True),
    ("system", "created_ts"): _Column("device.created_at", _time),
    ("system", "tier"): _Column("(CASE WHEN device.id IS NULL THEN '' ELSE 'standard' END)", _text),  # of all of them
    ("system", "test_device"): _Column("(CASE WHEN device.id IS NULL THEN 1 ELSE 0 END)", _boolean),  # none is
    ("system", "group"): _Column("device.group_name", _text, nullable=True),
    ("system", "updated_ts"): _Column("device.updated_at", _time),
}
_OF_GROUPS: Final = {("identity", "status"), ("system", "group")}
OPERATORS: Final = (
    "$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$ltne", "$exists", "$regex"
)  # fmt: skip
_ORDERED: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_KINDS: Final = {str: "{member_text:}", int: "{member_number:}", float: "{member_number:}"}
_OF_DEVICE: Final = "attribute.tenant = device.tenant AND attribute.device = device.id"


def _each(param: str, macro: str = "each") -> str:
    """The list in a parameter; see db/macros.py."""
    return f"{{{macro}{param}}}"


def of_query(query: DeviceQuery, offline_before: int) -> Where:
    """The condition of a page's query."""
    params = _Params()
    of_groups: list[str] = []
    rest: list[str] = []
    if query.status is not None:
        of_groups.append(f"device.status = {params.add(query.status)}")
    if query.group is not None:
        of_groups.append(f"device.group_name = {params.add(query.group)}")
    if query.issues:
        rest.append(_OPEN)
    if query.offline:
        limit = params.add(offline_before)
        rest.append(f"device.status = 'accepted' AND coalesce(device.check_in_at, 0) < {limit}")
    if query.text:
        rest.append(_contains(query.text, params))
    return _where(of_groups, rest, params, None, ())


def of_predicates(
    predicates: Sequence[Predicate], *, ids: Sequence[str] = (), text: str = "", has_group: bool | None = None
) -> Where:
    """The condition that all of these hold.

    Raises:
        Invalid: an unknown operator, a value it cannot take, or too much at once.
    """
    if len(predicates) > MAX_PREDICATES:
        raise Invalid(f"at most {MAX_PREDICATES} filters at once")
    params = _Params()
    of_groups: list[str] = []
    rest: list[str] = []
    seeks: list[Seek] = []
    named: list[str] = []
    for each in predicates:
        if each.type in {"$eq", "$in"} and (each.scope, each.attribute) not in _COLUMNS:
            seeks.append(_seek(each, params))
            rest.append(_found(seeks[-1]))
        else:
            (of_groups if (each.scope, each.attribute) in _OF_GROUPS else rest).append(_predicate(each, params))
        if each.type in {"$eq", "$in"} and (each.scope, each.attribute) == ("identity", "id"):
            values = each.value if each.type == "$in" else [each.value]
            named = [value for value in values if isinstance(value, str)]
    if ids:
        rest.append(f"device.id IN {_each(params.add(json.dumps(list(ids))))}")
    if text:
        rest.append(_contains(text, params))
    if has_group is not None:
        of_groups.append(f"device.group_name IS {'NOT ' if has_group else ''}NULL")
    return _where(of_groups, rest, params, tuple(dict.fromkeys(ids or named)) or None, seeks)


def _where(
    of_groups: list[str], rest: list[str], params: _Params, ids: Sequence[str] | None, seeks: Sequence[Seek]
) -> Where:
    return Where(
        sql=" AND ".join(of_groups + rest) or "TRUE",
        params=params,
        of_groups=" AND ".join(of_groups) or "TRUE",
        one_group=any(part.startswith("device.group_name = ") for part in of_groups),
        rest=len(rest),
        ids=ids,
        issues=_OPEN in rest,
        seeks=tuple(seeks),
    )


def either_kind(scope: str, attribute: str, text: str) -> Predicate:
    """Equal to `text` as it would be written in an address: as text, number, boolean."""
    values: list[Any] = [text]
    with suppress(ValueError):
        if len(text) <= MAX_NUMBER:
            values.append(float(text) if "." in text or "e" in text.lower() else int(text))
    if text.lower() in {"true", "false"}:
        values.append(text.lower() == "true")
    values = [each for each in values if not isinstance(each, float) or math.isfinite(each)]
    return Predicate(scope=scope, attribute=attribute, type="$in", value=values)


def order_by(sorts: Sequence[Sort]) -> tuple[str, Mapping[str, object]]:
    """SQL to order by, always ending in the id so that pages do not overlap."""
    params: dict[str, object] = {}
    parts = []
    for index, sort in enumerate(sorts[:8]):
        column = _COLUMNS.get((sort.scope, sort.attribute))
        if column is None:
            params |= {f"s{index}": sort.scope, f"n{index}": sort.attribute}
            sql = (
                f"(SELECT {{sortable:value}} FROM attribute WHERE {_OF_DEVICE}"
                f" AND scope = :s{index} AND name = :n{index})"
            )
        else:
            sql = column.sql
        order = "DESC" if sort.descending else "ASC"
        if column is None or column.nullable:
            order += " NULLS LAST" if sort.descending else " NULLS FIRST"
        parts.append(f"{sql} {order}")
    return ", ".join([*parts, "device.id"]), params


def _predicate(predicate: Predicate, params: _Params) -> str:
    kind, value = predicate.type, predicate.value
    match kind:
        case "$ne":
            return _not(_has(predicate, "$eq", value, params))
        case "$nin":
            return _not(_has(predicate, "$in", value, params))
        case "$ltne":
            exists = _has(predicate, "$exists", True, params)
            return f"({_has(predicate, '$lt', value, params)} OR {_not(exists)})"
        case "$exists":
            if not isinstance(value, bool):
                raise Invalid(f"filter on {predicate.attribute!r}: $exists needs true or false")
            exists = _has(predicate, kind, True, params)
            return exists if value else _not(exists)
        case "$eq" | "$in" | "$regex" | "$gt" | "$gte" | "$lt" | "$lte":
            return _has(predicate, kind, value, params)
        case _:
            raise Invalid(f"filter on {predicate.attribute!r}: unknown type {kind[:20]!r}")


def _not(condition: str) -> str:
    """That it does not hold; what is not there is unequal to everything."""
    return f"NOT coalesce({condition}, FALSE)"


def _check_value(predicate: Predicate, kind: str, value: Any) -> None:
    if kind == "$in" and (not isinstance(value, list) or len(value) > MAX_VALUES):
        raise Invalid(f"filter on {predicate.attribute!r}: $in and $nin need a list of at most {MAX_VALUES} values")
    if any(isinstance(each, list | dict) for each in (value if kind == "$in" else [value])):
        raise Invalid(
            f"filter on {predicate.attribute!r}: {kind} needs {'plain values' if kind == '$in' else 'one value'}"
        )
    if kind == "$regex" and not isinstance(value, str):
        raise Invalid(f"filter on {predicate.attribute!r}: $regex needs a text")


def _seek(predicate: Predicate, params: _Params) -> Seek:
    """The rows of an attribute that have the value, or one of the values, asked for."""
    value, is_list = predicate.value, predicate.type in {"$in", "$nin"}
    _check_value(predicate, "$in" if is_list else "$eq", value)
    wanted = params.add(json.dumps([encoded(each) for each in (value if is_list else [value])]))
    where = f"scope = {params.add(predicate.scope)} AND name = {params.add(predicate.attribute)}"
    member = f"SELECT 1 FROM {{members:attribute.value}} WHERE {{member_json:}} IN {_each(wanted, 'each_json')}"
    return Seek(
        plain=f"{where} AND {{one_of:value {wanted}}}",
        lists=f"{where} AND {{key:value}} >= '[' AND {{key:value}} < '\\'",  # JSON of a list begins with "["
        member=f"EXISTS ({member})",
    )


def _found(seek: Seek) -> str:
    """That the device has a row that is sought."""
    sought = f"(({seek.plain}) OR ({seek.lists} AND {seek.member}))"
    return f"EXISTS (SELECT 1 FROM attribute WHERE {_OF_DEVICE} AND {sought})"


def _has(predicate: Predicate, kind: str, value: Any, params: _Params) -> str:
    """That a device has the attribute, with a value for which `kind` holds; NULL is as good as no."""
    _check_value(predicate, kind, value)
    column = _COLUMNS.get((predicate.scope, predicate.attribute))
    if column is not None:
        return _column(column, kind, value, params)
    if kind in {"$eq", "$in"}:
        return _found(_seek(predicate, params))
    where = f"scope = {params.add(predicate.scope)} AND name = {params.add(predicate.attribute)}"
    if kind == "$exists":
        return f"EXISTS (SELECT 1 FROM attribute WHERE {_OF_DEVICE} AND {where})"
    if kind == "$regex":
        test = f"vedette_regex({params.add(value)}, {{member_text:}})"
    elif type(value) in _KINDS:
        test = f"{_KINDS[type(value)]} {_ORDERED[kind]} {_bound(value, params)}"
    else:
        return "FALSE"
    return (
        f"EXISTS (SELECT 1 FROM attribute CROSS JOIN {{members:attribute.value}}"
        f" WHERE {_OF_DEVICE} AND {where} AND {test})"
    )


def _column(column: _Column, kind: str, value: Any, params: _Params) -> str:
    if kind == "$exists":
        return f"{column.sql} IS NOT NULL"
    if kind == "$regex":
        return f"vedette_regex({params.add(value)}, {column.sql})" if column.comparable is _text else "FALSE"
    if kind == "$in":
        wanted = [each for each in map(column.comparable, value) if each is not None]
        wanted = [int(each) if isinstance(each, float) and each.is_integer() else each for each in wanted]
        wanted = [each for each in wanted if not isinstance(each, float)]  # the columns have whole numbers
        if column.sql == _ALERTS and set(wanted) == {1}:
            return _OPEN
        return f"{column.sql} IN {_each(params.add(json.dumps(wanted)), column.each)}"
    wanted_value = column.comparable(value)
    if wanted_value is None:
        return "FALSE"
    if column.sql == _ALERTS and (kind, value) == ("$eq", True):
        return _OPEN
    return f"{column.sql} {_ORDERED.get(kind, '=')} {_bound(wanted_value, params)}"


def _bound(value: Any, params: _Params) -> str:
    """A parameter; a fraction says so itself, for the columns have whole numbers."""
    name = params.add(_bindable(value))
    return f"CAST({name} AS numeric)" if isinstance(value, float) else name


def _contains(text: str, params: _Params) -> str:
    """That part of the id, or of a value people know, is `text`; case does not matter."""
    if len(text) > MAX_TEXT:
        raise Invalid(f"the text to look for is longer than {MAX_TEXT} characters")
    escaped = "".join(f"\\{char}" if char in "\\%_" else char for char in text)
    # A stored value is JSON: what JSON escapes in it is escaped in what is looked for.
    quoted = json.dumps(text, ensure_ascii=False)[1:-1]
    inside = "".join(f"\\{char}" if char in "\\%_" else char for char in quoted)
    return (
        f"(device.id {{like}} {params.add(escaped + '%')} ESCAPE '\\'"
        f" OR EXISTS (SELECT 1 FROM attribute WHERE {_OF_DEVICE} AND scope IN ('identity', 'inventory', 'tags')"
        f" AND value {{like}} {params.add(f'%{inside}%')} ESCAPE '\\'))"
    )


def parse_sort(text: str) -> Sort:
    """`[scope/]attribute[:asc|desc]` of an address; without an order, descending."""
    name, _, order = text.partition(":")
    scope, separator, attribute = name.partition("/")
    if order not in {"", "asc", "desc"} or not name:
        raise Invalid(f"invalid sort query: {text[:100]!r}")
    return Sort(
        scope=scope if separator else "inventory",
        attribute=attribute if separator else name,
        descending=order != "asc",
    )


def unknown_scope(predicates: Iterable[Predicate]) -> bool:
    """Whether nothing can be found, for a scope is asked for that does not exist."""
    return any(each.scope not in SCOPES for each in predicates)
