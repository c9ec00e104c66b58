"""Convert counts per fleet and second to the metrics that SageMaker publishes for endpoints.

Each series is published twice: for the variant, which covers the old and the new fleet, and with the dimension
``EndpointConfigName`` for one fleet. An idle second has no request metrics, unless the variant is autoscaled.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

from tidegate.domain.metric import INSTANCES, JOBS, SAGEMAKER, FleetSecond, Latency, MetricId, Sample
from tidegate.domain.transform import FLEET_PREFIX
from tidegate.domain.worker_stats import COMPARED
from tidegate.monitoring import sketch

COUNTS = "None"
"""The unit of SageMaker's counts is literally None."""
PERCENT = "Percent"
MICROSECONDS = "Microseconds"
BYTES = "Bytes"


ScaledVariants = frozenset[tuple[str, str]]
"""Endpoints and variants that are autoscaled."""


def samples(seconds: Iterable[FleetSecond], followed: ScaledVariants = frozenset()) -> list[Sample]:
    """Make one sample per series of each fleet's second. The caller merges equal series of two fleets."""
    made = []
    for second in seconds:
        if second.fleet.endpoint.startswith(FLEET_PREFIX):
            made += _job_samples(second)
            continue
        made += [
            *_request_samples(second),
            *_instance_samples(second),
            *_worker_samples(second),
            *_concurrency_samples(second, followed),
        ]
    return made


def _job_samples(second: FleetSecond) -> list[Sample]:
    """SageMaker's metrics of a transform job: the load of each host."""
    job = second.fleet.endpoint.removeprefix(FLEET_PREFIX)
    made: list[Sample] = []
    for name, readings in (("CPUUtilization", second.cpu), ("MemoryUtilization", second.memory)):
        for number, value in enumerate(readings, 1):
            metric = MetricId.of(JOBS, name, {"Host": f"{job}/{number}"})
            bins = {sketch.index(value): 1.0}
            made.append(Sample(metric, second.second, 1.0, value, value, value, bins, PERCENT))
    return made


def _concurrency_samples(second: FleetSecond, followed: ScaledVariants) -> list[Sample]:
    """Concurrent requests of the replicas, for the variant only. Zeros, also of a second without requests, are
    published only for autoscaled variants, since autoscaling ignores missing data."""
    idle = (second.fleet.endpoint, second.fleet.variant) in followed
    made: list[Sample] = []
    if any(second.in_flight) or (idle and second.in_flight):
        spread = _distribution(second.in_flight)
        made += _samples(second, SAGEMAKER, "ConcurrentRequestsPerModel", COUNTS, spread, whole=True)
    if idle and second.in_flight and not second.invocations and not second.queued:
        nothing = _distribution((0.0,))
        made += _samples(second, SAGEMAKER, "InvocationsPerInstance", COUNTS, nothing, whole=True)
    return made


@lru_cache(maxsize=65_536)
def _metrics(
    namespace: str, name: str, endpoint: str, variant: str, config: str, extra: tuple[tuple[str, str], ...]
) -> tuple[MetricId, MetricId]:
    """Return the metric of the variant, and that of one fleet. They are cached, since thousands are needed each
    second."""
    whole = {"EndpointName": endpoint, "VariantName": variant}
    both = ({**whole, **dict(extra)}, {**whole, "EndpointConfigName": config, **dict(extra)})
    return MetricId.of(namespace, name, both[0]), MetricId.of(namespace, name, both[1])


def _request_samples(second: FleetSecond) -> list[Sample]:
    made: list[Sample] = []
    if second.invocations > 0 and second.queued:
        made += _rate_samples(second, "Invocation4XXErrors", second.errors_4xx)
        made += _rate_samples(second, "Invocation5XXErrors", second.errors_5xx)
    elif second.invocations > 0:
        share = 1 / max(1, second.ready_instances)
        made += _value_samples(second, "Invocations", {1.0: second.invocations})
        made += _value_samples(second, "InvocationsPerInstance", {share: second.invocations})
        made += _rate_samples(second, "Invocation4XXErrors", second.errors_4xx)
        made += _rate_samples(second, "Invocation5XXErrors", second.errors_5xx)
        made += _rate_samples(second, "InvocationModelErrors", second.model_errors)
    made += _latency_samples(second, "ModelLatency", second.model_latency)
    if not second.queued:  # the wait in the queue is TimeInBacklog
        made += _latency_samples(second, "OverheadLatency", second.overhead_latency)
    return made


