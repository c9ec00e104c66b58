"""What one second of a fleet becomes in SageMaker's metrics."""

import pytest

from tidegate.domain.fleet import FleetId
from tidegate.domain.metric import INSTANCES, SAGEMAKER, FleetSecond, Latency, MetricId, Sample
from tidegate.monitoring import sketch
from tidegate.service.metric_samples import samples

VARIANT = {"EndpointName": "fraud", "VariantName": "main"}
BOTH = [VARIANT, {**VARIANT, "EndpointConfigName": "fraud-2"}]
MODEL = Latency({sketch.index(1000.0): 3, sketch.index(9000.0): 1}, 12_000.0, 1000.0, 9000.0)
OVERHEAD = Latency({sketch.index(100.0): 4}, 400.0, 100.0, 100.0)
BUSY = FleetSecond(
    fleet=FleetId("fraud", 2, "main"),
    config_name="fraud-2",
    second=1_795_528_010,
    ready_instances=2,
    invocations=4,
    errors_5xx=1,
    model_errors=1,
    model_latency=MODEL,
    overhead_latency=OVERHEAD,
    cpu=(50.0, 150.0),
    memory=(10.0, 10.0),
)


def found(second: FleetSecond) -> dict[MetricId, Sample]:
    made = samples([second])
    by_series = {sample.metric: sample for sample in made}
    assert len(by_series) == len(made)
    return by_series


def series(name: str, dims: dict[str, str], namespace: str = SAGEMAKER) -> MetricId:
    return MetricId.of(namespace, name, dims)


@pytest.mark.parametrize("dims", BOTH, ids=["variant", "config"])
@pytest.mark.parametrize(
    ("name", "unit", "count", "total", "low", "high"),
    [
        ("Invocations", "None", 4, 4.0, 1.0, 1.0),
        ("InvocationsPerInstance", "None", 4, 2.0, 0.5, 0.5),
        ("Invocation4XXErrors", "None", 4, 0.0, 0.0, 0.0),
        ("Invocation5XXErrors", "None", 4, 1.0, 0.0, 1.0),
        ("InvocationModelErrors", "None", 4, 1.0, 0.0, 1.0),
        ("ModelLatency", "Microseconds", 4, 12_000.0, 1000.0, 9000.0),
        ("OverheadLatency", "Microseconds", 4, 400.0, 100.0, 100.0),
    ],
)
def test_request_metrics(
    dims: dict[str, str], name: str, unit: str, count: float, total: float, low: float, high: float
) -> None:
    sample = found(BUSY)[series(name, dims)]
    assert (sample.at, sample.unit, sample.resolution) == (BUSY.second, unit, 1)
    assert (sample.count, sample.total, sample.low, sample.high) == (count, total, low, high)
    assert sum(sample.bins.values()) == count


@pytest.mark.parametrize("dims", BOTH, ids=["variant", "config"])
def test_instance_metrics(dims: dict[str, str]) -> None:
    cpu = found(BUSY)[series("CPUUtilization", dims, INSTANCES)]
    memory = found(BUSY)[series("MemoryUtilization", dims, INSTANCES)]
    assert (cpu.unit, cpu.count, cpu.total, cpu.low, cpu.high) == ("Percent", 2, 200.0, 50.0, 150.0)
    assert (memory.count, memory.total, sum(memory.bins.values())) == (2, 20.0, 2)


def test_every_request_failing_is_an_average_of_one() -> None:
    broken = FleetSecond(BUSY.fleet, "fraud-2", 10, ready_instances=1, invocations=3, errors_5xx=3)
    sample = found(broken)[series("Invocation5XXErrors", VARIANT)]
    assert (sample.total / sample.count, sample.low, sample.high) == (1.0, 1.0, 1.0)


def test_an_idle_second_says_nothing_of_requests() -> None:
    idle = FleetSecond(BUSY.fleet, "fraud-2", 10, ready_instances=1, cpu=(1.0,))
    assert {metric.name for metric in found(idle)} == {"CPUUtilization"}


def test_the_p99_comes_from_the_bins() -> None:
    sample = found(BUSY)[series("ModelLatency", VARIANT)]
    assert sketch.percentile(sample.bins, 100) == pytest.approx(9000, rel=0.01)
    assert sketch.percentile(sample.bins, 50) == pytest.approx(1000, rel=0.01)


def test_requests_to_a_fleet_whose_last_instance_just_died_still_count() -> None:
    last = FleetSecond(BUSY.fleet, "fraud-2", 10, ready_instances=0, invocations=1)
    assert found(last)[series("InvocationsPerInstance", VARIANT)].total == 1.0


def test_of_a_transform_job_there_is_the_load_of_its_hosts() -> None:
    second = FleetSecond(FleetId("transform.night", 1, "job"), "c", 10, 2, invocations=5, cpu=(90.0, 40.0))
    found = samples([second])
    assert [(one.metric.namespace, one.metric.name, one.metric.dimensions, one.total) for one in found] == [
        ("/aws/sagemaker/TransformJobs", "CPUUtilization", (("Host", "night/1"),), 90.0),
        ("/aws/sagemaker/TransformJobs", "CPUUtilization", (("Host", "night/2"),), 40.0),
    ]


def test_what_is_in_hand_is_told_of_the_variant_and_zeros_only_where_they_are_waited_for() -> None:
    followed = frozenset({("fraud", "main")})
    held = FleetSecond(BUSY.fleet, "fraud-2", 10, ready_instances=2, in_flight=(3.0, 1.0), invocations=1)
    (sample,) = (one for one in samples([held]) if one.metric.name == "ConcurrentRequestsPerModel")
    assert (sample.metric, sample.total, sample.low, sample.high) == (
        series("ConcurrentRequestsPerModel", VARIANT),
        4.0,
        1.0,
        3.0,
    )
    idle = FleetSecond(BUSY.fleet, "fraud-2", 10, ready_instances=2, in_flight=(0.0, 0.0))
    assert samples([idle]) == []
    told = {one.metric.name: one.total for one in samples([idle], followed)}
    assert told == {"ConcurrentRequestsPerModel": 0.0, "InvocationsPerInstance": 0.0}
    unseen = FleetSecond(BUSY.fleet, "fraud-2", 10, ready_instances=2)
    assert samples([unseen], followed) == [], "no replica answered: nothing is known"
