"""The journal at a given length, on SQLite: processor time of a write, a look and a removal of old lines."""

import tempfile
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tidegate.ports.store import Kind, Tx
from tidegate.store import SqlStore, open_store

RECORDS = 20
"""One has half of all lines, as one endpoint that scales often does."""
WRITES = 200
REPEATS = 20
TOGETHER = 500
OLD = 40
"""Lines of each record that are old and may not be removed, since later ones build on them."""
COUNTER = Kind("scale-counter", dict[str, object])


async def measure_journal(length: int) -> list[float]:
    """Milliseconds of processor time: a write, a look at the last hundred lines, a removal that finds nothing."""
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="tg-scale-") as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'journal.db'}")
        try:
            await _write(store, RECORDS * OLD, now - timedelta(days=60))
            await _write(store, length - RECORDS * OLD, now)
            written = await _spent(_write(store, WRITES, now, together=1)) / WRITES
            looked = await _spent(_look(store)) / REPEATS
            before = now - timedelta(days=30)
            while await store.run(lambda tx: tx.prune_journal(before, 2_000)):
                pass
            removed = await _spent(_remove(store, before)) / REPEATS
            return [written * 1000, looked * 1000, removed * 1000]
        finally:
            await store.close()


async def _write(store: SqlStore, count: int, now: datetime, together: int = TOGETHER) -> None:
    def work(tx: Tx, numbers: range) -> None:
        for number in numbers:
            name = "r0" if number % 2 else f"r{number // 2 % RECORDS}"
            body: dict[str, object] = {"count": number, "about": "x" * 400}
            tx.put(COUNTER, name, body, expect=None, now=now)

    for begin in range(0, count, together):
        numbers = range(begin, min(begin + together, count))
        await store.run(lambda tx, numbers=numbers: work(tx, numbers))  # type: ignore[misc]


async def _look(store: SqlStore) -> None:
    for _ in range(REPEATS):
        await store.run(lambda tx: tx.journal(limit=100, newest_first=True))


async def _remove(store: SqlStore, before: datetime) -> None:
    for _ in range(REPEATS):
        await store.run(lambda tx: tx.prune_journal(before, 2_000))


async def _spent(work: Awaitable[None]) -> float:
    begun = time.process_time()
    await work
    return time.process_time() - begun