def _instance_samples(second: FleetSecond) -> list[Sample]:
    return [
        *_reading_samples(second, "CPUUtilization", second.cpu),
        *_reading_samples(second, "MemoryUtilization", second.memory),
        *_reading_samples(second, "GPUUtilization", second.gpu),
        *_reading_samples(second, "GPUMemoryUtilization", second.gpu_memory),
    ]


WORKER_METRICS: dict[str, tuple[str, str]] = {
    "ContainerLatency": (SAGEMAKER, MICROSECONDS),
    "FirstChunkLatency": (SAGEMAKER, MICROSECONDS),
    "InFlightLatency": (SAGEMAKER, MICROSECONDS),
    "ModelLatency": (SAGEMAKER, MICROSECONDS),
    "ModelLoadingWaitTime": (SAGEMAKER, MICROSECONDS),
    "ModelDownloadingTime": (SAGEMAKER, MICROSECONDS),
    "ModelLoadingTime": (SAGEMAKER, MICROSECONDS),
    "ModelUnloadingTime": (SAGEMAKER, MICROSECONDS),
    "LoadedModelCount": (INSTANCES, COUNTS),
    "DeviceBatchRows": (INSTANCES, COUNTS),
    "DeviceModelMemory": (INSTANCES, BYTES),
    "ModelSetupTime": (SAGEMAKER, MICROSECONDS),
    "QueueTime": (SAGEMAKER, MICROSECONDS),
    "BilledGBSeconds": (SAGEMAKER, COUNTS),
}
"""Namespace and unit of metrics that workers report; those not listed are SageMaker's counts."""


def _worker_samples(second: FleetSecond) -> list[Sample]:
    made: list[Sample] = []
    for series in second.series:
        if series.name in COMPARED:
            continue
        namespace, unit = WORKER_METRICS.get(series.name, (SAGEMAKER, COUNTS))
        made += _samples(second, namespace, series.name, unit, series.values, series.dimensions)
    return made


def _rate_samples(second: FleetSecond, name: str, errors: int) -> list[Sample]:
    """0 or 1 per request, so that Average is the rate."""
    values = {0.0: second.invocations - errors, 1.0: errors}
    return _value_samples(second, name, {value: count for value, count in values.items() if count > 0})


def _value_samples(second: FleetSecond, name: str, values: dict[float, int]) -> list[Sample]:
    bins: dict[int, float] = {sketch.index(value): count for value, count in values.items()}
    total = sum(value * count for value, count in values.items())
    latency = Latency(bins, total, min(values), max(values))
    return _samples(second, SAGEMAKER, name, COUNTS, latency)


def _latency_samples(second: FleetSecond, name: str, latency: Latency | None) -> list[Sample]:
    return _samples(second, SAGEMAKER, name, MICROSECONDS, latency) if latency and latency.count else []


def _reading_samples(second: FleetSecond, name: str, readings: Sequence[float]) -> list[Sample]:
    if not readings:
        return []
    return _samples(second, INSTANCES, name, PERCENT, _distribution(readings))


def _distribution(readings: Sequence[float]) -> Latency:
    bins = sketch.merge({sketch.index(value): 1.0} for value in readings)
    return Latency(bins, math.fsum(readings), min(readings), max(readings))


def _samples(
    second: FleetSecond,
    namespace: str,
    name: str,
    unit: str,
    spread: Latency,
    extra: tuple[tuple[str, str], ...] = (),
    *,
    whole: bool = False,
) -> list[Sample]:
    """Make the samples of a metric. ``whole`` makes one for the variant only, not also per fleet."""
    fleet, count = second.fleet, spread.count
    metrics = _metrics(namespace, name, fleet.endpoint, fleet.variant, second.config_name, extra)
    return [
        Sample(
            metric=metric,
            at=second.second,
            count=count,
            total=spread.total,
            low=spread.low,
            high=spread.high,
            bins=spread.bins,
            unit=unit,
        )
        for metric in metrics[: 1 if whole else None]
    ]
