"""The queue of asynchronous requests at a given depth, on SQLite."""

import asyncio
import tempfile
import time
from pathlib import Path

from tidegate.domain.asynchronous import Item
from tidegate.store.database import open_database
from tidegate.store.queue import SqlQueue

MORE = 500
"""Requests that are accepted, and then leased, on top of those that wait."""
TOGETHER = 50
"""That are accepted at a time: each waits for the disk, together they share it."""
ENDPOINTS = 10
BODY = b"0.1," * 30


async def measure_queue(depth: int) -> list[object]:
    with tempfile.TemporaryDirectory(prefix="tg-scale-") as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'queue.db'}")
        try:
            queue = SqlQueue(database, "bench")
            await _accept(queue, range(depth))
            accepted = await _timed(_accept(queue, range(depth, depth + MORE)))
            leased = await _timed(_lease(queue))
            looked = await _timed(queue.backlogs())
            return [f"{depth:,}", f"{MORE / accepted:,.0f}", f"{MORE / leased:,.0f}", f"{looked * 1000:.1f} ms"]
        finally:
            await database.close()


async def _accept(queue: SqlQueue, numbers: range) -> None:
    now = time.time()
    for begin in range(numbers.start, numbers.stop, TOGETHER):
        wanted = range(begin, min(begin + TOGETHER, numbers.stop))
        await asyncio.gather(*(queue.accept(lambda tx, n=n: _item(n, now), BODY) for n in wanted))  # type: ignore[misc]


def _item(number: int, now: float) -> Item:
    id = f"r{number:08d}"
    return Item(id, f"e{number % ENDPOINTS}", id, now, now + 3600, 60.0, f"file:///out/{id}")


async def _lease(queue: SqlQueue) -> None:
    now, left, number = time.time(), MORE, 0
    while left > 0:
        found = await queue.claim(f"e{number % ENDPOINTS}", min(4, left), now, now + 60)
        left -= max(1, len(found))
        number += 1


async def _timed(work: object) -> float:
    begun = time.perf_counter()
    await work  # type: ignore[misc]
    return time.perf_counter() - begun
