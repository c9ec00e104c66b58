"""Backups: one moment of a database while it is written, back into either kind, all of it or nothing."""

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select

from tests.samples import version
from tidegate.domain.access import AuditEntry, Means, Role, Session, Token, User
from tidegate.domain.asynchronous import Item
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Conflict, Invalid
from tidegate.domain.generations import generation_floor
from tidegate.domain.history import History, HistoryEntry, VersionOutcome
from tidegate.domain.metric import MetricId
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import DeploymentConfig
from tidegate.ports.artifacts import ArtifactPart
from tidegate.ports.store import Tx
from tidegate.service import history
from tidegate.service.record_kinds import ENDPOINT, HISTORY, MODEL
from tidegate.store import SqlStore, backup, backup_file, open_store
from tidegate.store.access import SqlAccess
from tidegate.store.audit import SqlAudit
from tidegate.store.queue import SqlQueue
from tidegate.store.samples import SeriesKey
from tidegate.store.tables import AUDIT, MINUTES, QUEUE, RECORDS, SERIES, SESSIONS, TOKENS, USERS

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
ITEM = Item("a", "e", "mine", 100.0, 160.0, 900.0, "file:///out/a.out", headers={"accept": "text/csv"})


def model(name: str, secret: str = "é\u2028") -> Model:
    return Model(name, (ContainerDefinition("tidegate/xgboost", "file:///m.ubj", {"KEY": secret}),), NOW)


def fill(store: SqlStore) -> None:
    def records(tx: Tx) -> None:
        tx.put(MODEL, "m", model("m"), expect=0, now=NOW)
        tx.put(ENDPOINT, "e", Endpoint("e", NOW, NOW, generation=7, fence=9), expect=0, now=NOW)
        tx.put(MODEL, "gone", model("gone"), expect=0, now=NOW)
        tx.delete(MODEL, "gone", expect=None, now=NOW)

    async def main() -> None:
        await store.run(records)
        for number in range(60):  # so that the journal has differences
            body = model("m", f"{number}" + "x" * 500)
            await store.run(lambda tx, b=body: tx.put(MODEL, "m", b, expect=None, now=NOW))  # type: ignore[misc]
        queue = SqlQueue(store.database)
        await queue.accept(lambda tx: ITEM, bytes(range(256)))
        await queue.accept(lambda tx: replace(ITEM, id="b"), None)
        series = SeriesKey(MetricId("AWS/SageMaker", "Invocations", (("EndpointName", "e"),)), "Count")
        await store.database.run(lambda c: measure(c, series))
        await fill_access(store)

    asyncio.run(main())


async def fill_access(store: SqlStore) -> None:
    book = SqlAccess(store.database)
    await book.add_user(User("alice", Role.ADMIN, "scrypt$1", NOW, NOW))
    await book.add_token(Token("0123", "digest", "alice", Role.VIEWER, "ci", NOW, None))
    session = Session("d", "alice", None, "csrf", NOW, NOW, LATER)
    await book.begin_session(session, password="scrypt$1", instead_of="", most=9)
    await SqlAudit(store.database).begin(
        AuditEntry(NOW, "alice", Means.KEY, "admin", "", "deploy", "e", "é\u2028")
    )


def measure(connection: Any, series: SeriesKey) -> None:
    names = {"namespace": "n", "name": "m", "dimensions": "[]", "unit": "Count"}
    connection.execute(SERIES.insert().values(id=5, last_at=60, **names))
    row = {"at": 60, "series_id": 5, "count": 1.0, "total": 0.1, "low": float("-inf"), "high": float("inf")}
    connection.execute(MINUTES.insert().values(bins=b"\0\xff", **row))


def quiet(done: int, total: int = 0) -> None:
    pass


def save(store: SqlStore, path: Path, metrics: bool = False) -> backup.Contents:
    return store.database.read(lambda c: backup.export(c, path, metrics=metrics, progress=quiet))


class Archive:
    """Kept model data in memory."""

    def __init__(self, *parts: ArtifactPart, count: int | None = None) -> None:
        self.parts = list(parts)
        self.counted = len(parts) if count is None else count

    def count(self) -> int:
        return self.counted

    def read(self) -> Iterator[ArtifactPart]:
        return iter(self.parts)

    def write(self, parts: Iterator[ArtifactPart]) -> int:
        raise NotImplementedError


def load(
    store: SqlStore, path: Path, *, force: bool = False, progress: Callable[[int, int], None] = quiet
) -> backup.Contents:
    header = backup_file.verify(path, quiet)

    def work(connection: Any) -> backup.Contents:
        return backup.restore(connection, path, header, force=force, now=LATER, progress=progress)

    return asyncio.run(store.database.run(work))


