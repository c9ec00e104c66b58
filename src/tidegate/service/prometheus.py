"""State of the platform in Prometheus's text format (exposition format 0.0.4)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.metric import FleetSecond, Latency, WorkerSeries
from tidegate.domain.observation import Observation
from tidegate.domain.rollout import Phase
from tidegate.domain.scaling import ScalableTarget
from tidegate.domain.traffic import WHOLE
from tidegate.monitoring import finite, sketch
from tidegate.service import scaling_observation
from tidegate.service.clients import MAX_NAMES, MODEL_DIMENSION, OTHER
from tidegate.service.mirror_totals import MIRROR_COUNTERS, MirrorTotals, add_mirror
from tidegate.service.span_metrics import SPAN_COUNTERS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the latency buckets in seconds: a small model's millisecond to the invocation timeout."""
MICRO = 1e-6
EXACT = 2**53
"""Whole numbers below this are written without a decimal point."""


class FleetKey(NamedTuple):
    endpoint: str
    variant: str
    config: str


@dataclass(frozen=True)
class Histogram:
    """``buckets`` count the values between two bounds each; the last one is above all bounds."""

    buckets: tuple[float, ...] = (0.0,) * (len(BOUNDS) + 1)
    total: float = 0.0

    def plus(self, latency: Latency | None) -> "Histogram":
        if latency is None:
            return self
        buckets = list(self.buckets)
        for index, count in latency.bins.items():
            seconds = sketch.value(index) * MICRO
            buckets[sum(seconds > bound for bound in BOUNDS)] += count
        return Histogram(tuple(buckets), finite.add((self.total, latency.total * MICRO)))


@dataclass(frozen=True)
class ClientTotals:
    """Totals of one model of a multi-model fleet; ``last`` is the second of its last request."""

    invocations: float = 0
    errors_4xx: float = 0
    errors_5xx: float = 0
    seconds: float = 0.0
    last: int = 0

    def plus(self, name: str, values: Latency, at: int) -> "ClientTotals":
        member, unit = CLIENT_FIELDS[name]
        total = finite.add((getattr(self, member), values.total * unit))
        return replace(self, last=max(self.last, at), **{member: total})


CLIENT_FIELDS = {
    "Invocations": ("invocations", 1.0),
    "Invocation4XXErrors": ("errors_4xx", 1.0),
    "Invocation5XXErrors": ("errors_5xx", 1.0),
    "ModelLatency": ("seconds", MICRO),
}
"""Metric of a model -> the field for its total, and the factor of its unit."""


@dataclass(frozen=True)
class ModelTotals:
    """Totals of a multi-model fleet. ``loaded``: models loaded per instance at last, on average."""

    hits: float = 0
    misses: float = 0
    loaded: float = 0
    loading: Histogram = Histogram()
    waiting: Histogram = Histogram()
    clients: Mapping[str, ClientTotals] = field(default_factory=dict)

    def plus(self, series: WorkerSeries, at: int) -> "ModelTotals":
        values, client = series.values, dict(series.dimensions).get(MODEL_DIMENSION)
        if client is not None and series.name in CLIENT_FIELDS:
            return self._client(client, series.name, values, at)
        if series.name == "ModelCacheHit":
            return replace(self, hits=self.hits + values.total, misses=self.misses + values.count - values.total)
        if series.name == "LoadedModelCount":
            return replace(self, loaded=values.total / values.count)
        if series.name == "ModelLoadingTime":
            return replace(self, loading=self.loading.plus(values))
        if series.name == "ModelLoadingWaitTime":
            return replace(self, waiting=self.waiting.plus(values))
        return self

    def _client(self, client: str, name: str, values: Latency, at: int) -> "ModelTotals":
        """A name without a series of its own any more stays on the page until another one replaces it."""
        clients = {**self.clients, client: self.clients.get(client, ClientTotals()).plus(name, values, at)}
        while len(clients) > MAX_NAMES + 1:
            del clients[min(clients, key=lambda one: (one == OTHER, clients[one].last))]
        return replace(self, clients=clients)


