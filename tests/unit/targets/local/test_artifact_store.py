"""Model data under the digest of its content."""

import os
from pathlib import Path

import pytest

from tidegate.domain.errors import ArtifactError
from tidegate.domain.fleet import FleetId
from tidegate.targets.local.artifact_store import ArtifactStore, digest_tree

FLEET = FleetId("fraud", 1, "main")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "fleet" / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "model.json").write_text("weights")
    (folder / "code" / "run.sh").write_text("#!/bin/sh")
    (folder / "code" / "run.sh").chmod(0o755)
    folder.with_name("model.complete").touch()
    return folder


@pytest.fixture
def store(tmp_path: Path, model: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts", lambda fleet: model)


def keep(store: ArtifactStore) -> str:
    found = store.keep(FLEET, 1)
    assert found is not None
    return found[0]


def test_what_is_kept_outlives_the_fleet_with_content_and_executable_bits(
    store: ArtifactStore, model: Path
) -> None:
    digest = keep(store)
    for path in sorted(model.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    kept = store.path(digest)
    assert (kept / "model.json").read_text() == "weights"
    assert os.access(kept / "code" / "run.sh", os.X_OK) and not os.access(kept / "model.json", os.X_OK)
    assert store.verify(digest)
    assert store.sizes() == {digest: len("weights") + len("#!/bin/sh")}


def test_the_same_content_is_kept_once(store: ArtifactStore) -> None:
    assert keep(store) == keep(store)
    assert len(store.sizes()) == 1
    assert [path.name for path in store.folder.iterdir()] == list(store.sizes())


def test_data_that_is_not_complete_is_not_kept(store: ArtifactStore, model: Path) -> None:
    model.with_name("model.complete").unlink()
    assert store.keep(FLEET, 1) is None
    assert not store.folder.exists()


def test_each_container_has_a_digest(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "model" / str(number)).mkdir(parents=True)
        (tmp_path / "model" / str(number) / "model.json").write_text(str(number))
    store = ArtifactStore(tmp_path / "artifacts", lambda fleet: tmp_path / "model")
    (tmp_path / "model" / "1.complete").touch()
    assert store.keep(FLEET, 2) is None, "the second is still fetched"
    (tmp_path / "model" / "2.complete").touch()
    found = store.keep(FLEET, 2)
    assert found is not None and len(set(found)) == 2 and set(found) == set(store.sizes())


@pytest.mark.parametrize("damage", ["content", "name", "mode", "more", "less"])
def test_damaged_data_is_noticed(store: ArtifactStore, damage: str) -> None:
    digest = keep(store)
    kept = store.path(digest)
    match damage:
        case "content":
            (kept / "model.json").write_text("other")
        case "name":
            (kept / "model.json").rename(kept / "model.ubj")
        case "mode":
            (kept / "code" / "run.sh").chmod(0o644)
        case "more":
            (kept / "more").touch()
        case "less":
            (kept / "model.json").unlink()
    assert not store.verify(digest)


def test_links_are_not_followed(store: ArtifactStore, model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (model / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ArtifactError, match="neither a folder nor a plain file"):
        store.keep(FLEET, 1)
    assert store.sizes() == {}


def test_retaining_removes_all_others(store: ArtifactStore, model: Path) -> None:
    first = keep(store)
    (model / "model.json").unlink()
    (model / "model.json").write_text("newer weights")
    second = keep(store)
    store.retain({second})
    assert set(store.sizes()) == {second} and not store.verify(first)
    assert [path.name for path in store.folder.iterdir()] == [second]


@pytest.mark.parametrize("text", ["", "..", "../fleets", "sha256-", "sha256-" + "A" * 64, "/etc"])
def test_only_digests_are_looked_up(store: ArtifactStore, text: str) -> None:
    with pytest.raises(ArtifactError):
        store.path(text)


def test_what_was_left_half_done_is_removed(store: ArtifactStore) -> None:
    digest = keep(store)
    (store.folder / ".half").mkdir()
    store.remove_partial()
    assert [path.name for path in store.folder.iterdir()] == [digest]


def test_the_digest_tells_trees_apart(tmp_path: Path) -> None:
    found = set()
    for number, names in enumerate((["a"], ["b"], ["a", "b"], ["a/b"], [])):
        root = tmp_path / str(number)
        root.mkdir()
        for name in names:
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).touch()
        found.add(digest_tree(root))
    assert len(found) == 5
