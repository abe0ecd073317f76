"""Files of layers are read strictly: values are texts, and what could mean two things is refused."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.cli import layerfiles
from vedette.cli.errors import Usage

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)


def load(tmp_path: Path, text: str, name: str = "x.yaml") -> list[layerfiles.LayerFile]:
    (tmp_path / name).write_text(text)
    return layerfiles.load([str(tmp_path / name)])


def values(tmp_path: Path, text: str) -> dict[str, str | None]:
    (found,) = load(
        tmp_path, "layer: tenant\nvalues:\n" + "".join("  " + line for line in text.splitlines(keepends=True))
    )
    return dict(found.values)


@pytest.mark.parametrize(
    "scalar", ["yes", "on", "1.10", "0777", "1e3", "12:30:00", "2026-01-01", "0x1F", "true", "=", "<<"]
)
def test_nothing_is_guessed(tmp_path: Path, scalar: str) -> None:
    assert values(tmp_path, f"a: {scalar}") == {"a": scalar}


def test_what_values_can_be(tmp_path: Path) -> None:
    text = 'a: null\nb: "null"\nc:\nd: ~\ne: ""\nf:\n  g.h: x\n  i: {j: [k, l]}\nm: |\n  n\n  o\n'
    assert values(tmp_path, text) == {
        "a": None, "b": "null", "c": None, "d": None, "e": "", "f.g.h": "x", "f.i.j": "k l", "m": "n\no\n"
    }  # fmt: skip


def test_json_says_the_same(tmp_path: Path) -> None:
    given = {"layer": "group/a", "values": {"a": 1.10, "b": True, "c": None, "d": {"e": ["x", "y"]}, "f": 1e400}}
    (found,) = load(tmp_path, json.dumps(given).replace("1.1", "1.10"), "x.json")
    assert found.values == {"a": "1.10", "b": "true", "c": None, "d.e": "x y", "f": "Infinity"}


def test_the_order_is_from_outer_to_inner_layers(tmp_path: Path) -> None:
    layers = ["device/a", "group/z", "tenant", "group/b"]
    text = "\n---\n".join(f"layer: {each}\nvalues: {{}}" for each in layers)
    assert [each.layer for each in load(tmp_path, text)] == ["tenant", "group/b", "group/z", "device/a"]


def test_parameters_of_the_rollout(tmp_path: Path) -> None:
    text = (
        "layer: tenant\nvalues: {}\nrollout: {waves: [1, 2.5, 100], soak_s: 60, max_alert_percent: null, paused: true}"
    )
    (found,) = load(tmp_path, text)
    assert found.rollout == {"waves": [1, 2.5, 100], "soak_s": 60, "max_alert_percent": None, "paused": True}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("layer: tenant\nvalues: {a: x, a: y}", "x.yaml:2: 'a' is there twice"),
        ("layer: tenant\nvalues: {a.b: x, a: {b: y}}", "'a.b' is there twice"),
        ("layer: tenant\nvalues: {}\n---\nlayer: tenant\nvalues: {}", "is in .*x.yaml:1 already"),
        ("layer: tenant", "`values` is missing"),
        ("layer: fleet\nvalues: {}", "is no layer"),
        ("layer: tenant\nvalue: {}", "no 'value' here"),
        ("layer: tenant\nvalues: [a]", "`values` a table"),
        ("layer: tenant\nvalues: {a: [{b: c}]}", "has texts only"),
        ("layer: tenant\nvalues: {[a]: b}", "a key is a text"),
        ("layer: tenant\nvalues: {}\nrollout: {waves: many}", "rollout: 'waves'"),
        ("layer: tenant\nvalues: {}\nrollout: {soak_s: soon}", "soak_s is a number"),
        ("layer: tenant\nvalues: {}\nrollout: {patience: 3}", "'patience'"),
        ("layer: tenant\n  values: {}", "x.yaml:2: it is not YAML"),
        ("- a", "`layer: NAME`"),
        ("", "no layer in"),
        ("layer: tenant\nvalues: \x07", "it is not YAML"),
        ("a: " + "[" * 5000, "too deeply nested|not YAML"),
        ("a: &a [x]\nb: &b [" + ", ".join(["*a"] * 9) + "]\nvalues: {c: *x}", "x.yaml:3: it is not YAML"),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Usage, match=says):
        load(tmp_path, text)


def test_a_short_file_does_not_mean_endlessly_much(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(Usage, match="more than 100000 values"):
        load(tmp_path, "\n".join(lines))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff")
    with pytest.raises(Usage, match="not UTF-8"):
        layerfiles.load([str(tmp_path / "x.yaml")])
    with pytest.raises(Usage, match="cannot be read"):
        layerfiles.load([str(tmp_path / "none.yaml")])
    (tmp_path / "x.yaml").write_bytes(b"#" * (layerfiles.MAX_FILE + 1))
    with pytest.raises(Usage, match="larger than 1 MiB"):
        layerfiles.load([str(tmp_path)])


def test_without_a_reader_of_yaml_json_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(Usage, match=r"pip install 'vedette\[cli\]'"):
        load(tmp_path, "layer: tenant\nvalues: {}")
    assert load(tmp_path, '{"layer": "tenant", "values": {}}', "y.json")


@given(said=st.dictionaries(TEXTS.filter(bool), TEXTS | st.none(), max_size=5), comment=TEXTS)
def test_what_is_written_is_read_again(
    said: dict[str, str | None], comment: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("layers") / "x.yaml"
    path.write_text(layerfiles.dump("group/a", said, comment), newline="")
    (found,) = layerfiles.load([str(path)])
    assert (found.layer, dict(found.values), found.comment) == ("group/a", said, comment)
