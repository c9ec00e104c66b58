"""Alarms of a spec: their series and thresholds."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from tidegate.domain.alarm import Alarm, ComparisonOperator, MissingData, Signal
from tidegate.domain.endpoint import EndpointConfig
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import INSTANCES, SAGEMAKER, SIGNALS, MetricId
from tidegate.domain.prediction_path import parse_path
from tidegate.monitoring.samples import is_extended
from tidegate.spec import structures, value_types
from tidegate.spec.problem import KeyPath, SpecError, suggest
from tidegate.spec.units import one_of, seconds, threshold
from tidegate.spec.upstream import build_headers, check_headers, has_host, render_headers

# --- alarms of a spec on signals: numbers that a Prometheus server or another HTTP server has ---


METRIC = "Signal"
_OF_METRICS = ("metric", "variant", "namespace", "dimensions")
_OF_SIGNALS = ("query", "value", "headers", "for_")


def read_signal(spec: structures.AlarmSpec, path: KeyPath) -> Signal | None:
    """Return the signal that an alarm watches; None if it watches a metric. Raises SpecError."""
    sources = [key for key in ("prometheus", "http") if getattr(spec, key) is not None]
    if not sources:
        for key in _OF_SIGNALS:
            if getattr(spec, key):
                raise SpecError((*path, key.strip("_")), "is a key of an alarm that has prometheus or http")
        return None
    source = sources[0]
    if len(sources) > 1:
        raise SpecError((*path, "http"), "give either prometheus or http, not both")
    for key in _OF_METRICS:
        if getattr(spec, key):
            raise SpecError((*path, key), f"is a key of an alarm on a metric, and this one has {source}")
    if spec.for_ is not None and spec.periods != structures.AlarmSpec().periods:
        raise SpecError((*path, "for"), "give either for or periods, not both")
    needed, other = ("query", "value") if source == "prometheus" else ("value", "query")
    if not getattr(spec, needed):
        raise SpecError(path, f"{needed!r} is missing: {source} needs it")
    if getattr(spec, other) is not None:
        raise SpecError((*path, other), f"does not go with {source}, which has {needed}")
    url = str(getattr(spec, source))
    check_url(url, (*path, source), query=source != "prometheus")
    _check_value(spec.value, (*path, "value"))
    check_headers(spec.headers, path)
    return Signal(url, spec.query or "", spec.value or "", build_headers(spec.headers))


def check_url(url: str, path: KeyPath, *, query: bool = False) -> None:
    """Check the address of something to ask, which may have a ``query``. Raises SpecError."""
    parts = urlsplit(url)
    plain = not (parts.fragment or parts.username or parts.password or (parts.query and not query))
    if (
        parts.scheme not in ("http", "https")
        or not has_host(parts)
        or not plain
        or not re.fullmatch(r"[!-~]+", url)
    ):
        raise SpecError(path, f"{url!r}: expected http://HOST[:PORT] or https://HOST[:PORT], without a password")


def _check_value(value: str | None, path: KeyPath) -> None:
    try:
        many = value is not None and parse_path(value).many
    except Invalid as error:
        raise SpecError(path, error.message) from None
    if many:
        raise SpecError(path, f"{value!r}: must lead to one number")


def signal_series(key: str, endpoint: str, signal: Signal) -> MetricId:
    """The series that a signal's values are put into. Another query, address or header makes another series, so that
    an alarm is never judged by values of an earlier definition."""
    told = json.dumps([signal.url, signal.query, signal.value, render_headers(signal.headers)], sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    return MetricId.of(SIGNALS, METRIC, {"EndpointName": endpoint, "Signal": f"{key}-{digest}"})


def render_signal(signal: Signal) -> dict[str, Any]:
    """The inverse of ``read_signal``."""
    if signal.query:
        made: dict[str, Any] = {"prometheus": signal.url, "query": signal.query}
    else:
        made = {"http": signal.url, "value": signal.value}
    return made | ({"headers": render_headers(signal.headers)} if signal.headers else {})


METRICS = {
    "Invocations": SAGEMAKER,
    "Invocation4XXErrors": SAGEMAKER,
    "Invocation5XXErrors": SAGEMAKER,
    "InvocationModelErrors": SAGEMAKER,
    "InvocationsPerInstance": SAGEMAKER,
    "ModelLatency": SAGEMAKER,
    "OverheadLatency": SAGEMAKER,
    "ContainerLatency": SAGEMAKER,
    "InFlightLatency": SAGEMAKER,
    "FirstChunkLatency": SAGEMAKER,
    "PromptTokens": SAGEMAKER,
    "CompletionTokens": SAGEMAKER,
    "TokensInFlight": SAGEMAKER,
    "MirrorCopies": SAGEMAKER,
    "MirrorDropped": SAGEMAKER,
    "MirrorAgreement": SAGEMAKER,
    "MirrorDifference": SAGEMAKER,
    "MirrorLargestDifference": SAGEMAKER,
    "CapturedRequests": SAGEMAKER,
    "CaptureDropped": SAGEMAKER,
    "CaptureBacklog": SAGEMAKER,
    "BatchingMismatches": SAGEMAKER,
    "ModelCacheHit": SAGEMAKER,
    "ModelLoadingWaitTime": SAGEMAKER,
    "ModelDownloadingTime": SAGEMAKER,
    "ModelLoadingTime": SAGEMAKER,
    "ModelUnloadingTime": SAGEMAKER,
    "LoadedModelCount": INSTANCES,
    "DeviceBatchRows": INSTANCES,
    "DeviceModelMemory": INSTANCES,
    "CPUUtilization": INSTANCES,
    "MemoryUtilization": INSTANCES,
}
"""Metrics of endpoints -> namespace."""
MODEL_DIMENSION = "TargetModel"
MODEL_METRICS = ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "ModelLatency")
"""Metrics per model of a multi-model endpoint."""
CONTAINER_DIMENSION = "ContainerName"
CONTAINER_METRICS = ("ContainerLatency", "Invocations", "Invocation4XXErrors", "Invocation5XXErrors")
"""Metrics per container of an endpoint with several."""
_STATISTICS = ("Average", "Sum", "Minimum", "Maximum", "SampleCount")
COMPARISONS = {
    "above": ComparisonOperator.GREATER,
    "at_least": ComparisonOperator.GREATER_OR_EQUAL,
    "below": ComparisonOperator.LESS,
    "at_most": ComparisonOperator.LESS_OR_EQUAL,
}


ContainerNames = Mapping[str, tuple[str, ...]]


def alarms(
    spec: structures.SpecFile, config: EndpointConfig, containers: ContainerNames, now: datetime
) -> dict[str, Alarm]:
    """Key of each alarm in the file -> alarm. ``containers``: variant -> names of its containers.

    The name of an alarm on the new version contains the config's name, so that it starts without the history of an
    earlier version; the name of an alarm on the endpoint never changes.
    """
    return {key: _alarm(key, each, spec, config, containers, now) for key, each in spec.alarms.items()}


def _alarm(
    key: str,
    spec: structures.AlarmSpec,
    whole: structures.SpecFile,
    config: EndpointConfig,
    containers: ContainerNames,
    now: datetime,
) -> Alarm:
    path: KeyPath = ("alarms", key)
    if not re.fullmatch(value_types.NAME, key):
        raise SpecError(path, f"{key!r}: expected 1 to 63 letters, digits and hyphens")
    signal = read_signal(spec, path)
    if signal is not None:
        series = signal_series(key, whole.endpoint, signal)
    else:
        series = _series(spec, whole.endpoint, config, containers, path)
    comparison, limit = _limit(spec, path)
    period = _period(spec.period, (*path, "period"))
    periods = _periods(spec, period, path)
    datapoints = periods if spec.datapoints is None else spec.datapoints
    if not 1 <= datapoints <= periods:
        raise SpecError((*path, "datapoints"), f"{datapoints}: must be from 1 to periods ({periods})")
    scope = one_of(spec.scope, value_types.SCOPES, (*path, "scope"))
    own = scope == "new_version" and not spec.namespace and signal is None
    return Alarm(
        name=f"{config.name if own else whole.endpoint}-{key}",
        namespace=series.namespace,
        metric=series.name,
        dimensions=dict(series.dimensions),
        statistic=_statistic(spec.statistic or "Average", (*path, "statistic")),
        period=period,
        evaluation_periods=periods,
        datapoints_to_alarm=datapoints,
        threshold=limit,
        comparison=comparison,
        configured_at=now,
        missing=MissingData(one_of(spec.missing, value_types.MISSING, (*path, "missing"))),
        description=spec.description,
        signal=signal,
    )


def _series(
    spec: structures.AlarmSpec, endpoint: str, config: EndpointConfig, containers: ContainerNames, path: KeyPath
) -> MetricId:
    for needed in ("metric", "statistic"):
        if getattr(spec, needed) is None:
            raise SpecError(path, f"{needed!r} is missing")
    assert spec.metric is not None
    if spec.namespace:
        return MetricId.of(spec.namespace, spec.metric, spec.dimensions)
    if spec.metric not in METRICS:
        raise SpecError((*path, "metric"), f"unknown metric {spec.metric!r}{suggest(spec.metric, METRICS)}")
    names = [variant.name for variant in config.variants]
    if spec.variant is None and len(names) > 1:
        raise SpecError(path, f"'variant' is missing: which of {', '.join(names)} does it watch?")
    names += [variant.name for variant in config.shadows]
    variant = names[0] if spec.variant is None else one_of(spec.variant, tuple(names), (*path, "variant"))
    dimensions = {"EndpointName": endpoint, "VariantName": variant}
    if one_of(spec.scope, value_types.SCOPES, (*path, "scope")) == "new_version":
        dimensions["EndpointConfigName"] = config.name
    dimensions |= _container_dimension(spec, containers[variant], path)
    return MetricId.of(METRICS[spec.metric], spec.metric, dimensions)


def _container_dimension(spec: structures.AlarmSpec, names: tuple[str, ...], path: KeyPath) -> dict[str, str]:
    """Dimension of one container's or model's series; empty for a series of the whole variant."""
    where = (*path, "dimensions")
    if not spec.dimensions:
        if spec.metric == "ContainerLatency":
            raise SpecError(
                path, "ContainerLatency is a metric of one container: give dimensions: {ContainerName: ...}"
            )
        return {}
    if set(spec.dimensions) == {MODEL_DIMENSION}:
        if spec.metric not in MODEL_METRICS:
            raise SpecError(
                where, f"{spec.metric} does not exist per model; use one of {', '.join(MODEL_METRICS)}"
            )
        return dict(spec.dimensions)
    for key in spec.dimensions:
        if key != CONTAINER_DIMENSION:
            raise SpecError((*where, key), f"{key!r} needs namespace, for a metric of your own")
    if len(names) == 1:
        raise SpecError(where, "the endpoint has only one container: remove them")
    if spec.metric not in CONTAINER_METRICS:
        raise SpecError(
            where, f"{spec.metric} does not exist per container; use one of {', '.join(CONTAINER_METRICS)}"
        )
    return {
        CONTAINER_DIMENSION: one_of(spec.dimensions[CONTAINER_DIMENSION], names, (*where, CONTAINER_DIMENSION))
    }


def _limit(spec: structures.AlarmSpec, path: KeyPath) -> tuple[ComparisonOperator, float]:
    given = [key for key in COMPARISONS if getattr(spec, key) is not None]
    if len(given) != 1:
        what = "two limits" if given else "no limit"
        raise SpecError(path, f"{what}: give one of {', '.join(COMPARISONS)}")
    key = given[0]
    value, metric = getattr(spec, key), spec.metric or ""
    limit = threshold(value, metric, (*path, key))
    share = not metric and isinstance(value, str)
    return COMPARISONS[key], limit / 100 if share else limit


def _periods(spec: structures.AlarmSpec, period: int, path: KeyPath) -> int:
    if spec.periods < 1:
        raise SpecError((*path, "periods"), f"{spec.periods}: must be at least 1")
    if spec.for_ is None:
        return spec.periods
    span = seconds(spec.for_, (*path, "for"), least=1)
    if span % period:
        raise SpecError((*path, "for"), f"{spec.for_!r}: must be a multiple of period ({spec.period})")
    return span // period


def _statistic(text: str, path: KeyPath) -> str:
    for known in _STATISTICS:
        if text.lower() == known.lower():
            return known
    if is_extended(text):
        return text
    raise SpecError(path, f"unknown statistic {text!r}{suggest(text, (*_STATISTICS, 'p99'))}")


def _period(value: str | int, path: KeyPath) -> int:
    period = seconds(value, path, least=1)
    if period not in (1, 5, 10, 20, 30) and period % 60:
        raise SpecError(path, f"{value!r}: expected 1s, 5s, 10s, 20s, 30s or whole minutes")
    return period
