"""Records whose text is damaged, and not only of another version: each is there, and nothing is done as if it were
not."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.memory_metrics import MemoryMetrics
from tests.samples import version
from tidegate.compose.controller import owners
from tidegate.domain.asynchronous import AsyncConfig, Item
from tidegate.domain.endpoint import Endpoint
from tidegate.features.asynchronous.loop import Queues
from tidegate.ports.store import Kind, Tx
from tidegate.reconcile.engine import Engine
from tidegate.reconcile.guards import Guards
from tidegate.service.record_kinds import ENDPOINT, MODEL, TRANSFORM
from tidegate.store import SqlStore, open_store
from tidegate.store.queue import SqlQueue

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DEEP = "[" * 100_000 + "]" * 100_000
DAMAGED = {"no JSON": "{", "deeper than can be read": DEEP}


@dataclass
class Still:
    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


@pytest.fixture
async def store() -> AsyncIterator[SqlStore]:
    opened = open_store("sqlite://")
    yield opened
    await opened.close()


async def damage(store: SqlStore, kind: str, name: str, body: str) -> None:
    """As a disk or a person does it: the journal does not know."""
    statement = text("UPDATE records SET body = :body WHERE kind = :kind AND name = :name")
    await store.database.run(lambda c: c.execute(statement, {"body": body, "kind": kind, "name": name}))


def plant(tx: Tx) -> None:
    for name in ("bad", "good"):
        tx.put(ENDPOINT, name, Endpoint(name, NOW, NOW, serving=version("v1")), expect=0, now=NOW)
    tx.put(Kind(TRANSFORM.name, object), "bad", {}, expect=0, now=NOW)


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED)
async def test_instances_of_a_damaged_record_are_not_taken_for_nobodys(store: SqlStore, body: str) -> None:
    await store.run(plant)
    for kind in (ENDPOINT, TRANSFORM):
        await damage(store, kind.name, "bad", body)
    assert await store.run(owners) == {"bad", "good", "transform.bad"}


async def test_a_damaged_endpoint_is_followed_until_it_can_be_read(store: SqlStore) -> None:
    await store.run(plant)
    await damage(store, ENDPOINT.name, "bad", "{")
    engine = Engine(store, {}, Still(), Guards(MemoryMetrics()), lambda name: None)
    await engine.start()
    assert engine._tasks.keys() == {"bad", "good"}
    await engine.stop()


async def test_a_record_deeper_than_can_be_read_holds_up_no_other(store: SqlStore) -> None:
    def work(tx: Tx) -> None:
        for name in ("bad", "good"):
            tx.put(Kind(MODEL.name, object), name, {"name": name}, expect=0, now=NOW)

    await store.run(work)
    await damage(store, MODEL.name, "bad", DEEP)
    page = await store.run(lambda tx: tx.find(Kind(MODEL.name, object)))
    assert ([one.name for one in page.items], [one.name for one in page.unreadable]) == (["good"], ["bad"])


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED)
async def test_what_is_damaged_can_be_written_anew_and_deleted(store: SqlStore, body: str) -> None:
    def write(tx: Tx) -> None:
        kind = Kind(MODEL.name, object)
        tx.put(kind, "bad", {"name": "new"}, expect=None, now=NOW)
        saved, (line,) = tx.get(kind, "bad"), tx.journal(limit=1, newest_first=True)
        assert saved is not None and saved.body == line.body == {"name": "new"}

    await store.run(lambda tx: tx.put(Kind(MODEL.name, object), "bad", {"name": "old"}, expect=0, now=NOW))
    await damage(store, MODEL.name, "bad", body)
    await store.run(write)
    await damage(store, MODEL.name, "bad", body)
    assert await store.run(lambda tx: tx.delete(MODEL, "bad", expect=None, now=NOW))


@pytest.mark.parametrize("body", ["{", '"what a later version wrote"'])
async def test_requests_of_an_endpoint_that_cannot_be_read_wait_and_are_not_ended(
    store: SqlStore, body: str
) -> None:
    """A dispatcher ends the requests of each endpoint that the controller does not name."""
    variants = tuple(replace(one, asynchronous=AsyncConfig("file:///out")) for one in version("v1").variants)
    served = replace(version("v1"), variants=variants)
    pages = list[dict[str, tuple[int, str]]]()

    def plant_served(tx: Tx) -> None:
        for name in ("bad", "good", "idle"):
            tx.put(ENDPOINT, name, Endpoint(name, NOW, NOW, serving=served), expect=0, now=NOW)

    await store.run(plant_served)
    queue, at = SqlQueue(store.database), NOW.timestamp()
    for name in ("bad", "gone"):
        item = Item(name, name, name, at, at + 60, at + 900, f"file:///out/{name}.out")
        await queue.accept(lambda tx, item=item: item, b"1")  # type: ignore[misc]
    clock = Still()
    queues = Queues(
        *(store, queue, MemoryMetrics(), clock, lambda name: None, lambda name: None),
        lambda now, endpoints, needed: pages.append(endpoints),
    )
    for name in ("bad", "idle"):
        await damage(store, ENDPOINT.name, name, body)
    for _ in range(2):
        await queues.turn()
        clock.at += timedelta(seconds=1)
    assert pages == [{"bad": (0, ""), "good": (0, "AllTraffic")}] * 2
    assert (await queue.strangers(pages[-1])).keys() == {"gone"}
