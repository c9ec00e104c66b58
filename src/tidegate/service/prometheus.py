"""State of the platform in Prometheus's text format (exposition format 0.0.4)."""

from collections.abc import Iterable

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.domain.rollout import Phase
from tidegate.domain.scaling import ScalableTarget
from tidegate.domain.traffic import WHOLE
from tidegate.features.autoscaling import observation as scaling_observation
from tidegate.features.tracing.span_metrics import SPAN_COUNTERS
from tidegate.monitoring import finite
from tidegate.ports.store import Unreadable
from tidegate.service.fleet_totals import BOUNDS, FleetKey, Histogram, Totals
from tidegate.service.mirror_totals import MIRROR_COUNTERS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
EXACT = 2**53
"""Whole numbers below this are written without a decimal point."""


def render(
    totals: Totals,
    alarms: Iterable[Alarm],
    endpoints: Iterable[tuple[Endpoint, Observation | None]],
    scaled: Iterable[ScalableTarget] = (),
    unreadable: Iterable[Unreadable] = (),
) -> str:
    """Render the page. Endpoints come with their last observation. ``unreadable``: records that are there and that
    nothing else on the page tells of."""
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
    lines += _single_header(UNREADABLE)
    lines += [_line(UNREADABLE, {"kind": one.kind, "name": one.name}, 1) for one in unreadable]
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
UNREADABLE = "tidegate_unreadable_records"
DROPPED, LOST = "tidegate_dropped_samples_total", "tidegate_lost_samples_total"
SINGLE = {
    LOADED: ("gauge", "Models that an instance has loaded, on average"),
    READY: ("gauge", "Instances that are ready for requests"),
    ALARM: ("gauge", "1 for the state that an alarm is in"),
    PHASE: ("gauge", "1 for the phase that an endpoint's rollout is in"),
    SHARE: ("gauge", "Part of the requests that goes to the new version"),
    LAST: ("gauge", "When an endpoint's last rollout ended, with its outcome"),
    UNREADABLE: ("gauge", "1 for each record that this version cannot read"),
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
