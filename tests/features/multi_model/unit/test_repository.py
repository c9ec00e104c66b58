"""The marks of artifacts in a folder: a file that is known is looked up by one system call."""

import os
from pathlib import Path

import pytest

from tidegate.domain.errors import ArtifactError
from tidegate.features.multi_model.worker.repository import ModelRepository
from tidegate.serving.artifacts.fetch import Policy


@pytest.fixture
def repository(tmp_path: Path) -> ModelRepository:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a b.ubj").write_bytes(b"one")
    return ModelRepository((tmp_path / "models").as_uri(), Policy((str(tmp_path),)))


def test_a_known_file_is_not_resolved_again(repository: ModelRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    known = repository.mark("a b.ubj")

    def resolve(path: Path, strict: bool = False) -> Path:
        raise AssertionError(f"{path} is resolved again")

    monkeypatch.setattr(Path, "resolve", resolve)
    assert repository.mark("a b.ubj", known) == known


def test_a_changed_file_has_another_mark(repository: ModelRepository, tmp_path: Path) -> None:
    known = repository.mark("a b.ubj")
    (tmp_path / "models" / "a b.ubj").write_bytes(b"another")
    assert repository.mark("a b.ubj", known) == repository.mark("a b.ubj") != known


def test_a_link_out_of_the_folder_is_refused_whatever_was_known(
    repository: ModelRepository, tmp_path: Path
) -> None:
    known = repository.mark("a b.ubj")
    (tmp_path / "secret").write_bytes(b"two")
    (tmp_path / "models" / "a b.ubj").unlink()
    os.symlink(tmp_path / "secret", tmp_path / "models" / "a b.ubj")
    with pytest.raises(ArtifactError, match="no such file"):
        repository.mark("a b.ubj", known)


def test_a_removed_file_has_no_mark(repository: ModelRepository, tmp_path: Path) -> None:
    known = repository.mark("a b.ubj")
    (tmp_path / "models" / "a b.ubj").unlink()
    with pytest.raises(ArtifactError, match="no such file"):
        repository.mark("a b.ubj", known)
