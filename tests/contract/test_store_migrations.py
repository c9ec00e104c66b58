"""The migrations make the tables that the code uses, from an empty database and from every earlier schema."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from tidegate.domain.errors import StartupError
from tidegate.ports.store import Kind
from tidegate.store import open_store
from tidegate.store.schema import upgrade
from tidegate.store.tables import JOURNAL, METADATA, RECORDS, SCHEMA, VERSION_TABLE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REVISIONS = sorted(
    entry.name[1:5]
    for entry in files("tidegate.store.migrations.versions").iterdir()
    if entry.name.startswith("m")
)


@dataclass(frozen=True)
class Note:
    text: str


NOTE = Kind("note", Note)


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    """A plain way in, beside the store's own."""
    engine = create_engine(empty_database_url.replace("postgresql:", "postgresql+psycopg:"))
    yield engine
    engine.dispose()


def differences(connection: Connection) -> list[object]:
    options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))


def test_the_schema_of_the_code_is_that_of_the_newest_migration() -> None:
    assert REVISIONS[-1] == SCHEMA


async def test_an_empty_database_gets_the_tables_of_the_code(empty_database_url: str, engine: Engine) -> None:
    with engine.connect() as connection:
        assert len(differences(connection)) >= len(METADATA.tables)
    await open_store(empty_database_url).close()
    with engine.connect() as connection:
        assert differences(connection) == []


@pytest.mark.parametrize("revision", ["base", *REVISIONS])
async def test_every_earlier_schema_is_brought_up(empty_database_url: str, engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        upgrade(connection, revision)
        if revision != "base":
            record = {"kind": "note", "name": "a", "version": 7, "body": {"text": "kept"}}
            connection.execute(RECORDS.insert().values(**record, created_at=NOW, modified_at=NOW))
            connection.execute(JOURNAL.insert().values(**record, at=NOW, events=[]))
    store = open_store(empty_database_url)
    saved = await store.run(lambda tx: tx.get(NOTE, "a"))
    await store.close()
    assert (saved.body if saved else None) == (None if revision == "base" else Note("kept"))
    with engine.connect() as connection:
        assert differences(connection) == []


async def test_opening_again_changes_nothing(empty_database_url: str, engine: Engine) -> None:
    for _ in range(2):
        await open_store(empty_database_url).close()
        with engine.connect() as connection:
            assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == REVISIONS[-1]


async def test_a_newer_schema_is_refused_and_left_alone(empty_database_url: str, engine: Engine) -> None:
    await open_store(empty_database_url).close()
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StartupError, match=r"newer tidegate \(schema 9999, this one knows \d+\): install"):
        open_store(empty_database_url)
    with engine.connect() as connection:
        assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == "9999"


def test_an_upgrade_that_fails_leaves_nothing_behind(empty_database_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE minutes (x integer)"))
    with pytest.raises(StartupError, match="minutes"):
        open_store(empty_database_url)
    assert inspect(engine).get_table_names() == ["minutes"]


async def test_a_neighbours_alembic_is_not_taken_for_ours(empty_database_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num text)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
    await open_store(empty_database_url).close()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "theirs"
