"""What is read out of OSV documents and Debian's tracker, and out of files that hold them, or something else."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from vedette.errors import Invalid, Unavailable
from vedette.server.feed import debian, osv
from vedette.server.feed.files import read
from vedette.server.feed.record import Record


def document(**changes: Any) -> dict[str, Any]:
    made = {
        "id": "DEBIAN-CVE-2026-1",
        "modified": "2026-02-01T10:00:00Z",
        "published": "2026-01-31T10:00:00Z",
        "upstream": ["CVE-2026-1"],
        "summary": "  Something\tis wrong \nand more of it",
        "affected": [affected()],
    }
    return {key: value for key, value in (made | changes).items() if value is not None}


def affected(**changes: Any) -> dict[str, Any]:
    return {
        "package": {"ecosystem": "Debian:12", "name": "a"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2-3"}]}],
    } | changes


def records(made: dict[str, Any]) -> list[Record]:
    return list(osv.records(osv.decode(json.dumps(made).encode())))


def one(**changes: Any) -> Record:
    (found,) = records(document(**changes))
    return found


def test_a_document_is_known_by_its_cve() -> None:
    found = one()
    assert (found.source, found.stream, found.package) == ("DEBIAN-CVE-2026-1", "Debian:12", "a")
    advisory = found.advisory
    assert (advisory.id, advisory.aliases) == ("CVE-2026-1", ("DEBIAN-CVE-2026-1",))
    assert (advisory.published, advisory.summary) == ("2026-01-31", "Something is wrong")
    assert advisory.ranges == ((False, (("i", "0"), ("f", "1.2-3"))),)


@pytest.mark.parametrize(
    ("changes", "known", "others"),
    [
        ({"id": "CVE-2026-1", "upstream": None, "aliases": ["GHSA-1"]}, "CVE-2026-1", ("GHSA-1",)),
        ({"id": "GHSA-1", "upstream": None, "aliases": ["PYSEC-1"]}, "GHSA-1", ("PYSEC-1",)),
        ({"id": "DSA-1", "upstream": ["CVE-2026-1", "CVE-2026-2"]}, "DSA-1", ("CVE-2026-1", "CVE-2026-2")),
        ({"id": "ALSA-1", "upstream": None, "related": ["CVE-2026-1"]}, "CVE-2026-1", ("ALSA-1",)),
        ({"id": "GHSA-1", "aliases": ["CVE-2026-1"], "related": ["CVE-2026-9"]}, "CVE-2026-1", ("GHSA-1",)),
    ],
)
def test_ids(changes: dict[str, Any], known: str, others: tuple[str, ...]) -> None:
    advisory = one(**changes).advisory
    assert (advisory.id, advisory.aliases) == (known, others)


V3 = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}
V2 = {"type": "CVSS_V2", "score": "AV:L/AC:H/Au:M/C:N/I:N/A:P"}
UBUNTU = {"type": "Ubuntu", "score": "medium"}


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, 0),
        ({"severity": [V2, V3]}, 4),
        ({"severity": [V2]}, 1),
        ({"severity": [{"type": "CVSS_V4", "score": "nonsense"}, V3]}, 4),
        ({"severity": [V3, UBUNTU]}, 2),
        ({"severity": [V3], "affected": [affected(severity=[V2])]}, 1),
        ({"affected": [affected(ecosystem_specific={"urgency": "medium"})]}, 2),
        ({"affected": [affected(ecosystem_specific={"urgency": "not yet assigned"})]}, 0),
        ({"affected": [affected(database_specific={"severity": "Important"})]}, 3),
        ({"database_specific": {"severity": "MODERATE"}}, 2),
        ({"database_specific": ["what", "ever"]}, 0),
    ],
)
def test_how_bad(changes: dict[str, Any], level: int) -> None:
    assert one(**changes).advisory.level == level


@pytest.mark.parametrize(
    "changes",
    [
        {"withdrawn": "2026-02-01T00:00:00Z"},
        {"affected": None},
        {"affected": [affected(package=None)]},
        {"affected": [affected(package={"ecosystem": "npm", "name": "a"})]},
        {"affected": [affected(ranges=[{"type": "GIT", "events": [{"introduced": "0"}]}])]},
        {"affected": [affected(ranges=None)]},
        {"affected": [affected(ecosystem_specific={"urgency": "unimportant"})]},
    ],
)
def test_what_says_nothing_of_a_device(changes: dict[str, Any]) -> None:
    assert records(document(**changes)) == []


def test_listed_versions_stay_only_where_no_range_holds_them() -> None:
    found = one(affected=[affected(versions=["1.0-1", "1.2-2", "1.2-3", "2.0"])])
    assert found.advisory.versions == ("1.2-3", "2.0")
    unknown = affected(versions=["1.0-1"], package={"ecosystem": "poky:4.0", "name": "a"})
    assert one(affected=[unknown]).advisory.versions == ("1.0-1",)


def test_python_projects_are_known_by_their_normalised_name() -> None:
    assert (
        one(affected=[affected(package={"ecosystem": "PyPI", "name": "Zope.Interface__x"})]).package
        == "zope-interface-x"
    )


# --- Debian's tracker ------------------------------------------------------------------------------------------------


def tracked(**state: Any) -> list[Record]:
    issue = {"description": "words", "releases": {"bookworm": {"status": "open", "urgency": "high"} | state}}
    return list(debian.records(debian.decode(json.dumps({"a": {"CVE-2026-1": issue}}).encode()), ""))


@pytest.mark.parametrize(
    ("state", "level", "events"),
    [
        ({}, 3, (("i", "0"),)),
        ({"status": "resolved", "fixed_version": "1.2-3"}, 3, (("i", "0"), ("f", "1.2-3"))),
        ({"urgency": "medium**"}, 2, (("i", "0"),)),
        ({"urgency": "not yet assigned"}, 0, (("i", "0"),)),
        ({"urgency": "not yet assigned", "nodsa": "Minor issue"}, 1, (("i", "0"),)),
        ({"urgency": "end-of-life"}, 0, (("i", "0"),)),
    ],
)
def test_states_of_the_tracker(state: dict[str, Any], level: int, events: tuple[tuple[str, str], ...]) -> None:
    (found,) = tracked(**state)
    assert (found.stream, found.package, found.advisory.id) == ("Debian:12", "a", "CVE-2026-1")
    assert (found.advisory.level, found.advisory.ranges) == (level, ((False, events),))


@pytest.mark.parametrize(
    "state", [{"urgency": "unimportant"}, {"status": "undetermined"}, {"status": "resolved", "fixed_version": "0"}]
)
def test_what_does_not_affect_a_release(state: dict[str, Any]) -> None:
    assert tracked(**state) == []


# --- files -----------------------------------------------------------------------------------------------------------


def test_archives_directories_lists_and_single_files_hold_the_same(tmp_path: Path) -> None:
    texts = [json.dumps(document(id=f"X-{number}", upstream=None)) for number in range(3)]
    (tmp_path / "one/deep").mkdir(parents=True)
    for number, text in enumerate(texts):
        (tmp_path / "one/deep" / f"{number}.json").write_text(text)
    (tmp_path / "list.json").write_text(f"[{','.join(texts)}]")
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, text in enumerate(texts):
            archive.writestr(f"{number}.json", text)
        archive.writestr("README", "no document")
    read_all = [read([tmp_path / name]) for name in ("one", "list.json", "all.zip")]
    read_all.append(read(sorted((tmp_path / "one/deep").iterdir())))
    for taken in read_all:
        assert (taken.kind, taken.count, taken.documents) == ("osv", 3, {"X-0", "X-1", "X-2"})
        assert taken.lines == read_all[0].lines


def test_the_tracker_is_told_from_a_document(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({"a": {"CVE-2026-1": {"releases": {"sid": {"status": "open"}}}}}))
    taken = read([tmp_path / "t.json"])
    assert (taken.kind, list(taken.lines)) == ("debian", ["Debian:sid"])


def test_documents_that_are_none_are_left_out_and_named(tmp_path: Path) -> None:
    for name, text in {"good": json.dumps(document()), "bad": "{", "worse": '{"id": 5}', "deep": "[" * 100_000}.items():
        (tmp_path / f"{name}.json").write_text(text)
    taken = read([tmp_path])
    assert taken.count == 1
    assert len(taken.refused) == 3
    assert all("no OSV document" in each for each in taken.refused)


@pytest.mark.parametrize("text", ["", "x", "{", '{"a": 1}', '{"a": {"b": []}}', "[1", "\xff"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text, "latin-1")
    with pytest.raises(Invalid, match=str(path)):
        read([path])


def test_files_that_cannot_be_imported_together(tmp_path: Path) -> None:
    (tmp_path / "osv.json").write_text(json.dumps(document()))
    (tmp_path / "tracker.json").write_text("{}")
    with pytest.raises(Invalid, match="one after the other"):
        read([tmp_path / "osv.json", tmp_path / "tracker.json"])
    with pytest.raises(Unavailable, match="No such file"):
        read([tmp_path / "nothing"])


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", json.dumps(document()) * 50)
    content = bytearray(path.read_bytes())
    content[40:60] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(Invalid, match="damaged"):
        read([path])


def test_what_the_feed_cannot_hold_is_left_out(tmp_path: Path) -> None:
    odd = [{"ecosystem": "Debian:12\n", "name": "a"}, {"ecosystem": "Debian:12", "name": "a\tb"}]
    (tmp_path / "a.json").write_text(json.dumps(document(affected=[affected(package=each) for each in odd])))
    taken = read([tmp_path])
    assert (taken.count, taken.skipped) == (0, 2)
