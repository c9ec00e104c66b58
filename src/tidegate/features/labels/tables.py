"""Tables and remarks about late labels, for people."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from tidegate.cli.tables import Table, key, number
from tidegate.features.labels.comparison_lines import comparison_lines
from tidegate.statistics.intervals import main_interval

FEEDBACK = "feedback"
"""Kind of labels that say what people think of answers."""


def render_quality(found: Mapping[str, Any], unmet: list[str]) -> Iterator[Table | Text]:
    """Measures of all labels together, and what they rest on."""
    quality = found["quality"]
    measures = Table(key("MEASURE"), number("VALUE"))
    for measure, value in (quality or {}).items():
        measures.add_row(measure.replace("_", " "), _figure(value))
    yield measures if quality else Text("no label has a prediction: nothing can be said")
    yield Text()
    yield _outcomes(found["labels"])
    for line in [*_basis(found), *_skipped(found), *(f"not reached: {measure}" for measure in unmet)]:
        yield Text(line)


def render_versions(found: Mapping[str, Any]) -> Iterator[Table | Text]:
    """Measures of each version by itself, as the server has them."""
    columns = _columns(found["versions"])
    table = Table(key("VERSION"), key("VARIANT"), *map(number, ("LABELS", "COVERED", "DELAY", *columns)))
    for one in found["versions"]:
        table.add_row(_name(one), one["variant"], *_basics(one), *_cells(one["quality"], columns))
    yield table if found["versions"] else Text("no captured prediction is known yet")
    sliced = Table(key("VERSION"), key("VARIANT"), key("SLICE"), number("LABELS"), *map(number, columns))
    for one in found["versions"]:
        for each in one.get("slices", ()):
            labelled = f"{each['labelled']:,}"
            sliced.add_row(_name(one), one["variant"], each["slice"], labelled, *_cells(each["quality"], columns))
    if any(one.get("slices") for one in found["versions"]):
        yield Text()
        yield sliced
    if found["labels"]:
        yield Text()
        yield _outcomes(found["labels"])
    for line in render_remarks(found):
        yield Text(line)


def render_remarks(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield remarks on the data from which the measures were made, and on how versions compare."""
    if "coverage" in found:
        yield from _basis(found)
    for one in found["versions"]:
        name = f"{_name(one)}, {one['variant']}: "
        yield from (name + line for line in _selection(one))
    for one in found.get("comparisons", ()):
        yield from comparison_lines(one)
    yield from _skipped(found)


def _name(one: Mapping[str, Any]) -> str:
    """Return the name of a version, with the day on which an earlier life of the config ended."""
    config, until = one["config"] or "(unknown)", one.get("until")
    if one.get("current", True) or until is None:
        return config
    return f"{config} (until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M})"


def _columns(versions: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the headings of the measures of labels of this kind."""
    if any(one.get("kind") == FEEDBACK for one in versions):
        return ("APPROVAL",)
    if any("mean_absolute_error" in (one["quality"] or {}) for one in versions):
        return ("MEAN ABS ERROR", "95 %", "RMSE", "BIAS")
    return ("AUC", "95 %", "LOG LOSS", "AVG PREC", "TOP", "CALIBRATION")


def _basics(one: Mapping[str, Any]) -> list[str]:
    coverage, delay = one["coverage"], one["delay_seconds"]
    return [
        f"{coverage['labelled']:,}",
        "-" if coverage["share"] is None else f"{coverage['share']:.1%}",
        "-" if delay is None else f"{delay['p50'] / 86_400:.1f} d",
    ]


_MEASURES = {
    "AUC": "auc",
    "LOG LOSS": "log_loss",
    "AVG PREC": "average_precision",
    "TOP": "precision_top",
    "CALIBRATION": "calibration_error",
    "MEAN ABS ERROR": "mean_absolute_error",
    "RMSE": "root_mean_square_error",
    "BIAS": "bias",
}


def _cells(quality: Mapping[str, Any] | None, columns: Sequence[str]) -> list[str]:
    found, interval = quality or {}, main_interval(quality)
    approval = found.get("approval")
    special = {
        "APPROVAL": "-" if approval is None else f"{approval:.1%}",
        "95 %": "-" if interval is None else f"{_figure(interval.low)} to {_figure(interval.high)}",
    }
    return [special.get(name) or _figure(found.get(_MEASURES[name])) for name in columns]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}"


def _outcomes(labels: Mapping[str, int]) -> Table:
    counts = Table(key("LABELS"), number("NUMBER"))
    for outcome, count in labels.items():
        if count:
            counts.add_row(outcome, f"{count:,}")
    return counts


def _basis(found: Mapping[str, Any]) -> Iterator[str]:
    coverage, delays = found["coverage"], found["delay_seconds"]
    share = "-" if coverage["share"] is None else f"{coverage['share']:.1%}"
    yield f"{coverage['labelled']:,} of {coverage['predictions']:,} predictions have a label ({share})"
    if delays is not None:
        days = (f"{delays[part] / 86_400:.1f}" for part in ("p50", "p90", "longest"))
        yield "delay in days: p50 {}, p90 {}, longest {}".format(*days)
    yield from _selection(found)


def _selection(found: Mapping[str, Any]) -> Iterator[str]:
    coverage = found["coverage"]
    if found["weighted"]:
        yield "labels are weighted by one over the probability with which their requests were chosen"
        return
    if coverage["weighted"]:
        some = f"{coverage['weighted']:,} of {coverage['labelled']:,} labels"
        yield f"{some} have a selection probability: as not all have one, none is weighted"
    if coverage["selective"]:
        yield (
            f"labels are selective: {coverage['top']:.0%} of the highest tenth of scores have one and"
            f" {coverage['rest']:.0%} of the rest, so the measures hold for labelled requests only"
        )


def _skipped(found: Mapping[str, Any]) -> Iterator[str]:
    if skipped := sum(found["captures_skipped"].values()) if found.get("captures_skipped") else 0:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in found["captures_skipped"].items())
        yield f"{skipped:,} captures were not used: {reasons}"
