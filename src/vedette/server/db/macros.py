"""What the two dialects write differently, as macros in braces: SQL of the stores is written once.

A list is handed over as one parameter with the JSON text of an array, so that a statement does not change with its
length. docs/decisions/0011-postgresql.md has examples of each, and the rest of the common subset.
"""

# ruff: noqa: S608 - what stands in a macro is written in a store, not by users

import re
from collections.abc import Callable, Mapping
from typing import Final

Macro = Callable[[str], str]
Dialect = Mapping[str, Macro]
"""Macros by name; each is given what stands behind the colon."""

KEY: Final = 128  # characters of a long text in an index; PostgreSQL takes 2,704 bytes for all columns together
# What one of the dialects does not know, or means differently.
_FOREIGN: Final = re.compile(
    r"""\bOR\s+(?:IGNORE|REPLACE|ABORT|FAIL|ROLLBACK)\b|\browid\b|\bIFNULL\b|\bGLOB\b|\bgroup_concat\b|\bjson_\w+\s*\("""
    r"""|\b(?:FROM|JOIN|UPDATE|INTO)\s+user\b|\buser\.|:\w+\s+IS\s+(?:NOT\s+)?NULL|\bWHERE\s+[01]\b|\b(?:AND|OR|NOT)\s+[01]\b(?!\s*[<>=+])"""
    r"""|\sLIKE\s|::""",
    re.IGNORECASE,
)
_USE: Final = re.compile(r"\{(\w+)(?::([^{}]*))?\}")


def check_common(sql: str) -> str:
    """`sql`, of a store: it runs on every dialect, so far as that can be told.

    Raises:
        RuntimeError: it says what only one of them understands; an error in the program.
    """
    if foreign := _FOREIGN.search(sql):
        raise RuntimeError(f"statement with {foreign[0].strip()!r}, which not every database takes: {sql}")
    return sql


def expand(sql: str, dialect: Dialect) -> str:
    """`sql` with its macros written in a dialect.

    Raises:
        RuntimeError: there is no such macro.
    """

    def one(use: re.Match[str]) -> str:
        try:
            return dialect[use[1]]((use[2] or "").strip())
        except KeyError:
            raise RuntimeError(f"statement with the unknown macro {use[0]}: {sql}") from None

    return _USE.sub(one, sql)


def _path(arg: str, of_index: str, of_key: str, whole: str) -> tuple[str, str]:
    """`item.0` or `item.name` or `item`: the table, and how the part of it is asked for."""
    table, _, part = arg.partition(".")
    return table, (of_index if part.isdigit() else of_key).format(part) if part else whole


def _sqlite_part(arg: str) -> str:
    table, path = _path(arg, "json_extract({{0}}.value, '$[{}]')", "json_extract({{0}}.value, '$.{}')", "{0}.value")
    return path.format(table)


SQLITE: Final[Dialect] = {
    "each": lambda name: f"(SELECT value FROM json_each(:{name}))",
    "each_int": lambda name: f"(SELECT value FROM json_each(:{name}))",
    "each_json": lambda name: f"(SELECT value FROM json_each(:{name}))",
    "rows": lambda name: f"json_each(:{name}) AS item",
    "text": _sqlite_part,
    "int": _sqlite_part,
    "list": lambda values: f"json_group_array(json_array({values}))",
    "ordered": lambda _: "CROSS",
    "by": lambda index: f"INDEXED BY {index}" if index else "NOT INDEXED",
    "like": lambda _: "LIKE",
    "plain": lambda column: f"CAST(json_extract({column}, '$') AS TEXT)",
    "sortable": lambda column: f"json_extract({column}, '$')",
    "members": lambda column: f"json_each({column}) AS member",
    "member_json": lambda _: "json_quote(member.value)",
    "member_text": lambda _: "(CASE WHEN member.type = 'text' THEN member.value END)",
    "member_number": lambda _: "(CASE WHEN member.type IN ('integer', 'real') THEN member.value END)",
    "key": lambda column: column,
    "one_of": lambda arg: "{} IN (SELECT value FROM json_each({}))".format(*arg.split()),
}


def _postgresql_part(arg: str) -> str:
    table, path = _path(arg, "({{0}}.value ->> {})", "({{0}}.value ->> '{}')", "({0}.value #>> '{{}}')")
    return path.format(table)


def _one_of(arg: str) -> str:
    column, name = arg.split()
    texts = f"jsonb_array_elements_text({_json(name.removeprefix(':'))}) AS wanted"
    short = f"left({column}, {KEY}) IN (SELECT left(wanted, {KEY}) FROM {texts})"
    return f"({short} AND {column} IN (SELECT wanted FROM {texts}))"


def _json(name: str) -> str:
    return f"CAST(CAST(:{name} AS text) AS jsonb)"  # by way of text: one parameter may stand in several places


POSTGRESQL: Final[Dialect] = {
    "each": lambda name: f"(SELECT jsonb_array_elements_text({_json(name)}))",
    "each_int": lambda name: f"(SELECT CAST(jsonb_array_elements_text({_json(name)}) AS bigint))",
    "each_json": lambda name: f"(SELECT CAST(jsonb_array_elements_text({_json(name)}) AS jsonb))",
    "rows": lambda name: f"jsonb_array_elements({_json(name)}) WITH ORDINALITY AS item (value, key)",
    "text": _postgresql_part,
    "int": lambda arg: f"CAST({_postgresql_part(arg)} AS bigint)",
    "list": lambda values: f"CAST(coalesce(json_agg(json_build_array({values})), '[]') AS text)",
    "ordered": lambda _: "INNER",
    "by": lambda _: "",
    "like": lambda _: "ILIKE",
    "plain": lambda column: f"(CAST({column} AS jsonb) #>> '{{}}')",
    "sortable": lambda column: f"CAST({column} AS jsonb)",
    "members": lambda column: (
        f"jsonb_array_elements(CASE WHEN {column} LIKE '[%' THEN CAST({column} AS jsonb)"
        f" ELSE jsonb_build_array(CAST({column} AS jsonb)) END) AS member (value)"
    ),
    "member_json": lambda _: "member.value",
    "member_text": lambda _: "(CASE WHEN jsonb_typeof(member.value) = 'string' THEN member.value #>> '{}' END)",
    "member_number": lambda _: (
        "(CASE WHEN jsonb_typeof(member.value) = 'number' THEN CAST(member.value #>> '{}' AS numeric) END)"
    ),
    "key": lambda column: f"left({column}, {KEY})",
    "one_of": _one_of,
}

_PARAMETER: Final = re.compile(r"'(?:[^']|'')*'|:([A-Za-z_]\w*)")


def numbered(sql: str, mark: str = "$") -> tuple[str, tuple[str, ...]]:
    """`sql` with `$1` ... (or another mark) for its named parameters, and their names in this order."""
    numbers: dict[str, int] = {}

    def one(found: re.Match[str]) -> str:
        name = found[1]
        return found[0] if name is None else f"{mark}{numbers.setdefault(name, len(numbers) + 1)}"

    return _PARAMETER.sub(one, sql), tuple(numbers)
