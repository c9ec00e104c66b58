"""What the queue measures, as samples. Pure."""

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
"""Of a request's measures; those that are missing here are counts."""


def backlog_samples(endpoint: str, backlog: Backlog, ready: int, now: float) -> list[Sample]:
    """Of one endpoint in one second. Without an instance the size per instance is the size itself."""
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
    """Equal series of one second are added up. ``endpoint_variant`` names a variant for requests that no instance
    saw."""
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
