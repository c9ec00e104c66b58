"""Late labels in backups of a whole state folder: leaving them out, and a restore that is refused."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidegate.compose import backups
from tidegate.domain.errors import Conflict
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.features.labels.label_terms import LabelTerms
from tidegate.features.labels.store import LabelStore
from tidegate.rows.label_lines import Label
from tidegate.service.record_kinds import MODEL
from tidegate.settings import Settings
from tidegate.store import open_store

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a state folder with a record, and a label whose id is a person's."""
    state = tmp_path / "state"
    state.mkdir()

    async def fill() -> None:
        store = open_store(f"sqlite:///{state / 'tidegate.db'}")
        model = Model("m", (ContainerDefinition("tidegate/sklearn"),), NOW)
        await store.run(lambda tx: tx.put(MODEL, "m", model, expect=0, now=NOW))
        await store.close()

    asyncio.run(fill())
    labels = [Label("anna@firma.de", 1.0, 1.0, None, 1.0)]
    LabelStore(state / "labels", "fraud").accept(labels, LabelTerms())
    return Settings(state=state)


def save(settings: Settings, path: Path, *, labels: bool = True) -> dict[str, int]:
    done = backups.save(settings, path, metrics=False, labels=labels, progress=lambda done, total: None)
    return dict(done.rows)


def test_a_backup_without_labels_needs_none_that_can_be_read(settings: Settings, tmp_path: Path) -> None:
    (settings.state / "labels" / "other.db").write_bytes(b"these are notes, not a database\n" * 1000)
    with pytest.raises(Conflict, match="--no-labels leaves all labels out"):
        save(settings, tmp_path / "all.backup")
    rows = save(settings, tmp_path / "some.backup", labels=False)
    assert rows["records"] == 1 and "labels" not in rows


def test_a_restore_that_is_refused_leaves_no_labels_about(settings: Settings, tmp_path: Path) -> None:
    """They are whose they are, and nobody would look for them there."""
    save(settings, tmp_path / "all.backup")
    before = sorted(path.name for path in settings.state.iterdir())
    with pytest.raises(Conflict, match="use --force"):
        backups.load(
            settings,
            tmp_path / "all.backup",
            force=False,
            verifying=lambda rows: None,
            progress=lambda done, total: None,
        )
    left = [path for path in settings.state.rglob("*") if path.is_file() and b"anna@firma" in path.read_bytes()]
    assert {path.parent.name for path in left} == {"labels"}
    assert "labels.restored" not in {path.name for path in settings.state.iterdir()} - set(before)
