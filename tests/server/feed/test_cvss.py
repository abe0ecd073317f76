"""CVSS vectors and their scores. The scores are those of an independent implementation of the four specifications."""

import pytest

from vedette.errors import Invalid
from vedette.server.feed.cvss import level, score

SCORES = [
    ("AV:N/AC:L/Au:N/C:C/I:C/A:C", 10.0),
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
    ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", 10.0),
    ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N", 0.0),
    ("AV:N/AC:M/Au:N/C:P/I:C/A:C", 9.0),
    ("AV:N/AC:L/Au:M/C:P/I:N/A:C", 6.8),
    ("AV:L/AC:H/Au:M/C:P/I:P/A:N", 2.3),
    ("AV:A/AC:L/Au:M/C:C/I:N/A:N", 5.0),
    ("AV:N/AC:H/Au:S/C:P/I:N/A:P", 3.6),
    ("AV:L/AC:H/Au:M/C:C/I:C/A:P", 5.6),
    ("AV:L/AC:H/Au:M/C:N/I:N/A:N", 0.0),
    ("AV:L/AC:H/Au:S/C:P/I:N/A:C", 4.5),
    ("AV:N/AC:L/Au:M/C:N/I:C/A:N", 6.1),
    ("AV:A/AC:M/Au:M/C:P/I:P/A:N", 3.4),
    ("CVSS:3.0/AV:L/AC:L/PR:L/UI:R/S:U/C:N/I:N/A:N", 0.0),
    ("CVSS:3.1/AV:N/AC:H/PR:L/UI:R/S:C/C:N/I:L/A:H", 6.5),
    ("CVSS:3.1/AV:P/AC:L/PR:N/UI:R/S:U/C:N/I:L/A:L", 3.2),
    ("CVSS:3.0/AV:P/AC:H/PR:L/UI:N/S:C/C:H/I:N/A:H", 6.7),
    ("CVSS:3.0/AV:N/AC:L/PR:L/UI:R/S:C/C:N/I:L/A:L", 5.4),
    ("CVSS:3.0/AV:L/AC:H/PR:N/UI:R/S:U/C:H/I:L/A:N", 5.3),
    ("CVSS:3.1/AV:A/AC:H/PR:L/UI:N/S:C/C:N/I:L/A:L", 4.4),
    ("CVSS:3.0/AV:N/AC:L/PR:H/UI:R/S:C/C:H/I:N/A:H", 8.1),
    ("CVSS:3.0/AV:P/AC:L/PR:N/UI:R/S:C/C:L/I:N/A:L", 3.7),
    ("CVSS:3.0/AV:N/AC:L/PR:L/UI:R/S:U/C:H/I:N/A:N", 5.7),
    ("CVSS:3.0/AV:P/AC:L/PR:N/UI:R/S:C/C:H/I:H/A:L", 7.2),
    ("CVSS:3.1/AV:A/AC:H/PR:H/UI:N/S:C/C:L/I:N/A:N", 2.6),
    ("CVSS:4.0/AV:L/AC:H/AT:P/PR:L/UI:P/VC:L/VI:H/VA:H/SC:L/SI:N/SA:H/E:U/CR:M/IR:M/MSI:S", 3.4),
    ("CVSS:4.0/AV:A/AC:L/AT:P/PR:L/UI:A/VC:N/VI:N/VA:L/SC:H/SI:L/SA:N", 2.0),
    ("CVSS:4.0/AV:N/AC:H/AT:P/PR:H/UI:A/VC:N/VI:L/VA:L/SC:L/SI:N/SA:N", 1.8),
    ("CVSS:4.0/AV:L/AC:H/AT:N/PR:H/UI:N/VC:L/VI:N/VA:L/SC:L/SI:N/SA:L/E:P", 0.9),
    ("CVSS:4.0/AV:L/AC:H/AT:P/PR:L/UI:A/VC:L/VI:N/VA:L/SC:L/SI:H/SA:N/CR:M/IR:M", 2.0),
    ("CVSS:4.0/AV:L/AC:L/AT:N/PR:N/UI:P/VC:L/VI:L/VA:N/SC:H/SI:N/SA:N/MSI:S", 7.8),
    ("CVSS:4.0/AV:P/AC:L/AT:P/PR:L/UI:A/VC:N/VI:N/VA:L/SC:N/SI:H/SA:H/E:A", 2.1),
    ("CVSS:4.0/AV:P/AC:L/AT:N/PR:H/UI:N/VC:N/VI:N/VA:H/SC:L/SI:H/SA:H", 7.0),
    ("CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:L/VI:H/VA:N/SC:H/SI:L/SA:L/CR:M/IR:M", 7.4),
    ("CVSS:4.0/AV:N/AC:L/AT:N/PR:H/UI:P/VC:H/VI:L/VA:L/SC:L/SI:L/SA:H/E:U", 5.6),
    ("CVSS:4.0/AV:L/AC:L/AT:P/PR:N/UI:P/VC:N/VI:N/VA:L/SC:N/SI:L/SA:L/MSI:S", 6.5),
    ("CVSS:4.0/AV:A/AC:H/AT:P/PR:H/UI:A/VC:N/VI:L/VA:L/SC:H/SI:H/SA:N", 2.1),
    ("CVSS:4.0/AV:P/AC:H/AT:N/PR:N/UI:A/VC:H/VI:L/VA:N/SC:H/SI:L/SA:H/E:P/CR:L/IR:L", 1.6),
    ("CVSS:4.0/AV:A/AC:H/AT:P/PR:L/UI:P/VC:H/VI:L/VA:L/SC:L/SI:N/SA:L", 4.4),
    ("CVSS:4.0/AV:P/AC:L/AT:P/PR:H/UI:P/VC:L/VI:L/VA:L/SC:H/SI:L/SA:L", 2.1),
    ("CVSS:4.0/AV:P/AC:H/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:L/SI:H/SA:L/E:A/MSI:S", 7.0),
    ("CVSS:4.0/AV:A/AC:H/AT:N/PR:L/UI:A/VC:N/VI:L/VA:H/SC:L/SI:H/SA:H/CR:M/IR:M", 5.8),
    ("CVSS:4.0/AV:A/AC:H/AT:P/PR:L/UI:A/VC:L/VI:N/VA:N/SC:N/SI:N/SA:H", 1.8),
    ("CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:A/VC:N/VI:L/VA:N/SC:L/SI:N/SA:N/E:A", 2.0),
    ("CVSS:4.0/AV:P/AC:H/AT:P/PR:H/UI:A/VC:N/VI:H/VA:H/SC:H/SI:L/SA:N", 5.8),
    ("CVSS:4.0/AV:P/AC:L/AT:N/PR:N/UI:P/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N/CR:L/IR:M/MSI:S", 5.9),
    ("CVSS:4.0/AV:P/AC:H/AT:P/PR:H/UI:A/VC:H/VI:L/VA:L/SC:H/SI:L/SA:H/E:U", 1.8),
    ("CVSS:4.0/AV:P/AC:H/AT:P/PR:L/UI:N/VC:H/VI:L/VA:N/SC:N/SI:L/SA:L", 4.3),
    ("CVSS:4.0/AV:A/AC:H/AT:N/PR:N/UI:A/VC:H/VI:L/VA:H/SC:H/SI:N/SA:H", 7.1),
]


@pytest.mark.parametrize(("vector", "expected"), SCORES)
def test_the_score_of_a_vector(vector: str, expected: float) -> None:
    assert score(vector) == expected


@pytest.mark.parametrize(
    "vector",
    [
        "",
        "high",
        "CVSS:3.1/AV:N",
        "CVSS:5.0/AV:N",
        "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N",
        "AV:N/AC",
        "9.8",
        "/:/",
    ],
)
def test_what_is_no_vector_is_refused(vector: str) -> None:
    with pytest.raises(Invalid):
        score(vector)


def test_levels() -> None:
    assert [level(each) for each in (0.0, 0.1, 3.9, 4.0, 6.9, 7.0, 8.9, 9.0, 10.0)] == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert level(10.0, of_version_2=True) == 3
