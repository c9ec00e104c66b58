"""Kept model data in parts and back, checked against its digest."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.fleet import FleetId
from tidegate.ports.artifacts import ArtifactPart
from tidegate.targets.local.artifact_archive import PART, LocalArtifactArchive
from tidegate.targets.local.artifact_store import ArtifactStore, digest_tree


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """Keeps one model: a program, an empty file and folder, and a file of several parts."""
    model = tmp_path / "fleet" / "model"
    (model / "code" / "none").mkdir(parents=True)
    (model / "code" / "run.sh").write_text("#!/bin/sh")
    (model / "code" / "run.sh").chmod(0o755)
    (model / "empty").touch()
    (model / "weights.ubj").write_bytes(os.urandom(2 * PART + 7))
    model.with_name("model.complete").touch()
    made = ArtifactStore(tmp_path / "artifacts", lambda fleet: model)
    assert made.keep(FleetId("fraud", 1, "main"), 1) is not None
    return made


def test_what_is_read_is_written_elsewhere_as_it_was(store: ArtifactStore, tmp_path: Path) -> None:
    archive, there = LocalArtifactArchive(store.folder), LocalArtifactArchive(tmp_path / "there")
    parts = list(archive.read())
    assert len(parts) == archive.count() == 1 + 2 + 1 + 1 + 3
    assert max(len(part.data) for part in parts) == PART
    assert there.write(iter(parts)) == 1
    (digest,) = store.sizes()
    assert [entry.name for entry in there.folder.iterdir()] == [digest]
    assert digest_tree(there.folder / digest) == digest
    assert there.write(archive.read()) == 1, "what is there already stays"
    assert LocalArtifactArchive(tmp_path / "nothing").count() == 0
    assert list(LocalArtifactArchive(tmp_path / "nothing").read()) == []


def changed(parts: list[ArtifactPart], **more: Any) -> Iterator[ArtifactPart]:
    """With another digest in all parts, or other values in the empty file's."""
    for part in parts:
        yield part._replace(**more) if "digest" in more or part.path == "empty" else part


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"data": b"other"}, "is damaged"),
        ({"kind": "program"}, "is damaged"),
        ({"path": "moved"}, "is damaged"),
        ({"path": "../outside"}, "outside its folder"),
        ({"path": "/etc/outside"}, "outside its folder"),
        ({"digest": "../../outside"}, "no digest"),
        ({"digest": "sha256-" + "0" * 64}, "is damaged"),
    ],
)
def test_data_without_its_digest_is_refused_and_leaves_nothing(
    store: ArtifactStore, tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    there = LocalArtifactArchive(tmp_path / "there")
    with pytest.raises(Invalid, match=message):
        there.write(changed(list(LocalArtifactArchive(store.folder).read()), **more))
    left = [entry.name for entry in there.folder.iterdir()]
    assert left == [] and not (tmp_path / "outside").exists()


def test_a_damaged_copy_is_replaced(store: ArtifactStore, tmp_path: Path) -> None:
    parts = list(LocalArtifactArchive(store.folder).read())
    there = LocalArtifactArchive(tmp_path / "there")
    there.write(iter(parts))
    (digest,) = store.sizes()
    (there.folder / digest / "empty").write_text("not as it was")
    there.write(iter(parts))
    assert digest_tree(there.folder / digest) == digest


def test_data_that_is_removed_meanwhile_is_a_conflict(store: ArtifactStore) -> None:
    parts = LocalArtifactArchive(store.folder).read()
    next(parts)
    store.retain(())
    with pytest.raises(Conflict, match="run the backup again"):
        list(parts)
