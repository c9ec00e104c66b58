"""What an endpoint did in the last seconds, from its metrics."""

import asyncio

from tests.memory_metrics import BusyMetrics, MemoryMetrics
from tests.samples import version
from tidegate.console.activity import SPAN, SPANS, WINDOW, RecentActivity, read_activity, read_rates, variants_of
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.monitoring import sketch
from tidegate.simulation.world import START

NOW = 100_000


def sample(
    name: str, at: int, total: float, variant: str = "main", bins: dict[int, float] | None = None
) -> Sample:
    metric = MetricId.of(SAGEMAKER, name, {"EndpointName": "fraud", "VariantName": variant})
    return Sample(metric, at, max(total, 1.0), total, 0.0, total, bins or {})


def read(*samples: Sample, variants: tuple[str, ...] = ("main", "b")) -> tuple[RecentActivity, list[float]]:
    async def work() -> tuple[RecentActivity, list[float]]:
        metrics = MemoryMetrics()
        await metrics.put(samples)
        activity = await read_activity(metrics, "fraud", variants, NOW)
        return activity, list(await read_rates(metrics, "fraud", variants, NOW))

    return asyncio.run(work())


def test_variants_are_added_up() -> None:
    activity, rates = read(
        sample("Invocations", NOW - 1, 30.0),
        sample("Invocations", NOW - 2, 10.0, "b"),
        sample("Invocation5XXErrors", NOW - 1, 3.0),
        sample("Invocation4XXErrors", NOW - 2, 1.0, "b"),
        sample("ModelLatency", NOW - 1, 1.0, bins={sketch.index(2_000.0): 1.0}),
    )
    assert (activity.rate, activity.errors) == (40.0 / WINDOW, 0.1)
    assert activity.p50_ms is not None and abs(activity.p50_ms - 2.0) < 0.05
    assert (len(rates), rates[-1]) == (SPANS, 40.0 / SPAN)


def test_without_requests_errors_and_latencies_are_not_known() -> None:
    activity, rates = read(sample("Invocations", NOW - WINDOW - 1, 5.0))
    assert activity == RecentActivity(0.0, None, None, None)
    assert sum(rates) == 5.0 / SPAN


def test_both_versions_of_a_rollout_are_looked_at() -> None:
    serving = version("v1", 1)
    record = Endpoint("fraud", START, START, serving=serving)
    assert variants_of(record) == [each.name for each in serving.production]
    assert variants_of(Endpoint("fraud", START, START)) == []


async def test_requests_and_their_errors_are_of_one_moment() -> None:
    each = [
        sample(name, NOW - 1, 10.0, variant) for name in ("Invocations", "Invocation5XXErrors") for variant in "ab"
    ]
    metrics = BusyMetrics(list(each), arriving=each)
    activity = await read_activity(metrics, "fraud", ["a", "b"], NOW)
    assert (activity.rate, activity.errors) == (20 / WINDOW, 1.0)
