"""Each span of a rollout reaches the collector, however often controller and collector are away, with one id."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.memory_store import MemoryStore
from tests.samples import canary, percent, version
from tidegate.domain.alarm import AlarmState
from tidegate.domain.errors import TidegateError
from tidegate.domain.observation import Event
from tidegate.domain.rollout import Phase
from tidegate.domain.spans import Span
from tidegate.features.rehearse.rehearsal.simulation import make_updating_world
from tidegate.features.tracing.rollout_traces import NAME, PATIENCE, RolloutTraces, find_ended
from tidegate.ports.store import JournalLine, Kind, Tx
from tidegate.service.record_kinds import CURSOR, ENDPOINT, Cursor
from tidegate.simulation.faults import AlarmTurns, When
from tidegate.simulation.world import World

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
ALARM_LINES: Kind[dict[str, object]] = Kind("alarm", dict)
FIRING: dict[str, object] = {
    "item": "StateUpdate",
    "oldState": {"stateValue": "OK", "stateReason": "asked by alice"},
    "newState": {"stateValue": "ALARM", "stateReason": "body: 4111 1111 1111 1111"},
}


class Clock:
    def __init__(self) -> None:
        self.time = BEGAN

    def now(self) -> datetime:
        return self.time


class Collector:
    def __init__(self) -> None:
        self.works = True
        self.taken: list[Span] = []

    async def export(self, spans: Sequence[Span]) -> bool:
        self.taken += spans if self.works else []
        return self.works


def rolled_back() -> World:
    world = make_updating_world(
        version("v1"),
        version("v2"),
        canary(percent(10), 300, 60),
        script=(AlarmTurns(When(Phase.BAKING, 1, 30.0), "alarm", AlarmState.ALARM),),
    )
    return world.run(5_000, settled=lambda world: world.record is not None and world.record.rollout is None)


async def write(store: MemoryStore, world: World, first: int, last: int, clock: Clock) -> None:
    """Lines of the world's journal, by number, in the store; the alarm fires before the rollback begins."""
    for entry in world.journal[first:last]:
        now = clock.time = BEGAN + timedelta(seconds=entry.at)
        record, events = entry.record, entry.events
        assert record is not None
        if any(event.message.startswith("rolling back") for event in events):
            fired = (Event("alarm", "by alice", FIRING),)
            await store.run(lambda tx: tx.put(ALARM_LINES, "alarm", {}, expect=None, now=now, events=fired))  # noqa: B023
        await store.run(
            lambda tx: tx.put(ENDPOINT, record.name, record, expect=None, now=now, events=events)  # noqa: B023
        )


def told(span: Span) -> tuple[object, ...]:
    """A span without its ids, which follow from the numbers of lines."""
    return span.name, span.start, span.end, span.attributes, span.events, span.error


async def traces(collector: Collector, store: MemoryStore, clock: Clock) -> RolloutTraces:
    made = RolloutTraces(store, clock, collector.export)
    await made.turn()
    return made