def rows(store: SqlStore, table: Table) -> list[tuple[Any, ...]]:
    query = select(table).order_by(*table.primary_key.columns)
    return [tuple(row) for row in store.database.read(lambda c: c.execute(query).all())]


def bodies(store: SqlStore) -> list[object]:
    return [line.body for line in asyncio.run(store.run(lambda tx: tx.journal(limit=1000)))]


STATE_ROWS = {"records": 2, "journal": 64, "queue": 2, "users": 1, "tokens": 1, "audit": 1}


@pytest.mark.parametrize("into", ["sqlite", "postgres"])
def test_what_one_database_holds_comes_back_in_another(
    database_url: str, into: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    here, path = open_store(database_url), tmp_path / "all.backup"
    fill(here)
    saved = save(here, path, metrics=True)
    assert saved.rows == {**STATE_ROWS, "series": 1, "seconds": 0, "minutes": 1}
    assert path.stat().st_mode & 0o777 == 0o600
    if into == "sqlite":
        there = open_store(f"sqlite:///{tmp_path / 'there.db'}")
    elif here.database.dialect == "sqlite":
        there = open_store(request.getfixturevalue("postgres_url"))
    else:
        there = here
        asyncio.run(there.database.run(lambda c: c.exec_driver_sql("DELETE FROM records")))
    before = {table: rows(here, table) for table in (QUEUE, USERS, TOKENS, AUDIT, SERIES, MINUTES)}
    journal = bodies(here)
    assert load(there, path, force=there is here).rows == saved.rows
    assert {table: rows(there, table) for table in before} == before
    assert bodies(there)[: len(journal)] == journal
    assert rows(there, SESSIONS) == []

    endpoint = asyncio.run(there.run(lambda tx: tx.get(ENDPOINT, "e")))
    assert endpoint is not None
    assert (endpoint.body.generation, endpoint.body.fence) == (generation_floor(LATER), generation_floor(LATER))
    lines = asyncio.run(there.run(lambda tx: tx.journal(kind="endpoint", name="e")))
    assert (lines[-1].body, lines[-1].events[0].kind) == (json.loads(json.dumps(lines[-1].body)), "restore")
    asyncio.run(there.run(lambda tx: tx.put(MODEL, "new", model("new"), expect=0, now=NOW)))
    seqs = [line.seq for line in asyncio.run(there.run(lambda tx: tx.journal(limit=1000)))]
    assert seqs == sorted(set(seqs)), "numbers are not given out twice"
    for store in {here, there}:
        asyncio.run(store.close())


def test_kept_model_data_is_in_the_file_and_is_no_table(database_url: str, tmp_path: Path) -> None:
    store, path = open_store(database_url), tmp_path / "all.backup"
    fill(store)
    parts = [ArtifactPart("sha256-1", "", "folder", b""), ArtifactPart("sha256-1", "m", "file", bytes(range(256)))]
    archive = Archive(*parts)
    saved = store.database.read(lambda c: backup.export(c, path, metrics=False, progress=quiet, models=archive))
    assert saved.rows == {**STATE_ROWS, "models": 2}
    assert list(backup.read_models(path)) == parts
    assert load(store, path, force=True).rows == saved.rows
    early = Archive(*parts, count=3)
    with pytest.raises(Conflict, match="run the backup again"):
        store.database.read(lambda c: backup.export(c, path, metrics=False, progress=quiet, models=early))
    assert list(backup.read_models(path)) == parts, "the earlier file stays"
    asyncio.run(store.close())


def test_a_backup_holds_one_moment_while_others_write(database_url: str, tmp_path: Path) -> None:
    """Every transaction writes both records alike."""
    store, path, stop = open_store(database_url), tmp_path / "moment.backup", threading.Event()
    other = open_store(database_url)

    def both(number: int) -> Callable[[Tx], None]:
        def work(tx: Tx) -> None:
            for name in ("a", "z"):
                tx.put(ENDPOINT, name, Endpoint(name, NOW, NOW, generation=number), expect=None, now=NOW)

        return work

    async def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await other.run(both(number))
        await other.close()

    asyncio.run(store.run(both(0)))
    writer = threading.Thread(target=lambda: asyncio.run(write()))
    writer.start()
    try:
        for _ in range(5):
            save(store, path)
            found = list(backup_file.read_rows(path))
            records = {row[1]: json.dumps(row[3]) for table, row in found if table == "records"}
            a, z = (json.loads(body)["generation"] for body in records.values())
            lines = [row for table, row in found if table == "journal"]
            assert a == z
            assert len(lines) == 2 * (a + 1)
    finally:
        stop.set()
        writer.join()
    asyncio.run(store.close())


def test_what_is_there_is_not_overwritten_unless_forced(database_url: str, tmp_path: Path) -> None:
    store, path = open_store(database_url), tmp_path / "a.backup"
    fill(store)
    save(store, path)
    asyncio.run(store.run(lambda tx: tx.put(MODEL, "later", model("later"), expect=0, now=NOW)))
    with pytest.raises(
        Conflict, match=r"not empty \(3 in records, 65 in journal, 2 in queue\): use --force to replace"
    ):
        load(store, path)
    load(store, path, force=True)
    assert {row[1] for row in rows(store, RECORDS)} == {"m", "e"}
    assert len(rows(store, MINUTES)) == 1, "the backup had no measurements to put in their place"
    asyncio.run(store.close())


def test_a_restore_that_breaks_off_leaves_what_was_there(database_url: str, tmp_path: Path) -> None:
    store, path = open_store(database_url), tmp_path / "a.backup"
    fill(store)
    save(store, path)
    before = rows(store, RECORDS), rows(store, QUEUE), bodies(store)

    def break_off(done: int, total: int) -> None:
        if done == total:
            raise RuntimeError("power is gone")

    with pytest.raises(RuntimeError):
        load(store, path, force=True, progress=break_off)
    assert (rows(store, RECORDS), rows(store, QUEUE), bodies(store)) == before
    asyncio.run(store.close())


def altered(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(gzip.compress(b"".join(change(gzip.decompress(path.read_bytes()).splitlines(True)))))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-200]), "is damaged and nothing was restored"),
        (lambda p: p.write_bytes(p.read_bytes()[:100] + b"\0" + p.read_bytes()[101:]), "is damaged"),
        (lambda p: p.write_bytes(b""), "is damaged .*: it is empty"),
        (lambda p: p.write_bytes(b"notes"), "is damaged .*: Not a gzipped file"),
        (lambda p: p.unlink(), "cannot be read: No such file"),
        (lambda p: p.write_bytes(gzip.compress(b"{}\n")), "is not a backup of tidegate"),
        (lambda p: altered(p, lambda lines: lines[:-1]), "its end is missing"),
        (lambda p: altered(p, lambda lines: [*lines[:3], *lines[4:]]), "its checksum does not match"),
        (lambda p: altered(p, lambda lines: [lines[0], lines[2], lines[1], *lines[3:]]), "its checksum does not"),
        (lambda p: altered(p, lambda lines: [*lines, lines[1]]), "it has lines after its end"),
        (
            lambda p: altered(p, lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]]),
            "was made by a newer tidegate",
        ),
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_refused(
    tmp_path: Path, harm: Callable[[Path], None], says: str
) -> None:
    store, path = open_store("sqlite://"), tmp_path / "a.backup"
    fill(store)
    save(store, path)
    harm(path)
    with pytest.raises(Invalid, match=says) as caught:
        backup_file.verify(path, quiet)
    assert "\n" not in caught.value.message
    asyncio.run(store.close())


