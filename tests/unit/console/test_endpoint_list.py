"""The list of endpoints is current, and reads no more than it has to."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.gateway_harness import GatewayHarness
from tidegate.console.activity import SPAN, read_rates
from tidegate.console.cost_reader import CostReader
from tidegate.console.endpoint_list import EndpointList
from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.ports.store import Tx
from tidegate.rollout import desired_state
from tidegate.service.record_kinds import ALARM, ENDPOINT
from tidegate.testing.samples import canary, percent, version

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = [f"e{number:02d}" for number in range(25)]
"""So many that their alarms are read together."""


def make_endpoint(name: str) -> Endpoint:
    serving = replace(version(f"{name}-v1", 1, created_at=NOW), generation=1)
    made = Endpoint(name, NOW, NOW, 1, serving, deployment=canary(percent(10), 600, alarms=(f"{name}-slow",)))
    return desired_state.route(made, 0)


def make_alarm(name: str) -> Alarm:
    threshold, above = 1e5, ComparisonOperator.GREATER
    return Alarm(name, SAGEMAKER, "ModelLatency", {}, "p99", 10, 3, 2, threshold, above, NOW)


def write(tx: Tx) -> None:
    for name in NAMES:
        tx.put(ENDPOINT, name, make_endpoint(name), expect=0, now=NOW)
        tx.put(ALARM, f"{name}-slow", make_alarm(f"{name}-slow"), expect=0, now=NOW)


@pytest.fixture
async def house() -> Any:
    made = GatewayHarness()
    await made.store.run(write)
    yield made
    await made.store.close()


def count_finds(house: GatewayHarness, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kinds of the records that are read in lists, as they are read."""
    found, run = list[str](), type(house.store).run

    async def watched(store: Any, work: Callable[[Tx], Any]) -> Any:
        def wrapped(tx: Tx) -> Any:
            find = tx.find

            def spy(kind: Any, *rest: Any, **further: Any) -> Any:
                found.append(kind.name)
                return find(kind, *rest, **further)

            tx.find = spy  # type: ignore[method-assign]
            return work(tx)

        return await run(store, wrapped)

    monkeypatch.setattr(type(house.store), "run", watched)
    return found


async def test_records_are_read_again_after_a_write_alone(
    house: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = EndpointList(house.gateway, CostReader(house.gateway))
    finds = count_finds(house, monkeypatch)
    first = await listed.snapshot()
    assert first.layout == tuple(NAMES) and finds
    finds.clear()
    assert (await listed.snapshot()).parts.keys() == first.parts.keys()
    assert finds == []

    def ring(tx: Tx) -> None:
        saved = tx.get(ALARM, "e03-slow")
        assert saved is not None
        tx.put(ALARM, "e03-slow", replace(saved.body, state=AlarmState.ALARM), expect=saved.version, now=NOW)
        tx.delete(ENDPOINT, "e00", expect=None, now=NOW)

    await house.store.run(ring)
    after = await listed.snapshot()
    assert finds and after.layout == ("e03", "e01", "e02", *NAMES[4:])
    assert "alarm e03-slow" in after.parts["e03/state"] and "alarm" not in after.parts["e04/state"]


async def test_a_sparkline_that_is_continued_is_the_one_that_is_read_whole(house: GatewayHarness) -> None:
    """Also where requests were counted some seconds late."""
    listed = EndpointList(house.gateway, CostReader(house.gateway))
    dimensions = (("EndpointName", "e05"), ("VariantName", "AllTraffic"))
    metric = MetricId(SAGEMAKER, "Invocations", dimensions)
    began = house.clock.now()
    for step in range(0, 90, 3):
        house.clock.shift = timedelta(seconds=step)
        second = int((began + house.clock.shift).timestamp())
        late = second - (step * 7) % 12
        count = float(1 + step % 5)
        await house.metrics.put([Sample(metric, late, count, count, 1.0, 1.0)])
        kept = await listed._read_sparkline("e05", ("AllTraffic",), second)
        listed._sparklines["e05"] = kept
    second = second // SPAN * SPAN + SPAN
    kept = await listed._read_sparkline("e05", ("AllTraffic",), second)
    assert list(kept.rates) == list(await read_rates(house.metrics, "e05", ["AllTraffic"], second))
    assert sum(kept.rates) > 0


async def test_other_variants_and_a_long_pause_are_read_anew(house: GatewayHarness) -> None:
    listed = EndpointList(house.gateway, CostReader(house.gateway))
    metric = MetricId(SAGEMAKER, "Invocations", (("EndpointName", "e05"), ("VariantName", "b")))
    second = int(house.clock.now().timestamp()) // SPAN * SPAN
    await house.metrics.put([Sample(metric, second - 2 * SPAN, 5.0, 5.0, 1.0, 1.0)])
    listed._sparklines["e05"] = await listed._read_sparkline("e05", ("a",), second)
    assert sum(listed._sparklines["e05"].rates) == 0
    assert sum((await listed._read_sparkline("e05", ("a", "b"), second)).rates) == 1.0
    later = await listed._read_sparkline("e05", ("a",), second + 10_000)
    assert len(later.rates) == len(listed._sparklines["e05"].rates)
