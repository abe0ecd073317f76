"""What people type to search, as the API asks it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.cli.errors import Usage
from vedette.cli.filters import predicate, sorting


@pytest.mark.parametrize(
    ("text", "scope", "name", "kind", "value"),
    [
        ("os=debian", "inventory", "os", "$in", ["debian"]),
        ("os = debian, ubuntu", "inventory", "os", "$in", ["debian", "ubuntu"]),
        ("cpus=4", "inventory", "cpus", "$in", ["4", 4]),
        ('cpus="4"', "inventory", "cpus", "$in", ["4"]),
        ('name="a,b"', "inventory", "name", "$in", ["a,b"]),
        ("monitor/alerts=true", "monitor", "alerts", "$in", ["true", True]),
        ("os!=a", "inventory", "os", "$nin", ["a"]),
        ("load>=1.5", "inventory", "load", "$gte", 1.5),
        ("os<b", "inventory", "os", "$lt", "b"),
        ("identity/mac~de:.*=", "identity", "mac", "$regex", "de:.*="),
        ("tags/site", "tags", "site", "$exists", True),
        ("!tags/site", "tags", "site", "$exists", False),
        ("rootfs/image.version=1", "inventory", "rootfs/image.version", "$in", ["1", 1]),
        ("x=", "inventory", "x", "$in", [""]),
        ("x=NaN", "inventory", "x", "$in", ["NaN"]),
        ("x=null", "inventory", "x", "$in", ["null"]),
    ],
)
def test_filters(text: str, scope: str, name: str, kind: str, value: Any) -> None:
    assert predicate(text) == {"scope": scope, "attribute": name, "type": kind, "value": value}


@given(st.text(max_size=200))
def test_whatever_is_typed_is_a_filter_or_refused(text: str) -> None:
    try:
        found = predicate(text)
    except Usage:
        return
    assert found["attribute"]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("text", ["", "=", "=x", "!", "!os=x", ">5"])
def test_what_is_no_filter(text: str) -> None:
    with pytest.raises(Usage):
        predicate(text)


def test_orders() -> None:
    assert sorting("-tags/site") == {"scope": "tags", "attribute": "site", "order": "desc"}
    assert sorting("os") == {"scope": "inventory", "attribute": "os", "order": "asc"}
    with pytest.raises(Usage):
        sorting("-")
