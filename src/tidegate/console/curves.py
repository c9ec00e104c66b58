"""The page of an endpoint's metrics: curves by version over minutes to weeks, with rollouts, alarms and scaling."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tidegate.console.endpoint_page import has_many_models
from tidegate.console.identity import page_headers
from tidegate.console.operate_pages import render
from tidegate.console.plots import Box, LinePlot, PlotMark
from tidegate.domain.access import Access
from tidegate.domain.alarm import AlarmState
from tidegate.domain.history import History
from tidegate.domain.metric import INSTANCES, SAGEMAKER, MetricId, Sample
from tidegate.domain.rollout import Phase
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.live import percentile_milliseconds
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_endpoint_name
from tidegate.monitoring.samples import newest_unit
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Tx
from tidegate.service import history
from tidegate.service.record_kinds import ALARM, ENDPOINT

PATH = f"{CONSOLE}/endpoints/{{name}}/metrics"
HOUR = 3600
SPANS: Mapping[str, tuple[int, int]] = {
    "15m": (HOUR // 4, 15),
    "1h": (HOUR, 60),
    "6h": (6 * HOUR, 300),
    "24h": (24 * HOUR, 900),
    "7d": (7 * 24 * HOUR, HOUR),
    "30d": (30 * 24 * HOUR, 4 * HOUR),
}
"""Name of a window -> its length and the length of one point, in seconds."""
SHOWN_VERSIONS = 6
"""Versions with a curve: those with the most requests. The styles of lines tell as many apart."""
SHOWN_EVENTS = 200
CHANGES = ("create", "update", "undo", "retry", *(f"rollout.{phase}" for phase in Phase if phase.ended))
"""Kinds of journal events that are marked as rollouts."""


@dataclass(frozen=True)
class Curve:
    """``read`` makes a value of a sample and the length of its span in seconds."""

    title: str
    namespace: str
    metric: str
    unit: str
    read: Callable[[Sample, int], float | None]


def _mean(sample: Sample) -> float | None:
    return sample.total / sample.count if sample.count else None


CURVES = (
    Curve("Requests", SAGEMAKER, "Invocations", "/s", lambda one, seconds: one.total / seconds),
    Curve("Errors (5xx)", SAGEMAKER, "Invocation5XXErrors", " %", lambda one, _: 100 * (_mean(one) or 0.0)),
    Curve(
        "Model latency, p50",
        SAGEMAKER,
        "ModelLatency",
        " ms",
        lambda one, _: percentile_milliseconds(one.bins, 50),
    ),
    Curve(
        "Model latency, p99",
        SAGEMAKER,
        "ModelLatency",
        " ms",
        lambda one, _: percentile_milliseconds(one.bins, 99),
    ),
    Curve("CPU per instance", INSTANCES, "CPUUtilization", " %", lambda one, _: _mean(one)),
    Curve("Memory per instance", INSTANCES, "MemoryUtilization", " %", lambda one, _: _mean(one)),
)


@dataclass(frozen=True)
class CurveWindow:
    """From ``start`` to before ``end`` in epoch seconds, multiples of ``period``. ``now`` is in the last point."""

    start: int
    end: int
    period: int
    now: int

    @classmethod
    def before(cls, now: datetime, name: str) -> "CurveWindow":
        length, period = SPANS[name]
        second = int(now.timestamp())
        end = second // period * period + period
        return cls(end - length, end, period, second)

    @property
    def begin(self) -> datetime:
        return datetime.fromtimestamp(self.start, UTC)


@dataclass(frozen=True)
class VersionCurves:
    """Curves of one version and variant: for each of ``CURVES`` the values by the start of their span."""

    name: str
    values: tuple[Mapping[int, float], ...]


async def read_curves(
    metrics: Metrics, endpoint: str, numbers: Mapping[str, int], window: CurveWindow
) -> list[VersionCurves]:
    """The versions with data in the window, those with the most requests first. ``numbers``: by config."""
    wanted = [("EndpointName", endpoint), ("EndpointConfigName", None), ("VariantName", None)]
    found = await metrics.series(INSTANCES, "CPUUtilization", wanted, window.start)
    found += await metrics.series(SAGEMAKER, "Invocations", wanted, window.start)
    fleets = {one.dimensions for one in found if len(one.dimensions) == len(wanted)}
    variants = {dict(one)["VariantName"] for one in fleets}
    made = []
    for dimensions in sorted(fleets):
        values = await _read_values(metrics, dimensions, window)
        if any(values):
            named = dict(dimensions)
            config = named["EndpointConfigName"]
            name = f"version {numbers[config]} ({config})" if config in numbers else config
            variant = f", {named['VariantName']}" if len(variants) > 1 else ""
            made.append(VersionCurves(name + variant, tuple(values)))
    return sorted(made, key=lambda one: -sum(one.values[0].values()))


async def _read_values(
    metrics: Metrics, dimensions: tuple[tuple[str, str], ...], window: CurveWindow
) -> list[dict[int, float]]:
    """Values of each of ``CURVES``, read at one moment: a line of the CSV file has all of them."""
    wanted = [MetricId(curve.namespace, curve.metric, dimensions) for curve in CURVES]
    read = await metrics.read_units(wanted, window.start, window.end, window.period)
    found = []
    for curve, units in zip(CURVES, read, strict=True):
        values = (
            (at, curve.read(sample, min(window.period, window.now - at) or 1))
            for at, sample in sorted(newest_unit(units).items())
        )
        found.append({at: value for at, value in values if value is not None})
    return found


def draw_plots(
    versions: Sequence[VersionCurves], events: Sequence[dict[str, Any]], window: CurveWindow
) -> list[LinePlot]:
    """One plot for each curve that has data. Lines break where there are none."""
    plots = []
    for place, curve in enumerate(CURVES):
        shown = [(style, one.name, one.values[place]) for style, one in enumerate(versions) if one.values[place]]
        if not shown:
            continue
        top = max(max(values.values()) for _, _, values in shown) or 1.0
        box = Box(window.start, window.end, top)
        marks = [PlotMark(box.x(one["second"]), one["mark"], one["mark"]) for one in events]
        lines = [
            box.line("" if at else name, style, part)
            for style, name, values in shown
            for at, part in enumerate(_parts(values, window.period))
        ]
        newest = [f"{name} {values[max(values)]:.3g}{curve.unit} last" for _, name, values in shown]
        plots.append(
            LinePlot(
                curve.title,
                f"{top:.3g}{curve.unit}",
                window.begin.isoformat(),
                datetime.fromtimestamp(window.end, UTC).isoformat(),
                f"{'; '.join(newest)}; at most {top:.3g}{curve.unit}",
                tuple(lines),
                marks=tuple(marks),
            )
        )
    return plots


def _parts(values: Mapping[int, float], period: int) -> Iterator[list[tuple[float, float]]]:
    """Spans that follow each other, each as a level piece."""
    part: list[tuple[float, float]] = []
    for at, value in values.items():
        if part and part[-1][0] != at:
            yield part
            part = []
        part += [(at, value), (at + period, value)]
    if part:
        yield part


def read_marks(tx: Tx, name: str, past: History, window: CurveWindow) -> list[dict[str, Any]]:
    """Read the rollouts, alarms and changes of the number of instances in the window, newest first."""

    def lines(kind: str, about: str) -> Iterator[dict[str, Any]]:
        found = tx.journal(
            kind=kind, name=about, since=window.begin, limit=SHOWN_EVENTS, newest_first=True, bodies=False
        )
        for line in found:
            for event in line.events:
                mark = _name_mark(event.kind, event.data)
                if mark:
                    yield {
                        "at": line.at.isoformat(),
                        "second": line.at.timestamp(),
                        "mark": mark,
                        "message": event.message if mark != "alarm" else f"{about} went into alarm",
                    }

    alarms = {alarm for entry in past.entries[-SHOWN_VERSIONS:] for alarm in entry.deployment.alarms}
    made = [*lines(ENDPOINT.name, name), *(one for alarm in sorted(alarms) for one in lines(ALARM.name, alarm))]
    shown = [one for one in made if window.start <= one["second"] <= window.end]
    return sorted(shown, key=lambda one: one["second"], reverse=True)[:SHOWN_EVENTS]


def _name_mark(kind: str, data: Mapping[str, Any]) -> str:
    if kind == "alarm":
        new = data.get("newState")
        return "alarm" if isinstance(new, Mapping) and new.get("stateValue") == AlarmState.ALARM.value else ""
    return "scaling" if kind == "scale" else "rollout" if kind in CHANGES else ""


def write_csv(versions: Sequence[VersionCurves]) -> str:
    """A line for each version and span, with a column for each curve."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["time", "version", *(f"{curve.title} ({curve.unit.strip()})" for curve in CURVES)])
    for one in versions:
        for at in sorted({at for values in one.values for at in values}):
            moment = datetime.fromtimestamp(at, UTC).isoformat()
            writer.writerow([moment, one.name, *(values.get(at, "") for values in one.values)])
    return out.getvalue()


