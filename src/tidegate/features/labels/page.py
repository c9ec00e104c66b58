"""The page about the late labels of an endpoint's versions: quality with its bounds, delay, coverage. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tidegate.console.alarm_meters import meter
from tidegate.console.figures import UNKNOWN, format_percent
from tidegate.console.insight_pages import EndpointPart, live_routes
from tidegate.console.page_context import PageContext
from tidegate.console.plots import STYLES, BarList, Box, LinePlot, bar_list
from tidegate.domain.errors import NotFound
from tidegate.features.capture.captured import captured_addresses
from tidegate.features.labels import api as labels_api
from tidegate.features.labels.comparison_lines import comparison_lines
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.ports.store import Tx
from tidegate.service import endpoints
from tidegate.statistics.intervals import MeasuredInterval, delay_parts, main_interval, version_name

DAY = 86_400.0


def labels_page(told: Mapping[str, Any]) -> dict[str, Any]:
    """``told``: what the server found last, as the native API has it."""
    versions = sorted(told["versions"], key=lambda one: -one["coverage"]["labelled"])
    intervals = [main_interval(one["quality"]) for one in versions]
    at = told.get("at")
    return {
        "at": None if at is None else datetime.fromtimestamp(at, UTC).isoformat(),
        "versions": [_row(one, found, intervals) for one, found in zip(versions, intervals, strict=True)],
        "outcomes": [(outcome, f"{count:,}") for outcome, count in told["labels"].items() if count],
        "skipped": [(reason, f"{count:,}") for reason, count in told.get("captures_skipped", {}).items() if count],
        "comparisons": [_comparison(one) for one in told.get("comparisons", ())],
        "plots": list(_plots(versions[:STYLES])),
    }


def _row(
    one: Mapping[str, Any], found: MeasuredInterval | None, among: Sequence[MeasuredInterval | None]
) -> dict[str, Any]:
    coverage, delay = one["coverage"], one["delay_seconds"]
    return {
        "name": version_name(one),
        "labelled": f"{coverage['labelled']:,}",
        "share": format_percent(coverage["share"]),
        "selective": coverage["selective"],
        "top": format_percent(coverage["top"]),
        "rest": format_percent(coverage["rest"]),
        "weighted": one["weighted"],
        "p50": UNKNOWN if delay is None else _format_days(delay["p50"]),
        "p90": UNKNOWN if delay is None else _format_days(delay["p90"]),
        "measure": None if found is None else found.measure,
        "value": None if found is None else f"{found.value:,.4g}",
        "bounds": None if found is None else f"{found.low:,.4g} to {found.high:,.4g}",
        "interval": None if found is None else _interval(found, among),
        "more": _format_more(one["quality"]),
        "slices": [_slice(each) for each in one.get("slices", ())],
    }


def _format_more(quality: Mapping[str, Any] | None) -> str:
    """Format the further measures of amounts and of probabilities."""
    found = quality or {}
    named = {"root_mean_square_error": "RMSE", "bias": "bias", "log_loss": "log loss"}
    return ", ".join(f"{words} {found[name]:,.4g}" for name, words in named.items() if found.get(name) is not None)


def _slice(one: Mapping[str, Any]) -> dict[str, Any]:
    found = main_interval(one["quality"])
    said = "cannot be said yet" if found is None else f"{found.measure} {found.value:,.4g}"
    bounds = "" if found is None else f"{found.low:,.4g} to {found.high:,.4g}"
    return {**{"name": one["slice"], "labelled": f"{one['labelled']:,}"}, "said": said, "bounds": bounds}


def _format_days(seconds: float) -> str:
    if seconds < 3_600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 2 * DAY else f"{seconds / DAY:.1f} d"


def _interval(found: MeasuredInterval, among: Sequence[MeasuredInterval | None]) -> dict[str, float]:
    """Place an interval on a scale, in percent, that all versions with this measure share."""
    same = [one for one in among if one is not None and one.measure == found.measure]
    low, high = min(one.low for one in same), max(one.high for one in same)
    size = (high - low) or 1.0
    return {
        name: round(2 + 96 * (value - low) / size, 1)
        for name, value in (("low", found.low), ("value", found.value), ("high", found.high))
    }


def _comparison(one: Mapping[str, Any]) -> dict[str, Any]:
    evidence = max(0.0, one["evidence"])
    return {
        "lines": list(comparison_lines(one)),
        "evidence": f"{evidence:.2f}",
        "meter": meter(evidence, 1.0),
        "tone": "bad" if evidence >= 1 else "good",
    }


def _plots(versions: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, LinePlot | BarList]]:
    """Yield plots, each with the name of the macro that draws it."""
    timed = [one for one in versions if one.get("delay_counts")]
    if timed:
        names, parts = delay_parts(timed)
        title = "Delay from prediction to label"
        yield "bars", bar_list(title, [version_name(one) for one in timed], names, parts)
    covered = [one for one in versions if one["coverage"].get("over_time")]
    if covered:
        yield "line_plot", _coverage(covered)


def _coverage(versions: Sequence[Mapping[str, Any]]) -> LinePlot:
    spans = [span for one in versions for span in one["coverage"]["over_time"]]
    first, last = min(one["at"] for one in spans), max(one["at"] + one["seconds"] for one in spans)
    shares = [(version_name(one), _steps(one["coverage"]["over_time"])) for one in versions]
    top = min(100.0, 1.1 * max(y for _, points in shares for _, y in points)) or 100.0
    box = Box(first, last, top)
    lines = tuple(box.line(name, style, points) for style, (name, points) in enumerate(shares))
    left, right = (datetime.fromtimestamp(at, UTC).isoformat() for at in (first, last))
    said = ", ".join(f"{name} {points[-1][1]:.1f} % at last" for name, points in shares)
    return LinePlot(
        "Predictions that have a label, by the time of the prediction", f"{top:.3g} %", left, right, said, lines
    )


def _steps(spans: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    points = []
    for span in spans:
        share = 100 * span["labelled"] / span["predictions"]
        points += [(span["at"], share), (span["at"] + span["seconds"], share)]
    return points


# --- the page of an endpoint's labels ---


def page_routes(context: PageContext) -> list[GuardedRoute]:
    async def read(name: str) -> dict[str, Any]:
        def work(tx: Tx) -> bool:
            return bool(captured_addresses(endpoints.get_endpoint(tx, name).body))

        captured = await context.gateway.context.store.read(work)
        try:
            told = await labels_api.read_labels(context.gateway, name)
        except NotFound:
            told = None
        shown = None if told is None else labels_page(told)
        return {"there": shown is not None, "captured": captured, "labels": shown}

    return live_routes(context, EndpointPart("labels", "Labels", "tidegate labels measure {}", "labels"), read)