@dataclass(frozen=True)
class FleetTotals:
    """Counts since the start of this server."""

    invocations: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    model_errors: int = 0
    model_latency: Histogram = Histogram()
    overhead_latency: Histogram = Histogram()
    models: ModelTotals | None = None
    mirror: MirrorTotals | None = None
    refused: int = 0
    throttled: int = 0
    unavailable: int = 0
    dropped: int = 0
    captured: int = 0
    uncaptured: int = 0

    def plus(self, second: FleetSecond) -> "FleetTotals":
        return FleetTotals(
            self.invocations + second.invocations,
            self.errors_4xx + second.errors_4xx,
            self.errors_5xx + second.errors_5xx,
            self.model_errors + second.model_errors,
            self.model_latency.plus(second.model_latency),
            self.overhead_latency.plus(second.overhead_latency),
            _add_models(self.models, second),
            add_mirror(self.mirror, second),
            self.refused + _sum_series(second, "RefusedRequests"),
            self.throttled + _sum_series(second, "ThrottledRequests"),
            self.unavailable + _sum_series(second, "PlatformUnavailable"),
            self.dropped + second.dropped,
            self.captured + _sum_series(second, "CapturedRequests"),
            self.uncaptured + _sum_series(second, "CaptureDropped"),
        )


def _sum_series(second: FleetSecond, name: str) -> int:
    return int(finite.add(series.values.total for series in second.series if series.name == name))


def _add_models(before: ModelTotals | None, second: FleetSecond) -> ModelTotals | None:
    if before is None and not any(series.name == "ModelCacheHit" for series in second.series):
        return None
    after = before or ModelTotals()
    for series in second.series:
        after = after.plus(series, second.second)
    return after


Totals = Mapping[FleetKey, FleetTotals]


def add(totals: Totals, seconds: Iterable[FleetSecond]) -> dict[FleetKey, FleetTotals]:
    """Add these seconds to the totals."""
    after = dict(totals)
    for second in seconds:
        key = FleetKey(second.fleet.endpoint, second.fleet.variant, second.config_name)
        after[key] = after.get(key, FleetTotals()).plus(second)
    return after


def render(
    totals: Totals,
    alarms: Iterable[Alarm],
    endpoints: Iterable[tuple[Endpoint, Observation | None]],
    scaled: Iterable[ScalableTarget] = (),
) -> str:
    """Render the page. Endpoints come with their last observation."""
    lines: list[str] = []
    for name, text, member in COUNTERS:
        lines += _header_lines(name, "counter", text)
        lines += [_line(name, _labels(key), getattr(one, member)) for key, one in sorted(totals.items())]
    for name, text, member in HISTOGRAMS:
        lines += _header_lines(name, "histogram", text)
        for key, one in sorted(totals.items()):
            lines += _histogram_lines(name, _labels(key), getattr(one, member))
    lines += _multi_model_lines(totals) + _mirror_lines(totals)
    shown = list(endpoints)
    lines += _instance_lines(shown) + _scaling_lines(scaled, shown) + _alarm_lines(alarms) + _rollout_lines(shown)
    return "\n".join(lines) + "\n"


