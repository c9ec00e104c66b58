"""Metric samples of the queue of asynchronous requests. Pure."""

from collections.abc import Iterable

from tidegate.domain.asynchronous import Backlog, ItemMeasurements
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.monitoring import sketch
from tidegate.monitoring.samples import merge

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


def request_samples(measured: Iterable[ItemMeasurements], endpoint_variant: dict[str, str]) -> list[Sample]:
    """Samples of finished requests, merged by series and second. ``endpoint_variant``: endpoint -> variant for
    requests that reached no instance."""
    groups: dict[tuple[MetricId, int], list[Sample]] = {}
    for one in measured:
        variant = one.variant or endpoint_variant.get(one.endpoint, "AllTraffic")
        named = {"EndpointName": one.endpoint, "VariantName": variant}
        for name, value in one.values.items():
            sample = _sample(name, named, value, UNITS.get(name, "None"), one.at)
            groups.setdefault((sample.metric, sample.at), []).append(sample)
    return [merge(group) for group in groups.values()]


def _sample(name: str, dimensions: dict[str, str], value: float, unit: str, at: float) -> Sample:
    metric = MetricId.of(SAGEMAKER, name, dimensions)
    return Sample(metric, int(at), 1.0, value, value, value, {sketch.index(value): 1.0}, unit)
