"""What OpenVEX documents say does no harm here."""

import json
from pathlib import Path
from typing import Any

import pytest

from vedette.agent.security.cve_vex import Vex, package


def statement(status: str, *products: Any, name: str = "CVE-2026-1", **more: Any) -> dict[str, Any]:
    return {"vulnerability": {"name": name}, "products": list(products), "status": status, **more}


def vex(path: Path, *statements: Any, **more: Any) -> Vex:
    document = {"@context": "https://openvex.dev/ns/v0.2.0", "timestamp": "2026-01-01T00:00:00Z", **more}
    path.write_text(json.dumps(document | {"statements": list(statements)}))
    return Vex([path])


def excused(of: Vex, *ids: str, name: str = "a", version: str = "1.0") -> bool:
    return of.excuses(ids or ("CVE-2026-1",), (name,), (version,))


A, A_1 = {"@id": "pkg:deb/debian/a"}, {"@id": "pkg:deb/debian/a@1.0?arch=amd64"}


def test_a_package_with_a_version_or_without(tmp_path: Path) -> None:
    said = vex(tmp_path / "a.json", statement("not_affected", A_1))
    assert excused(said)
    assert not excused(said, version="2.0")
    assert not excused(said, name="b")
    assert not excused(said, "CVE-2026-2")
    assert excused(vex(tmp_path / "b.json", statement("fixed", A)), version="2.0")


@pytest.mark.parametrize("status", ["affected", "under_investigation"])
def test_what_does_harm_or_may(tmp_path: Path, status: str) -> None:
    assert not excused(vex(tmp_path / "a.json", statement(status, A)))


def test_the_latest_statement_counts(tmp_path: Path) -> None:
    early, late = {"timestamp": "2026-01-01T00:00:00Z"}, {"timestamp": "2026-02-01T00:00:00Z"}
    assert not excused(
        vex(tmp_path / "a.json", statement("affected", A, **late), statement("not_affected", A, **early))
    )
    assert excused(vex(tmp_path / "a.json", statement("not_affected", A, **late), statement("affected", A_1, **early)))
    assert not excused(vex(tmp_path / "a.json", statement("affected", A_1, **late), statement("fixed", A, **early)))


def test_products_and_vulnerabilities_are_named_in_several_ways(tmp_path: Path) -> None:
    whole = {"@id": "pkg:oci/device@sha256:0", "subcomponents": [A]}
    assert excused(vex(tmp_path / "a.json", statement("fixed", whole)))
    assert not excused(vex(tmp_path / "a.json", statement("fixed", whole)), name="device")
    by_identifier = {"@id": "https://example.com/a", "identifiers": {"purl": "pkg:deb/debian/a"}}
    assert excused(vex(tmp_path / "a.json", statement("fixed", by_identifier)))
    assert excused(vex(tmp_path / "a.json", statement("fixed", "pkg:deb/debian/a")))
    of_old = {"vulnerability": "CVE-2026-1", "products": ["pkg:deb/debian/a"], "status": "fixed"}
    assert excused(vex(tmp_path / "a.json", of_old))
    aliased = statement("fixed", A, vulnerability={"name": "GHSA-1", "aliases": ["CVE-2026-1"]})
    assert excused(vex(tmp_path / "a.json", aliased))


def test_all_documents_of_a_directory_are_read(tmp_path: Path) -> None:
    vex(tmp_path / "1.json", statement("fixed", A))
    vex(tmp_path / "2.json", statement("fixed", A, name="CVE-2026-2"))
    said = Vex([tmp_path, tmp_path / "not there"])
    assert excused(said)
    assert excused(said, "CVE-2026-2")
    assert said.troubles == []


CONTEXT = '"@context": "https://openvex.dev/ns"'


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", f"{{{CONTEXT}}}", '{"@context": "other", "statements": []}', "[" * 100_000,
        *(f'{{{CONTEXT}, "statements": [{statement}]}}' for statement in (
            "1",
            '{"status": "harmless", "vulnerability": "CVE-2026-1"}',
            '{"status": "fixed"}',
            '{"status": "fixed", "vulnerability": 7}',
            '{"status": "fixed", "vulnerability": {"name": "CVE-2026-1"}, "products": 5}',
            '{"status": "fixed", "vulnerability": {"name": "CVE-2026-1"}, "products": [7]}',
            '{"status": "fixed", "vulnerability": {"name": "CVE-2026-1"}, "products": [{"@id": 7}]}',
        )),
    ],
)  # fmt: skip
def test_what_is_no_document_excuses_nothing_and_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    said = Vex([path])
    assert not excused(said)
    assert len(said.troubles) == 1
    assert str(path) in said.troubles[0]


@pytest.mark.parametrize(
    ("purl", "expected"),
    [
        ("pkg:deb/debian/openssl@3.0.11-1~deb12u2?arch=amd64&distro=bookworm", ("openssl", "3.0.11-1~deb12u2")),
        ("pkg:pypi/jinja2@3.1.0", ("jinja2", "3.1.0")),
        ("pkg:deb/debian/bind9@1%3A9.18", ("bind9", "1:9.18")),
        ("pkg:npm/%40scope/name", ("name", "")),
        ("pkg:generic/a#sub/path", ("a", "")),
        ("https://example.com/a", ("", "")),
    ],
)
def test_the_package_of_a_purl(purl: str, expected: tuple[str, str]) -> None:
    assert package(purl) == expected
