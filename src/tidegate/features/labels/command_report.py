"""A report on late labels, with plots. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tidegate.cli.plot_shapes import COLOURS, CurvePlot, GroupPlot, IntervalPlot, IntervalRow, Plot
from tidegate.cli.report_files import Report, ReportTable
from tidegate.statistics.intervals import delay_parts, main_interval, version_name

DAY = 86_400.0
ALL = "all versions"
MOST_DRAWN = len(COLOURS)
"""Versions that are drawn: those with most labels."""


def make_report(name: str, found: Mapping[str, Any], lines: Sequence[str]) -> Report:
    """``found``: as measured here, or as the server tells it; ``lines``: remarks on what it rests on."""
    versions = list(found["versions"])
    if not versions and "coverage" in found:
        versions = [{**found, "config": ALL, "variant": ""}]
    drawn = sorted(versions, key=lambda one: -one["coverage"]["labelled"])[:MOST_DRAWN]
    labelled = sum(one["coverage"]["labelled"] for one in versions)
    predictions = sum(one["coverage"]["predictions"] for one in versions)
    share = f"{labelled / predictions:.1%}" if predictions else "none"
    lead = f"{labelled:,} of {predictions:,} predictions have a label ({share})"
    return Report(
        f"Labels of {name}",
        lead,
        [line for line in lines if line != lead],
        [_table(versions), *_slices(versions), _outcomes(found["labels"])],
        list(_plots(drawn)),
    )


def _table(versions: Sequence[Mapping[str, Any]]) -> ReportTable:
    heads = ("version", "labels", "covered", "delay p50", "delay p90", "measure", "value", "95 %", "selective")
    return ReportTable("Versions", heads, [_row(one) for one in versions])


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    coverage, delay = one["coverage"], one["delay_seconds"]
    return (
        _name(one),
        f"{coverage['labelled']:,}",
        "-" if coverage["share"] is None else f"{coverage['share']:.1%}",
        *("-" if delay is None else f"{delay[part] / DAY:.2g} d" for part in ("p50", "p90")),
        *_measured(one["quality"]),
        "yes" if coverage["selective"] else "no",
    )


def _slices(versions: Sequence[Mapping[str, Any]]) -> Iterator[ReportTable]:
    heads = ("version", "slice", "labels", "measure", "value", "95 %")
    rows = [
        (_name(one), each["slice"], f"{each['labelled']:,}", *_measured(each["quality"]))
        for one in versions
        for each in one.get("slices", ())
    ]
    if rows:
        yield ReportTable("Slices", heads, rows)


def _measured(quality: Mapping[str, Any] | None) -> tuple[str, str, str]:
    found = main_interval(quality)
    if found is None:
        return "-", "-", "-"
    return found.measure, f"{found.value:,.4g}", f"{found.low:,.4g} to {found.high:,.4g}"


def _name(one: Mapping[str, Any]) -> str:
    return version_name(one) if one["variant"] else str(one["config"])


def _outcomes(labels: Mapping[str, int]) -> ReportTable:
    rows = [(outcome, f"{count:,}") for outcome, count in labels.items() if count]
    return ReportTable("What became of the labels", ("labels", "number"), rows)


def _plots(drawn: Sequence[Mapping[str, Any]]) -> Iterator[Plot]:
    measured = [(_name(one), main_interval(one["quality"])) for one in drawn]
    for measure in dict.fromkeys(found.measure for _, found in measured if found is not None):
        rows = [
            IntervalRow(name, found.value, found.low, found.high)
            for name, found in measured
            if found is not None and found.measure == measure
        ]
        yield IntervalPlot(f"{measure} of each version, with 95 % bounds", measure, rows)
    timed = [one for one in drawn if one.get("delay_counts")]
    if timed:
        names, parts = delay_parts(timed)
        series = list(zip(map(_name, timed), parts, strict=True))
        yield GroupPlot("Delay from prediction to label", "delay", "percent of the labels", names, series)
    yield from _coverage([one for one in drawn if one["coverage"].get("over_time")])


def _coverage(drawn: Sequence[Mapping[str, Any]]) -> Iterator[CurvePlot]:
    spans = [span for one in drawn for span in one["coverage"]["over_time"]]
    if not spans:
        return
    first = min(span["at"] for span in spans)
    curves = [(_name(one), _shares(one["coverage"]["over_time"], first)) for one in drawn]
    top = max(y for _, points in curves for _, y in points)
    begin = datetime.fromtimestamp(first, UTC)
    x = f"days since {begin:%Y-%m-%d %H:%M} UTC, by the time of the prediction"
    yield CurvePlot("Predictions that have a label", x, "percent", curves, min(100.0, 1.1 * top) or 100.0)


def _shares(spans: Sequence[Mapping[str, Any]], first: float) -> list[tuple[float, float]]:
    """A step for each span."""
    points = []
    for span in spans:
        share = 100 * span["labelled"] / span["predictions"]
        begin = (span["at"] - first) / DAY
        points += [(begin, share), (begin + span["seconds"] / DAY, share)]
    return points
