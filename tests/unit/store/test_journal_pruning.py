"""What a removal of old lines reads."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from tidegate.ports.store import Kind, Tx
from tidegate.store import journal, open_store

T0 = datetime(2026, 1, 1, tzinfo=UTC)
COUNTED = Kind("counted", dict[str, object])


async def count_steps(new_lines: int) -> int:
    """Thousands of SQLite's instructions for a removal that finds nothing, of a record with 40 old lines."""
    store = open_store("sqlite://")
    for count, at in ((40, T0), (new_lines, T0 + timedelta(days=60))):
        await store.run(lambda tx, c=count, a=at: write_often(tx, c, a))  # type: ignore[misc]
    steps = 0

    def count_one() -> int:
        nonlocal steps
        steps += 1
        return 0

    def watch(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(count_one, 1000)
        assert not journal.prune(connection, T0 + timedelta(days=30), 100)
        driver.set_progress_handler(None, 0)

    await store.database.run(watch)
    await store.close()
    return steps


def write_often(tx: Tx, count: int, at: datetime) -> None:
    for number in range(count):
        tx.put(COUNTED, "busy", {"number": number, "text": "x" * 100}, expect=None, now=at)


async def test_a_look_for_old_lines_does_not_read_the_new_ones() -> None:
    assert await count_steps(2_000) <= await count_steps(200) + 2