COUNTERS = (
    ("tidegate_invocations_total", "Requests to a fleet", "invocations"),
    ("tidegate_invocation_4xx_errors_total", "Requests that were answered 4xx", "errors_4xx"),
    ("tidegate_invocation_5xx_errors_total", "Requests that were answered 5xx", "errors_5xx"),
    ("tidegate_invocation_model_errors_total", "Requests that the model did not answer well", "model_errors"),
    ("tidegate_refused_requests_total", "Requests for which no instance had capacity in time", "refused"),
    ("tidegate_throttled_requests_total", "Requests beyond the quota of a client", "throttled"),
    ("tidegate_platform_unavailable_total", "Requests while the platform itself was starting", "unavailable"),
    ("tidegate_dropped_measurements_total", "Numbers of replicas that could not be used", "dropped"),
    ("tidegate_captured_requests_total", "Requests that data capture wrote", "captured"),
    ("tidegate_capture_dropped_total", "Requests that data capture could not write", "uncaptured"),
)
HISTOGRAMS = (
    ("tidegate_model_latency_seconds", "Round trip to the model", "model_latency"),
    ("tidegate_overhead_latency_seconds", "Time of a request beyond the model's", "overhead_latency"),
)
MODEL_COUNTERS = (
    ("tidegate_model_cache_hits_total", "Requests whose model was loaded", "hits"),
    ("tidegate_model_cache_misses_total", "Requests whose model was not loaded", "misses"),
)
MODEL_HISTOGRAMS = (
    ("tidegate_model_loading_seconds", "Loading of one model", "loading"),
    ("tidegate_model_loading_wait_seconds", "Wait of a request for its model", "waiting"),
)
CLIENT_COUNTERS = (
    ("tidegate_target_model_invocations_total", "Requests to one of many models", "invocations"),
    ("tidegate_target_model_4xx_errors_total", "Requests to it that were answered 4xx", "errors_4xx"),
    ("tidegate_target_model_5xx_errors_total", "Requests to it that were answered 5xx", "errors_5xx"),
    ("tidegate_target_model_latency_seconds_total", "Time that it took for its requests", "seconds"),
)
LOADED = "tidegate_loaded_models"
READY = "tidegate_ready_instances"
ALARM = "tidegate_alarm_state"
PHASE = "tidegate_rollout_phase"
SHARE = "tidegate_rollout_new_share_ratio"
LAST = "tidegate_last_rollout_ended_timestamp_seconds"
"""A rollback may begin and end between two scrapes, so how the last rollout ended stays."""
DROPPED, LOST = "tidegate_dropped_samples_total", "tidegate_lost_samples_total"
SINGLE = {
    LOADED: ("gauge", "Models that an instance has loaded, on average"),
    READY: ("gauge", "Instances that are ready for requests"),
    ALARM: ("gauge", "1 for the state that an alarm is in"),
    PHASE: ("gauge", "1 for the phase that an endpoint's rollout is in"),
    SHARE: ("gauge", "Part of the requests that goes to the new version"),
    LAST: ("gauge", "When an endpoint's last rollout ended, with its outcome"),
    DROPPED: ("counter", "Samples that no database could hold"),
    LOST: ("counter", "Measurements that waited too long for the database"),
}
"""Name -> kind and text of metrics that are in no table."""


def families() -> list[tuple[str, str, str]]:
    """Name, kind and text of every metric that the page may have, by name."""
    counters = (*COUNTERS, *MODEL_COUNTERS, *CLIENT_COUNTERS, *MIRROR_COUNTERS)
    found = [(name, "counter", text) for name, text, *_ in (*counters, *SPAN_COUNTERS)]
    found += [(name, "histogram", text) for name, text, _ in (*HISTOGRAMS, *MODEL_HISTOGRAMS)]
    found += [(name, "gauge", text) for name, text, _ in (*LOADS, *SCALING)]
    return sorted([*found, *((name, kind, text) for name, (kind, text) in SINGLE.items())])


def _single_header(name: str) -> list[str]:
    return _header_lines(name, *SINGLE[name])


def _multi_model_lines(totals: Totals) -> list[str]:
    """Lines of multi-model fleets, if there are any."""
    found = [(_labels(key), one.models) for key, one in sorted(totals.items()) if one.models is not None]
    if not found:
        return []
    lines = _single_header(LOADED)
    lines += [_line(LOADED, labels, models.loaded) for labels, models in found]
    for name, text, member in MODEL_COUNTERS:
        lines += _header_lines(name, "counter", text)
        lines += [_line(name, labels, getattr(models, member)) for labels, models in found]
    for name, text, member in MODEL_HISTOGRAMS:
        lines += _header_lines(name, "histogram", text)
        for labels, models in found:
            lines += _histogram_lines(name, labels, getattr(models, member))
    for name, text, member in CLIENT_COUNTERS:
        lines += _header_lines(name, "counter", text)
        for labels, models in found:
            clients = sorted(models.clients.items())
            lines += [_line(name, {**labels, "model": client}, getattr(one, member)) for client, one in clients]
    return lines


def _mirror_lines(totals: Totals) -> list[str]:
    """Lines of fleets with a shadow, if there are any."""
    found = [(_labels(key), one.mirror) for key, one in sorted(totals.items()) if one.mirror is not None]
    lines: list[str] = []
    for name, text, member in MIRROR_COUNTERS if found else ():
        lines += _header_lines(name, "counter", text)
        lines += [_line(name, labels, getattr(mirror, member)) for labels, mirror in found]
    return lines


LOADS = (
    ("tidegate_in_flight_requests", "Requests in progress in instances", "in_flight"),
    ("tidegate_queued_requests", "Requests that wait for an instance with capacity", "queued"),
    ("tidegate_queue_seconds", "Time until a request that came now would have an instance", "queue_time"),
)


