"""Metric samples of the queue of asynchronous requests. Pure."""

from collections import Counter
from collections.abc import Iterable

from tidegate.domain.asynchronous import Backlog, EndedTogether
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.monitoring import finite, sketch

UNITS = {
    "RequestDownloadLatency": "Microseconds",
    "ResponseUploadLatency": "Microseconds",
    "TimeInBacklog": "Milliseconds",
    "TotalProcessingTime": "Milliseconds",
}
"""Units of a request's measurements; those not listed are counts."""


def backlog_samples(endpoint: str, backlog: Backlog, ready: int, now: float) -> list[Sample]:
    """Samples of one endpoint for one second. Without an instance, the size per instance is the size."""
    named = {"EndpointName": endpoint}
    values = {
        "ApproximateBacklogSize": float(backlog.size),
        "ApproximateBacklogSizePerInstance": backlog.size / max(1, ready),
        "HasBacklogWithoutCapacity": float(backlog.size > 0 and ready == 0),
    }
    samples = [_sample(name, named, value, "None", now) for name, value in values.items()]
    age = max(0.0, now - backlog.oldest) if backlog.oldest is not None else 0.0
    return [*samples, _sample("ApproximateAgeOfOldestRequest", named, age, "Seconds", now)]


def request_samples(measured: Iterable[EndedTogether], endpoint_variant: dict[str, str]) -> list[Sample]:
    """Samples of finished requests, merged by series and second. ``endpoint_variant``: endpoint -> variant for
    requests that reached no instance."""
    groups: dict[tuple[str, str, int, str], list[float]] = {}
    for one in measured:
        variant = one.variant or endpoint_variant.get(one.endpoint, "AllTraffic")
        for name, values in one.values.items():
            groups.setdefault((one.endpoint, variant, one.at, name), []).extend(values)
    return [
        _merged(name, {"EndpointName": endpoint, "VariantName": variant}, values, at)
        for (endpoint, variant, at, name), values in groups.items()
        if values
    ]


def _merged(name: str, dimensions: dict[str, str], values: list[float], at: int) -> Sample:
    """One sample of many values: to make one of each and to merge them takes ten times as long."""
    bins = {bin: float(count) for bin, count in Counter(map(sketch.index, values)).items()}
    total, unit = finite.add(values), UNITS.get(name, "None")
    metric = MetricId.of(SAGEMAKER, name, dimensions)
    return Sample(metric, at, float(len(values)), total, min(values), max(values), bins, unit)


def _sample(name: str, dimensions: dict[str, str], value: float, unit: str, at: float) -> Sample:
    metric = MetricId.of(SAGEMAKER, name, dimensions)
    return Sample(metric, int(at), 1.0, value, value, value, {sketch.index(value): 1.0}, unit)