def test_a_file_with_any_damaged_byte_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.backup"
    with backup_file.open_writer(path) as file:
        file.header(backup_file.Header(backup_file.FORMAT, 1, "0.2.0", "1", NOW, {}))
        file.end()
    whole = path.read_bytes()
    for place in range(10, len(whole)):  # after gzip's own header, which says nothing of the content
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(Invalid, match="is damaged and nothing was restored"):
            backup_file.verify(path, quiet)
    path.write_bytes(whole)
    assert backup_file.verify(path, quiet).rows == 0


def test_a_backup_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    store, path = open_store("sqlite://"), tmp_path / "a.backup"
    fill(store)
    save(store, path)
    before = path.read_bytes()
    (tmp_path / "a.backup.part").symlink_to("/dev/full")
    with pytest.raises(Invalid, match="cannot be written: No space left on device"):
        save(store, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.backup"]
    asyncio.run(store.close())


def test_the_history_of_versions_is_part_of_a_backup(tmp_path: Path) -> None:
    here, there = open_store(f"sqlite:///{tmp_path / 'here.db'}"), open_store(f"sqlite:///{tmp_path / 'there.db'}")
    artifacts: dict[str, tuple[str, ...]] = {"main": ("sha256-" + "0" * 64, "")}
    entry = HistoryEntry(
        1,
        "r1",
        version("v1"),
        DeploymentConfig(),
        "ann",
        NOW,
        "d",
        NOW,
        LATER,
        VersionOutcome.REPLACED,
        "why",
        artifacts,
    )

    def records(tx: Tx) -> None:
        tx.put(ENDPOINT, "e", Endpoint("e", NOW, NOW, generation=7, fence=9), expect=0, now=NOW)
        tx.put(HISTORY, "e", History((entry,)), expect=0, now=NOW)

    asyncio.run(here.run(records))
    save(here, tmp_path / "all.backup")
    load(there, tmp_path / "all.backup")
    assert asyncio.run(there.run(lambda tx: history.read(tx, "e"))) == History((entry,))
