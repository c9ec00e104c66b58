"""The platform's state in Prometheus's text format (exposition format 0.0.4)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tidegate.evidence import sketch
from tidegate.model.alarm import Alarm, AlarmState
from tidegate.model.endpoint import Endpoint
from tidegate.model.metric import FleetSecond, Latency
from tidegate.model.observe import Observation
from tidegate.model.rollout import Phase
from tidegate.model.traffic import WHOLE

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the latency buckets in seconds: a small model's millisecond to the invocation timeout."""
MICRO = 1e-6


class FleetKey(NamedTuple):
    endpoint: str
    variant: str
    config: str


@dataclass(frozen=True)
class Histogram:
    """``buckets`` count the values up to each bound and above the one before; the last is beyond all."""

    buckets: tuple[float, ...] = (0.0,) * (len(BOUNDS) + 1)
    total: float = 0.0

    def plus(self, latency: Latency | None) -> "Histogram":
        if latency is None:
            return self
        buckets = list(self.buckets)
        for index, count in latency.bins.items():
            seconds = sketch.value(index) * MICRO
            buckets[sum(seconds > bound for bound in BOUNDS)] += count
        return Histogram(tuple(buckets), self.total + latency.total * MICRO)


@dataclass(frozen=True)
class FleetTotals:
    """Counts since the start of this server."""

    invocations: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    model_errors: int = 0
    model_latency: Histogram = Histogram()
    overhead_latency: Histogram = Histogram()

    def plus(self, second: FleetSecond) -> "FleetTotals":
        return FleetTotals(
            self.invocations + second.invocations,
            self.errors_4xx + second.errors_4xx,
            self.errors_5xx + second.errors_5xx,
            self.model_errors + second.model_errors,
            self.model_latency.plus(second.model_latency),
            self.overhead_latency.plus(second.overhead_latency),
        )


Totals = Mapping[FleetKey, FleetTotals]


def add(totals: Totals, seconds: Iterable[FleetSecond]) -> dict[FleetKey, FleetTotals]:
    """The totals with these seconds counted in."""
    after = dict(totals)
    for second in seconds:
        key = FleetKey(second.fleet.endpoint, second.fleet.variant, second.config_name)
        after[key] = after.get(key, FleetTotals()).plus(second)
    return after


def render(
    totals: Totals, alarms: Iterable[Alarm], endpoints: Iterable[tuple[Endpoint, Observation | None]]
) -> str:
    """The page; endpoints come with the last look at them."""
    lines: list[str] = []
    for name, text, field in COUNTERS:
        lines += _family(name, "counter", text)
        lines += [_line(name, _labels(key), getattr(one, field)) for key, one in sorted(totals.items())]
    for name, text, field in HISTOGRAMS:
        lines += _family(name, "histogram", text)
        for key, one in sorted(totals.items()):
            lines += _histogram(name, _labels(key), getattr(one, field))
    shown = list(endpoints)
    lines += _instances(shown) + _alarms(alarms) + _rollouts(shown)
    return "\n".join(lines) + "\n"


COUNTERS = (
    ("tidegate_invocations_total", "Requests to a fleet", "invocations"),
    ("tidegate_invocation_4xx_errors_total", "Requests that were answered 4xx", "errors_4xx"),
    ("tidegate_invocation_5xx_errors_total", "Requests that were answered 5xx", "errors_5xx"),
    ("tidegate_invocation_model_errors_total", "Requests that the model did not answer well", "model_errors"),
)
HISTOGRAMS = (
    ("tidegate_model_latency_seconds", "Round trip to the model", "model_latency"),
    ("tidegate_overhead_latency_seconds", "Time of a request beyond the model's", "overhead_latency"),
)
READY = "tidegate_ready_instances"
ALARM = "tidegate_alarm_state"
PHASE = "tidegate_rollout_phase"
SHARE = "tidegate_rollout_new_share_ratio"


def _instances(endpoints: Iterable[tuple[Endpoint, Observation | None]]) -> list[str]:
    lines = _family(READY, "gauge", "Instances that are ready for requests")
    for endpoint, seen in endpoints:
        fleets = seen.fleets if seen is not None and seen.fleets is not None else {}
        for fleet, one in sorted(fleets.items()):
            labels = {"endpoint": endpoint.name, "variant": fleet.variant, "generation": str(fleet.generation)}
            lines.append(_line(READY, labels, one.ready))
    return lines


def _alarms(alarms: Iterable[Alarm]) -> list[str]:
    lines = _family(ALARM, "gauge", "1 for the state that an alarm is in")
    for alarm in alarms:
        lines += [_line(ALARM, {"alarm": alarm.name, "state": s}, int(s is alarm.state)) for s in AlarmState]
    return lines


def _rollouts(endpoints: Iterable[tuple[Endpoint, Observation | None]]) -> list[str]:
    phases = _family(PHASE, "gauge", "1 for the phase that an endpoint's rollout is in")
    shares = _family(SHARE, "gauge", "Part of the requests that goes to the new version")
    for endpoint, seen in endpoints:
        rollout = endpoint.rollout
        if rollout is None:
            continue
        labels = {"endpoint": endpoint.name}
        phases += [_line(PHASE, {**labels, "phase": phase}, int(phase is rollout.phase)) for phase in Phase]
        if seen is not None and seen.routes is not None:
            shares.append(_line(SHARE, labels, seen.routes.share_of(rollout.new.generation) / WHOLE))
    return phases + shares


def _histogram(name: str, labels: dict[str, str], histogram: Histogram) -> list[str]:
    lines, seen = [], 0.0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), histogram.buckets, strict=True):
        seen += count
        lines.append(_line(f"{name}_bucket", {**labels, "le": bound}, seen))
    return [*lines, _line(f"{name}_sum", labels, histogram.total), _line(f"{name}_count", labels, seen)]


def _family(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}.", f"# TYPE {name} {kind}"]


def _labels(key: FleetKey) -> dict[str, str]:
    return key._asdict()


def _line(name: str, labels: dict[str, str], value: float) -> str:
    inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inner}}} {int(value) if value == int(value) else value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