def routes(gateway: Gateway) -> list[GuardedRoute]:
    """GET only."""

    async def read(request: Request) -> tuple[str, str, History, CurveWindow, list[VersionCurves]]:
        name, span = parse_endpoint_name(request), request.query_params.get("span", "1h")
        span = span if span in SPANS else "1h"
        window = CurveWindow.before(gateway.context.clock.now(), span)
        past = await gateway.context.store.read(lambda tx: history.read(tx, name))
        numbers = {entry.version.config_name: entry.number for entry in past.entries}
        return name, span, past, window, await read_curves(gateway.context.metrics, name, numbers, window)

    async def show(request: Request) -> Response:
        name, span, past, window, versions = await read(request)
        events = await gateway.context.store.read(lambda tx: read_marks(tx, name, past, window))
        shown = versions[:SHOWN_VERSIONS]
        return render(
            "curves",
            request,
            endpoint=name,
            many_models=await has_many_models(gateway, name),
            spans=list(SPANS),
            span=span,
            plots=draw_plots(shown, events, window),
            events=events,
            left_out=len(versions) - len(shown),
        )

    async def export(request: Request) -> Response:
        name, span, _, _, versions = await read(request)
        headers = {**page_headers(request), "content-disposition": f'attachment; filename="{name}-{span}.csv"'}
        return Response(write_csv(versions), media_type="text/csv", headers=headers)

    return [
        GuardedRoute(gateway, PATH, show, Access.READ),
        GuardedRoute(gateway, f"{PATH}.csv", export, Access.READ),
    ]
