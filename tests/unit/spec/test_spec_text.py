"""YAML with line numbers and limits, and paths relative to the file."""

from datetime import UTC, datetime

import pytest

from tidegate import spec
from tidegate.domain.errors import Invalid
from tidegate.spec.paths import address

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f.yaml: the file is empty"),
        ("a:\n\tb: 1", "f.yaml:2: not YAML: a tab where only spaces are allowed"),
        ("a: &x {b: 1}\nc: {<<: *x}", "f.yaml:2: merge keys ('<<') are not supported: write the keys out"),
        ("a: [", "f.yaml:1: not YAML"),
        ("a: 1\nb:\n - x: [}", "f.yaml:3: not YAML"),
        ("a: 1\nb: 2\na: 3", "f.yaml:3: key 'a' is given twice"),
        ("--- 1\n--- 2", "f.yaml:2: a second document: one file describes one endpoint"),
        ("a: !!python/object/apply:os.system [x]", "f.yaml:1: tag !!python/object/apply:os.system is not"),
        ("? [a, b]\n: 1", "f.yaml:1: a key must be plain text"),
        ("a: &x [*x]", "f.yaml:1: nested more than 32 deep"),
        ("[" * 2000, "f.yaml"),
        ("a: \x00", "f.yaml: not YAML"),
        ("a: 2026-99-99", "f.yaml: not YAML"),
        ("x" * 300_000, "f.yaml: 300000 characters, the limit is 262144"),
    ],
)
def test_what_is_not_one_plain_document(text: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        spec.load(text, "f.yaml")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(Invalid, match="more than 10000 values"):
        spec.load("\n".join(lines), "bomb.yaml")


def test_plain_aliases_are_fine() -> None:
    assert spec.load("a: &x {b: 1}\nc: *x").data == {"a": {"b": 1}, "c": {"b": 1}}


def test_errors_name_file_and_line() -> None:
    text = "endpoint: x\nmodel:\n  image: i\n  dta: y\n"
    with pytest.raises(Invalid) as caught:
        spec.load(text, "fraud.yaml").wish(NOW)
    assert str(caught.value) == "fraud.yaml:4: model: unknown key 'dta', did you mean 'data'?"


def test_a_missing_key_has_the_line_of_what_misses_it() -> None:
    text = "endpoint: x\nvariants:\n- name: a\n  model: {image: i}\n- name: b\n"
    missing = r"^v\.yaml:5: variants\[1\]: 'model' is missing \(or 'pipeline', or 'containers'\)$"
    with pytest.raises(Invalid, match=missing):
        spec.load(text, "v.yaml").wish(NOW)


@pytest.mark.parametrize(
    ("written", "absolute"),
    [
        ("model.tar.gz", "file:///srv/x/model.tar.gz"),
        ("./a/../model.ubj", "file:///srv/x/model.ubj"),
        ("../m", "file:///srv/m"),
        ("/abs/m.json", "file:///abs/m.json"),
        ("file://./m.json", "file:///srv/x/m.json"),
        ("file:///abs/m.json", "file:///abs/m.json"),
        ("~/m.json", "file:///home/me/m.json"),
        ("tree/", "file:///srv/x/tree/"),
        ("s3://bucket/key", "s3://bucket/key"),
    ],
)
def test_paths_are_relative_to_the_file(written: str, absolute: str) -> None:
    assert address(written, "/srv/x", "/home/me") == absolute


def test_resolve_leaves_the_original_and_odd_shapes_alone() -> None:
    data = {"model": {"data": "m"}, "variants": [{"model": {"data": "n"}}, 5]}
    assert spec.resolve(data, "/d") == {
        "model": {"data": "file:///d/m"},
        "variants": [{"model": {"data": "file:///d/n"}}, 5],
    }
    assert data["model"] == {"data": "m"}
    assert spec.resolve("x", "/d") == "x"
    assert spec.resolve({"model": {"data": 7}}, "/d") == {"model": {"data": 7}}