def _instance_lines(endpoints: Iterable[tuple[Endpoint, Observation | None]]) -> list[str]:
    found = [
        ({"endpoint": endpoint.name, "variant": fleet.variant, "generation": str(fleet.generation)}, one)
        for endpoint, seen in endpoints
        for fleet, one in sorted((seen.fleets or {}).items() if seen is not None else ())
    ]
    lines = _single_header(READY)
    lines += [_line(READY, labels, one.ready) for labels, one in found]
    for name, text, member in LOADS:
        known_values = [(labels, value) for labels, one in found if (value := getattr(one, member)) is not None]
        if known_values:
            lines += _header_lines(name, "gauge", text) + [
                _line(name, labels, value) for labels, value in known_values
            ]
    return lines


SCALING = (
    ("tidegate_scaling_desired", "Desired count of a scalable target", "desired"),
    ("tidegate_scaling_ready", "Ready count of a scalable target", "ready"),
    ("tidegate_scaling_minimum", "Minimum count of a scalable target", "minimum"),
    ("tidegate_scaling_maximum", "Maximum count of a scalable target", "maximum"),
)


def _scaling_lines(
    scaled: Iterable[ScalableTarget], endpoints: Iterable[tuple[Endpoint, Observation | None]]
) -> list[str]:
    """Lines of scalable targets, if there are any. Unknown values have no line."""
    known = {endpoint.name: (endpoint, seen) for endpoint, seen in endpoints}
    found = []
    for target in scaled:
        if target.endpoint in known:
            counted = scaling_observation.read_counts(known[target.endpoint][0], target, known[target.endpoint][1])
            labels = {"endpoint": target.endpoint, "variant": target.variant, "dimension": target.dimension.value}
            values = {"desired": counted.desired, "ready": counted.ready}
            found.append((labels, {**values, "minimum": target.minimum, "maximum": target.maximum}))
    lines: list[str] = []
    for name, text, member in SCALING if found else ():
        lines += _header_lines(name, "gauge", text)
        known_values = [(labels, values[member]) for labels, values in found]
        lines += [_line(name, labels, value) for labels, value in known_values if value is not None]
    return lines


def _alarm_lines(alarms: Iterable[Alarm]) -> list[str]:
    lines = _single_header(ALARM)
    for alarm in alarms:
        lines += [_line(ALARM, {"alarm": alarm.name, "state": s}, int(s is alarm.state)) for s in AlarmState]
    return lines


def _rollout_lines(endpoints: Iterable[tuple[Endpoint, Observation | None]]) -> list[str]:
    phases = _single_header(PHASE)
    shares = _single_header(SHARE)
    ends = _single_header(LAST)
    for endpoint, seen in endpoints:
        rollout, last = endpoint.rollout, endpoint.last
        if last is not None and last.ended_at is not None:
            labels = {"endpoint": endpoint.name, "outcome": str(last.phase)}
            ends.append(_line(LAST, labels, last.ended_at.timestamp()))
        if rollout is None:
            continue
        labels = {"endpoint": endpoint.name}
        phases += [_line(PHASE, {**labels, "phase": phase}, int(phase is rollout.phase)) for phase in Phase]
        if seen is not None and seen.routes is not None:
            shares.append(_line(SHARE, labels, seen.routes.share_of(rollout.new.generation) / WHOLE))
    return phases + shares + ends


def _histogram_lines(name: str, labels: dict[str, str], histogram: Histogram) -> list[str]:
    lines, seen = [], 0.0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), histogram.buckets, strict=True):
        seen += count
        lines.append(_line(f"{name}_bucket", {**labels, "le": bound}, seen))
    return [*lines, _line(f"{name}_sum", labels, histogram.total), _line(f"{name}_count", labels, seen)]


def _header_lines(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}.", f"# TYPE {name} {kind}"]


def _labels(key: FleetKey) -> dict[str, str]:
    return key._asdict()


def _line(name: str, labels: dict[str, str], value: float) -> str:
    inner = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
    shown = finite.saturated(value)
    return f"{name}{{{inner}}} {int(shown) if shown == int(shown) and abs(shown) < EXACT else shown}"


def render_storage(dropped: int, lost: int) -> str:
    """Lines about the measurements themselves, to append to the page."""
    lines = [*_single_header(DROPPED), f"{DROPPED} {dropped}", *_single_header(LOST), f"{LOST} {lost}"]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