@pytest.mark.parametrize("away", [False, True])
async def test_a_restart_at_any_line_and_a_collector_that_was_away_lose_and_double_nothing(away: bool) -> None:
    world = rolled_back()
    count = len(world.journal)
    whole: list[Span] = []
    for restart in range(1, count + 1):
        collector, store, clock = Collector(), MemoryStore(), Clock()
        loop = await traces(collector, store, clock)
        collector.works = not away
        await write(store, world, 0, restart, clock)
        await loop.turn()
        if restart % 2:  # it ended after the export and before it wrote that down
            await store.run(lambda tx: tx.put(CURSOR, NAME, Cursor(0), expect=None, now=clock.time))  # noqa: B023
        collector.works = True
        loop = await traces(collector, store, clock)
        await write(store, world, restart, count, clock)
        await loop.turn()
        await loop.turn()
        distinct = {(span.trace_id, span.span_id): span for span in collector.taken}
        found = sorted(distinct.values(), key=lambda span: (span.end, span.parent is None))
        assert all(distinct[span.trace_id, span.span_id] == span for span in collector.taken)
        assert [told(span) for span in found] == [told(span) for span in whole or found]
        whole = found
    *phases, root = whole
    assert [span.name for span in phases] == ["provision", "shift", "bake", "rollback", "cleanup"]
    assert [span.attributes.get("tidegate.share") for span in phases[:3]] == [0.1, 0.1, 0.1]
    assert root.attributes["tidegate.outcome"] == "RolledBack" and root.attributes["tidegate.stages"] == 2
    reason = "Deployment rolled back: alarm(s) [alarm] in ALARM state during baking."
    assert root.attributes["tidegate.reason"] == phases[3].attributes["tidegate.reason"] == reason
    [alarm] = [event for span in phases for event in span.events if event.name == "alarm"]
    assert alarm.attributes == {
        "tidegate.alarm": "alarm",
        "tidegate.alarm.from": "OK",
        "tidegate.alarm.to": "ALARM",
    }
    assert "alice" not in repr(whole) and "4111" not in repr(whole)


async def test_a_collector_that_fails_is_asked_again_after_a_while() -> None:
    world, collector, store, clock = rolled_back(), Collector(), MemoryStore(), Clock()
    loop = await traces(collector, store, clock)
    await write(store, world, 0, len(world.journal), clock)
    collector.works = False
    await loop.turn()
    collector.works = True
    await loop.turn()
    assert collector.taken == []
    clock.time += timedelta(seconds=PATIENCE)
    await loop.turn()
    assert collector.taken


async def test_an_endpoint_at_rest_costs_two_reads_however_long_its_last_rollout_was() -> None:
    """Autoscaling writes a line for each change."""
    world, collector, store, clock = rolled_back(), Collector(), MemoryStore(), Clock()
    loop = await traces(collector, store, clock)
    await write(store, world, 0, len(world.journal), clock)
    await loop.turn()
    await write(store, world, len(world.journal) - 1, len(world.journal), clock)
    read: list[int] = []

    def count(tx: Tx) -> None:
        class Counting:
            def journal(self, **asked: Any) -> list[JournalLine]:
                lines = tx.journal(**asked)
                read.append(len(lines))
                return lines

        counting: Any = Counting()
        last = tx.journal(limit=1, newest_first=True)[0].seq
        assert find_ended(counting, last - 1) == ([], last)

    await store.run(count)
    assert read == [1, 1, 1]


class DamagedJournal(MemoryStore):
    """The journal of one endpoint cannot be rebuilt."""

    damaged = ""

    async def run(self, work: Any) -> Any:
        def guarded(tx: Tx) -> Any:
            read = tx.journal

            def journal(**asked: Any) -> list[JournalLine]:
                if asked.get("name") == self.damaged and asked.get("bodies", True):
                    raise TidegateError("lines before 7 are missing")
                return read(**asked)

            tx.journal = journal  # type: ignore[method-assign]
            return work(tx)

        return await super().run(guarded)


async def test_an_endpoint_whose_journal_is_damaged_does_not_keep_others_from_being_traced() -> None:
    world, store, clock, collector = rolled_back(), DamagedJournal(), Clock(), Collector()
    made = await traces(collector, store, clock)
    await store.run(lambda tx: tx.put(ALARM_LINES, "x", {}, expect=None, now=clock.time))
    broken = replace(world.journal[-1].record, name="broken")  # type: ignore[type-var]
    await store.run(lambda tx: tx.put(ENDPOINT, "broken", broken, expect=None, now=clock.time))
    store.damaged = "broken"
    await write(store, world, 0, len(world.journal), clock)
    for _ in range(20):
        clock.time += timedelta(seconds=2 * PATIENCE)
        await made.turn()
    assert [span.name for span in collector.taken].count("rollout") >= 1
