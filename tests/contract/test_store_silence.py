"""A database that does not answer: connections that stay open and lead nowhere, locks that others hold. Every call
ends in time, calls fail together, and work goes on as soon as it can."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.tcp_relay import Relay, relayed
from tidegate.domain.errors import StartupError, Unavailable
from tidegate.ports.store import Kind, Tx
from tidegate.store import DatabaseLimits, SqlStore, open_store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHORT = DatabaseLimits(transaction=2.0)
PATIENCE = 60.0
"""Far more than any of it takes, far less than what hangs for good."""


@dataclass(frozen=True)
class Note:
    text: str


NOTE = Kind("note", Note)


def put(name: str) -> Callable[[Tx], int]:
    return lambda tx: tx.put(NOTE, name, Note(name), expect=None, now=NOW)


def names(tx: Tx) -> set[str]:
    return {saved.name for saved in tx.find(NOTE).items}


@pytest.fixture
def relay(postgres_folder: Path) -> Iterator[Relay]:
    with relayed(postgres_folder) as relay:
        yield relay


@pytest.fixture
def store(relay: Relay, postgres_url: str) -> Iterator[SqlStore]:
    store = open_store(relay.url(postgres_url), SHORT)
    asyncio.run(store.run(put("before")))
    yield store
    asyncio.run(asyncio.wait_for(store.close(), PATIENCE))


async def tried(store: SqlStore, work: Callable[[Tx], object]) -> object:
    """What came of it, in good time: far less than if each call waited in turn."""
    try:
        return await asyncio.wait_for(store.run(work), PATIENCE)
    except Unavailable as error:
        return str(error)


async def until_well(store: SqlStore) -> None:
    async with asyncio.timeout(PATIENCE):
        while isinstance(await tried(store, put("probe")), str):
            await asyncio.sleep(0.05)


async def test_a_connection_that_goes_silent_while_idle_is_replaced(relay: Relay, store: SqlStore) -> None:
    """As after a failover: old connections lead nowhere, new ones work. No call fails for it."""
    relay.silence()
    relay.new_ones_work = True

    assert await asyncio.gather(*(tried(store, put(str(n))) for n in range(5))) == [1] * 5
    assert await store.run(names) == {"before", "0", "1", "2", "3", "4"}


@pytest.mark.parametrize("statement", [b"pg_advisory_xact_lock", b"INSERT INTO records", b"COMMIT"])
async def test_a_statement_that_is_never_answered_ends_in_time(
    relay: Relay, store: SqlStore, statement: bytes
) -> None:
    relay.deaf_to = statement

    message = await tried(store, put("lost"))
    assert "did not answer within 2 s" in str(message)
    assert "check that its server is running and reachable" in str(message)
    relay.deaf_to = b""
    relay.resume()
    await until_well(store)
    assert await store.run(names) == {"before", "probe"}


async def test_a_commit_whose_answer_is_lost_is_not_said_to_have_failed(relay: Relay, store: SqlStore) -> None:
    relay.answers_lost_after = b"COMMIT"

    assert "whether the change was written is not known" in str(await tried(store, put("landed")))
    relay.answers_lost_after = b""
    relay.resume()
    await until_well(store)
    assert await store.run(names) == {"before", "landed", "probe"}


async def test_many_calls_on_a_silent_database_fail_together_and_then_promptly(
    relay: Relay, store: SqlStore
) -> None:
    relay.silence()

    for _ in range(2):
        outcomes = await asyncio.gather(*(tried(store, put(str(n))) for n in range(200)))
        assert all(isinstance(outcome, str) for outcome in outcomes)
    relay.resume()
    await until_well(store)
    assert await store.run(names) == {"before", "probe"}


def test_a_server_that_is_silent_at_the_start_is_an_error_in_time(relay: Relay, postgres_url: str) -> None:
    relay.silence()
    with pytest.raises(StartupError, match="check that its server is running and reachable"):
        open_store(relay.url(postgres_url), SHORT)


async def test_closing_does_not_wait_for_a_silent_server(relay: Relay, postgres_url: str) -> None:
    store = open_store(relay.url(postgres_url), DatabaseLimits(transaction=3600.0))

    await store.run(put("a"))
    relay.deaf_to = b"INSERT"
    hung = asyncio.create_task(store.run(put("b")))
    queued = [asyncio.create_task(store.run(put(str(n)))) for n in range(9)]
    while not relay.silent.is_set():
        await asyncio.sleep(0.01)
    await asyncio.wait_for(store.close(), PATIENCE)
    hung.cancel()
    results = await asyncio.gather(*queued, return_exceptions=True)
    assert any(isinstance(result, Unavailable) for result in results)


async def test_what_a_vanished_client_held_is_free_in_time(
    relay: Relay, store: SqlStore, postgres_url: str
) -> None:
    """The server ends the transaction of a client that says nothing more, with the lock that all others wait for."""
    relay.deaf_to = b"INSERT"

    assert isinstance(await tried(store, put("lost")), str)  # the server still holds its lock
    other = open_store(postgres_url)
    await until_well(other)
    assert await other.run(names) == {"before", "probe"}
    await other.close()


async def test_calls_on_a_locked_sqlite_share_the_wait(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.db"
    store = open_store(f"sqlite:///{path}", DatabaseLimits(transaction=4.0))
    foreign = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    foreign.execute("BEGIN IMMEDIATE")

    outcomes = await asyncio.gather(*(tried(store, put(str(n))) for n in range(100)))
    assert {str(outcome) for outcome in outcomes} == {str(outcomes[0])}
    assert "database is locked; another process has locked it; try again" in str(outcomes[0])
    assert isinstance(await tried(store, put("again")), str)
    freed = threading.Timer(0.2, lambda: foreign.execute("ROLLBACK"))
    freed.start()
    await until_well(store)
    assert await store.run(names) == {"probe"}
    freed.join()
    await store.close()
    foreign.close()
