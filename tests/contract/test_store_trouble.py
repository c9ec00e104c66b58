"""A database that cannot be opened, fills up, is held by another or goes away: a helpful line, nothing
half-written, and work goes on when it can."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from sqlalchemy import Connection, make_url

from tests.small_disk import SmallDisk, small_disk
from tidegate.domain.errors import StartupError, Unavailable
from tidegate.ports.store import Kind, Tx
from tidegate.store import DatabaseLimits, SqlStore, open_store
from tidegate.store.engine import LOCK
from tidegate.store.errors import to_unavailable

R = TypeVar("R")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Note:
    text: str


NOTE = Kind("note", Note)


def run(store: SqlStore, work: Callable[[Tx], R]) -> R:
    return asyncio.run(store.run(work))


def put(name: str, size: int = 1) -> Callable[[Tx], int]:
    return lambda tx: tx.put(NOTE, name, Note("x" * size), expect=None, now=NOW)


def names(store: SqlStore) -> set[str]:
    records = {saved.name for saved in run(store, lambda tx: tx.find(NOTE)).items}
    assert records == {line.name for line in run(store, lambda tx: tx.journal())}
    return records


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("", "expected sqlite:////PATH or postgresql://"),
        ("nonsense", "expected sqlite:////PATH or postgresql://"),
        ("postgresql://host:port/name", "expected sqlite:////PATH or postgresql://"),
        ("mysql://host/name", "A mysql database is not supported: use sqlite or postgresql"),
        ("sqlite:////proc/tidegate.db", "unable to open database file; its folder must exist"),
        ("sqlite:////dev/full", "free space on its disk"),
        (
            "postgresql://me:secret@/name?host=/proc",
            r"postgresql://me:\*\*\*@/name.* check that its server is running",
        ),
        ("postgresql://me:secret@/name?colour=red", 'invalid connection option "colour"; correct its URL'),
    ],
)
def test_a_wrong_url_says_what_to_do(url: str, line: str) -> None:
    with pytest.raises(StartupError, match=line) as caught:
        open_store(url)
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.message


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="its folder must exist"):
        open_store(f"sqlite:///{tmp_path / 'missing' / 'tidegate.db'}")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.db"
    path.write_text("these are my notes, not a database\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StartupError, match="file is not a database; restore it"):
        open_store(f"sqlite:///{path}")
    assert path.read_bytes() == before


async def test_a_database_that_can_only_be_read(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.db"
    await open_store(f"sqlite:///{path}").close()
    with pytest.raises(
        StartupError, match="readonly database; give write permission to the user who runs tidegate"
    ):
        open_store(f"sqlite:///file:{path}?mode=ro&uri=true")


def test_a_postgresql_database_that_is_not_there(postgres_url: str) -> None:
    with pytest.raises(StartupError, match='"missing" does not exist; create it first'):
        open_store(str(make_url(postgres_url).set(database="missing")))


async def test_a_postgresql_user_who_may_not_write(postgres_url: str) -> None:
    await open_store(postgres_url).close()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest")
    try:
        with pytest.raises(StartupError, match=r'permission denied.*ALTER DATABASE ".*" OWNER TO "guest"; GRANT'):
            open_store(postgres_url.replace("postgres@", "guest@"))
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY guest")
            connection.execute("DROP ROLE guest")


PROBLEMS = {
    "ALTER ROLE postgres SET default_transaction_read_only = on": "standby or is set to read only: name the primary",
    'ALTER DATABASE "{name}" SET default_transaction_read_only = on': "target_session_attrs=read-write",
}


@pytest.mark.parametrize("statement", PROBLEMS)
def test_a_postgresql_database_that_can_only_be_read(postgres_url: str, statement: str) -> None:
    undo = statement.replace("SET", "RESET").replace(" = on", "")
    name = make_url(postgres_url).database
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(statement.format(name=name))
        try:
            with pytest.raises(StartupError, match=PROBLEMS[statement]):
                open_store(postgres_url)
        finally:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(undo.format(name=name))


def test_a_postgresql_role_with_all_its_connections_and_one_that_is_unknown(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE busy LOGIN CONNECTION LIMIT 0")
        try:
            with pytest.raises(
                StartupError, match='too many connections for role "busy"; raise its max_connections'
            ):
                open_store(postgres_url.replace("postgres@", "busy@"))
        finally:
            connection.execute("DROP ROLE busy")
    with pytest.raises(StartupError, match='"busy" does not exist; check the user and the password'):
        open_store(postgres_url.replace("postgres@", "busy@"))


def test_a_postgresql_database_without_an_encoding(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        try:
            with pytest.raises(StartupError, match="has the encoding SQL_ASCII: create one with UTF8"):
                open_store(str(make_url(postgres_url).set(database="bytes")))
        finally:
            connection.execute("DROP DATABASE bytes WITH (FORCE)")


SAID = [
    ('FATAL:  password authentication failed for user "me"', "check the user and the password"),
    ("fe_sendauth: no password supplied", "check the user and the password"),
    ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "me", database "x", SSL off', "pg_hba.conf"),
    ("FATAL:  sorry, too many clients already", "max_connections"),
    ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", "max_connections"),
    ("FATAL:  the database system is starting up", "wait until its server is up"),
    (
        "FATAL:  the database system is not accepting connections DETAIL: recovery state not yet consistent",
        "standby",
    ),
    ("permission denied for schema public", 'GRANT ALL ON SCHEMA public TO "me"'),
    ("permission denied for database x", 'GRANT ALL ON DATABASE "x" TO "me"'),
    ("must be owner of table records", 'ALTER DATABASE "x" OWNER TO "me"'),
    ("cannot execute UPDATE in a read-only transaction", "name the primary"),
    ('could not extend file "base/1/2": No space left on device', "free space on its server's disk"),
    ("server does not support SSL, but SSL was required", "sslmode"),
    ("connection refused", "check that its server is running"),
]


@pytest.mark.parametrize(("said", "advice"), SAID)
def test_postgresql_s_words_lead_to_the_way_out(said: str, advice: str) -> None:
    error = to_unavailable(psycopg.OperationalError(said), make_url("postgresql://me:secret@host/x"))
    assert advice in str(error).partition(said)[2]
    assert "user who runs tidegate" not in str(error)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small") as disk:
        yield disk


def test_a_full_disk_undoes_the_transaction_and_later_work_goes_on(disk: SmallDisk) -> None:
    store = open_store(f"sqlite:///{disk.folder / 'tidegate.db'}")
    run(store, put("before"))
    disk.fill()
    for _ in range(3):
        with pytest.raises(Unavailable, match="free space on its disk"):
            run(store, lambda tx: [put("small")(tx), put("large", 1_000_000)(tx)])
        assert names(store) == {"before"}
    disk.free()
    run(store, put("after"))
    assert names(store) == {"before", "after"}
    asyncio.run(store.close())


def test_a_full_disk_is_no_place_to_start(disk: SmallDisk) -> None:
    disk.fill()
    with pytest.raises(StartupError, match="free space on its disk"):
        open_store(f"sqlite:///{disk.folder / 'tidegate.db'}")


def test_a_full_database_undoes_the_transaction_and_later_work_goes_on(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'tidegate.db'}")
    run(store, put("before"))

    def limit(pages: int) -> Callable[[Connection], object]:
        return lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar()

    asyncio.run(store.database.run(limit(1)))  # as many as there are
    with pytest.raises(Unavailable, match="is full; free space on its disk"):
        run(store, lambda tx: [put("small")(tx), put("large", 100_000)(tx)])
    assert names(store) == {"before"}
    asyncio.run(store.database.run(limit(1_000_000)))
    run(store, put("after", 100_000))
    assert names(store) == {"before", "after"}
    asyncio.run(store.close())


def test_sqlite_held_by_another_program(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.db"
    store = open_store(f"sqlite:///{path}")
    asyncio.run(store.database.run(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout = 20")))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="database is locked; another process has locked it; try again"):
        run(store, put("a"))
    other.execute("ROLLBACK")
    other.close()
    run(store, put("a"))
    asyncio.run(store.close())


def test_postgresql_held_by_another_program(postgres_url: str) -> None:
    store = open_store(postgres_url)
    asyncio.run(store.database.run(lambda connection: connection.exec_driver_sql("SET lock_timeout = '20ms'")))
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE records")
        with pytest.raises(Unavailable, match="lock timeout; another process has locked it; try again"):
            run(store, put("a"))
    run(store, put("a"))
    asyncio.run(store.close())


def test_a_server_that_cuts_the_connection(postgres_url: str) -> None:
    store = open_store(postgres_url)
    run(store, put("before"))

    def cut() -> None:
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def work(tx: Tx) -> None:
        put("lost")(tx)
        cut()
        put("lost too")(tx)

    with pytest.raises(Unavailable, match="check that its server is running and reachable"):
        run(store, work)
    assert names(store) == {"before"}
    cut()  # while idle: the next transaction connects anew
    run(store, put("after"))
    assert names(store) == {"before", "after"}
    asyncio.run(store.close())


async def test_reads_go_on_while_another_program_keeps_writers_waiting(database_url: str) -> None:
    """Also while writers of this process wait, and once an outage has begun for them."""
    store = open_store(database_url, DatabaseLimits(transaction=2.0))
    await store.run(put("a"))

    async def read() -> set[str]:
        return {saved.name for saved in (await store.read(lambda tx: tx.find(NOTE))).items}

    with foreign_writer(database_url):
        writing = [asyncio.create_task(store.run(put("b"))) for _ in range(5)]
        assert await read() == {"a"}
        assert not any(task.done() for task in writing)
        said = await asyncio.gather(*writing, return_exceptions=True)
        assert {type(error) for error in said} == {Unavailable}
        for _ in range(3):
            with pytest.raises(Unavailable):
                await store.run(put("c"))
            assert await read() == {"a"}
    while True:
        with contextlib.suppress(Unavailable):
            await store.run(put("d"))
            break
    assert await read() == {"a", "d"}
    await store.close()


@contextlib.contextmanager
def foreign_writer(url: str) -> Iterator[None]:
    """Another program's transaction that does not end."""
    if url.startswith("sqlite"):
        other = sqlite3.connect(make_url(url).database or "", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
        other.close()
        return
    with psycopg.connect(url) as other_server:
        other_server.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        yield


async def test_a_reading_transaction_is_of_one_moment_and_writes_nothing(database_url: str) -> None:
    store = open_store(database_url)
    await store.run(put("a"))
    going, entered = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def twice(tx: Tx) -> tuple[int, int]:
        first = len(tx.find(NOTE).items)
        loop.call_soon_threadsafe(entered.set)
        going.wait()
        return first, len(tx.find(NOTE).items)

    reading = asyncio.create_task(store.read(twice))
    await entered.wait()
    await store.run(put("b"))
    going.set()
    assert await reading == (1, 1)
    with pytest.raises(AssertionError, match="does not write"):
        await store.read(put("c"))
    assert {saved.name for saved in (await store.read(lambda tx: tx.find(NOTE))).items} == {"a", "b"}
    await store.close()
