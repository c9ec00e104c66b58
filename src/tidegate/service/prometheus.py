"""State of the platform as metrics of Prometheus."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.domain.rollout import Phase
from tidegate.domain.traffic import WHOLE
from tidegate.host.features import features
from tidegate.monitoring.exposition import header_lines, render_counters, sample_line
from tidegate.ports.store import Tx, Unreadable
from tidegate.service.fleet_totals import BOUNDS, MIRROR_COUNTERS, FleetKey, Histogram, Totals

Observed = Sequence[tuple[Endpoint, Observation | None]]
"""Endpoints with their last observations."""


@dataclass(frozen=True)
class MetricSample:
    """One line of the page."""

    name: str
    labels: dict[str, str]
    value: float


class MetricSource:
    """Metrics that a feature adds to the page: the hook ``metrics``."""

    families: Sequence[tuple[str, str, str]] = ()
    """Name, kind (``counter`` or ``gauge``) and text without a full stop, in the order of the page."""

    def read(self, tx: Tx) -> Any:
        """Return what the samples are made of. Part of the one read for the whole page."""
        return None

    def samples(self, found: Any, endpoints: Observed) -> Iterable[MetricSample]:
        """Return the lines. ``found``: of ``read``. Runs beside the event loop. A family without a sample is not on
        the page."""
        return ()


Added = Sequence[tuple[MetricSource, Any]]
"""Metrics of features, with what each has read."""


def metric_sources() -> Iterator[MetricSource]:
    """Those of the features that are on."""
    return (source for _, source in features().hooks("metrics"))


def read_added(tx: Tx) -> Added:
    return [(one, one.read(tx)) for one in metric_sources()]


def render(
    totals: Totals,
    alarms: Iterable[Alarm],
    endpoints: Iterable[tuple[Endpoint, Observation | None]],
    added: Added = (),
    unreadable: Iterable[Unreadable] = (),
) -> str:
    """Render the page. Endpoints come with their last observation. ``unreadable``: records that are there and that
    nothing else on the page tells of."""
    lines: list[str] = []
    for name, text, member in COUNTERS:
        lines += header_lines(name, "counter", text)
        lines += [sample_line(name, _labels(key), getattr(one, member)) for key, one in sorted(totals.items())]
    for name, text, member in HISTOGRAMS:
        lines += header_lines(name, "histogram", text)
        for key, one in sorted(totals.items()):
            lines += _histogram_lines(name, _labels(key), getattr(one, member))
    lines += _multi_model_lines(totals) + _mirror_lines(totals)
    shown = list(endpoints)
    lines += _instance_lines(shown) + _added_lines(added, shown) + _alarm_lines(alarms) + _rollout_lines(shown)
    lines += _single_header(UNREADABLE)
    lines += [sample_line(UNREADABLE, {"kind": one.kind, "name": one.name}, 1) for one in unreadable]
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
    found = [(name, "counter", text) for name, text, *_ in counters]
    found += [family for source in metric_sources() for family in source.families]
    found += [(name, "histogram", text) for name, text, _ in (*HISTOGRAMS, *MODEL_HISTOGRAMS)]
    found += [(name, "gauge", text) for name, text, _ in LOADS]
    return sorted([*found, *((name, kind, text) for name, (kind, text) in SINGLE.items())])


def _single_header(name: str) -> list[str]:
    return header_lines(name, *SINGLE[name])


def _multi_model_lines(totals: Totals) -> list[str]:
    """Lines of multi-model fleets, if there are any."""
    found = [(_labels(key), one.models) for key, one in sorted(totals.items()) if one.models is not None]
    if not found:
        return []
    lines = _single_header(LOADED)
    lines += [sample_line(LOADED, labels, models.loaded) for labels, models in found]
    for name, text, member in MODEL_COUNTERS:
        lines += header_lines(name, "counter", text)
        lines += [sample_line(name, labels, getattr(models, member)) for labels, models in found]
    for name, text, member in MODEL_HISTOGRAMS:
        lines += header_lines(name, "histogram", text)
        for labels, models in found:
            lines += _histogram_lines(name, labels, getattr(models, member))
    for name, text, member in CLIENT_COUNTERS:
        lines += header_lines(name, "counter", text)
        for labels, models in found:
            clients = sorted(models.clients.items())
            lines += [
                sample_line(name, {**labels, "model": client}, getattr(one, member)) for client, one in clients
            ]
    return lines


def _mirror_lines(totals: Totals) -> list[str]:
    """Lines of fleets with a shadow, if there are any."""
    found = [(_labels(key), one.mirror) for key, one in sorted(totals.items()) if one.mirror is not None]
    lines: list[str] = []
    for name, text, member in MIRROR_COUNTERS if found else ():
        lines += header_lines(name, "counter", text)
        lines += [sample_line(name, labels, getattr(mirror, member)) for labels, mirror in found]
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
    lines += [sample_line(READY, labels, one.ready) for labels, one in found]
    for name, text, member in LOADS:
        known_values = [(labels, value) for labels, one in found if (value := getattr(one, member)) is not None]
        if known_values:
            lines += header_lines(name, "gauge", text) + [
                sample_line(name, labels, value) for labels, value in known_values
            ]
    return lines


def _added_lines(added: Added, endpoints: Observed) -> list[str]:
    lines: list[str] = []
    for source, found in added:
        samples = list(source.samples(found, endpoints))
        for name, kind, text in source.families:
            mine = [sample_line(name, one.labels, one.value) for one in samples if one.name == name]
            lines += [*header_lines(name, kind, text), *mine] if mine else []
    return lines


def _alarm_lines(alarms: Iterable[Alarm]) -> list[str]:
    lines = _single_header(ALARM)
    for alarm in alarms:
        lines += [sample_line(ALARM, {"alarm": alarm.name, "state": s}, int(s is alarm.state)) for s in AlarmState]
    return lines


def _rollout_lines(endpoints: Iterable[tuple[Endpoint, Observation | None]]) -> list[str]:
    phases = _single_header(PHASE)
    shares = _single_header(SHARE)
    ends = _single_header(LAST)
    for endpoint, seen in endpoints:
        rollout, last = endpoint.rollout, endpoint.last
        if last is not None and last.ended_at is not None:
            labels = {"endpoint": endpoint.name, "outcome": str(last.phase)}
            ends.append(sample_line(LAST, labels, last.ended_at.timestamp()))
        if rollout is None:
            continue
        labels = {"endpoint": endpoint.name}
        phases += [sample_line(PHASE, {**labels, "phase": phase}, int(phase is rollout.phase)) for phase in Phase]
        if seen is not None and seen.routes is not None:
            shares.append(sample_line(SHARE, labels, seen.routes.share_of(rollout.new.generation) / WHOLE))
    return phases + shares + ends


def _histogram_lines(name: str, labels: dict[str, str], histogram: Histogram) -> list[str]:
    lines, seen = [], 0.0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), histogram.buckets, strict=True):
        seen += count
        lines.append(sample_line(f"{name}_bucket", {**labels, "le": bound}, seen))
    return [
        *lines,
        sample_line(f"{name}_sum", labels, histogram.total),
        sample_line(f"{name}_count", labels, seen),
    ]


def _labels(key: FleetKey) -> dict[str, str]:
    return key._asdict()


def render_storage(dropped: int, lost: int) -> str:
    """Lines about the measurements themselves, to append to the page."""
    counters = [(name, SINGLE[name][1]) for name in (DROPPED, LOST)]
    return render_counters(counters, {DROPPED: dropped, LOST: lost})
