"""A GGUF file with another chat template: the same model but for it, whatever the template's length."""

from pathlib import Path

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny_language_model
from tidegate.domain.errors import ArtifactError
from tidegate.features.examples.gguf_template import TEMPLATE, write_with_template


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    tiny_language_model.write(path)
    return path


@settings(max_examples=15, deadline=None)
@given(template=st.text(min_size=1, max_size=200))
def test_only_the_template_changes(tiny: Path, template: str) -> None:
    made = tiny.with_name("made.gguf")
    write_with_template(tiny, made, template)
    before, after = gguf.GGUFReader(tiny), gguf.GGUFReader(made)
    assert after.fields[TEMPLATE.decode()].contents() == template
    for name in before.fields.keys() - {TEMPLATE.decode()}:
        assert after.fields[name].contents() == before.fields[name].contents()
    weights = [(one.name, one.data.tobytes()) for one in before.tensors]
    assert [(one.name, one.data.tobytes()) for one in after.tensors] == weights


@pytest.mark.parametrize("length", [0, 3, 30, 200, 4_000])
def test_what_is_not_a_whole_model_is_refused(tiny: Path, tmp_path: Path, length: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny.read_bytes()[:length])
    with pytest.raises(ArtifactError, match="not a whole GGUF model"):
        write_with_template(cut, tmp_path / "made.gguf", "x")
    assert not (tmp_path / "made.gguf").exists()


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"PK" * 100)
    with pytest.raises(ArtifactError, match=r"a\.gguf is not a whole GGUF model"):
        write_with_template(tmp_path / "a.gguf", tmp_path / "made.gguf", "x")
