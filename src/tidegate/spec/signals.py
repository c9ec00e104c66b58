"""Alarms of a spec on signals: numbers that a Prometheus server or another HTTP server has."""

import hashlib
import json
import re
from typing import Any
from urllib.parse import urlsplit

from tidegate.domain.alarm import Signal
from tidegate.domain.errors import Invalid
from tidegate.domain.metric import SIGNALS, MetricId
from tidegate.domain.prediction_path import parse_path
from tidegate.spec import structures
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.upstream import build_headers, check_headers, has_host, render_headers

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
    _check_url(url, source, (*path, source))
    _check_value(spec.value, (*path, "value"))
    check_headers(spec.headers, path)
    return Signal(url, spec.query or "", spec.value or "", build_headers(spec.headers))


def _check_url(url: str, source: str, path: KeyPath) -> None:
    parts = urlsplit(url)
    plain = not (parts.fragment or parts.username or parts.password or (parts.query and source == "prometheus"))
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
