"""The evidence of a rollout over its time, as a report with plots. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from tidegate.cli.plot_shapes import CurvePlot
from tidegate.cli.report_files import Report, ReportTable
from tidegate.domain.assurance import Assurance, HarmResult
from tidegate.domain.decoding import prepare_type
from tidegate.domain.evidence import Measurement
from tidegate.domain.traffic import WHOLE
from tidegate.features.evidence.assurance import HARM_HEADS, harm_cells
from tidegate.features.evidence.measures import measured_cells
from tidegate.spec.unit_texts import percent_text

LEAST_TOP = 1.2
"""So that the threshold is below the upper edge."""
MOST_TOP = 3.0
"""Evidence beyond it is drawn there: how far beyond a failure is of no use."""
SIDES = ("old", "new")


def make_report(told: Mapping[str, Any]) -> Report:
    """``told``: the timeline as the server tells it."""
    lines = [f"{told['new']} compared with {told['old']}, stage {told['stage']}"]
    lines.append(f"a failure {_consequence(told['action'])}")
    if told["deadline"] is not None:
        lines.append(f"the stage waits for evidence until {_moment(told['deadline'])}")
    if told["ended"] is not None:
        lines.append(f"the rollout ended at {_moment(told['ended'])}: {told['outcome']}")
    return Report(
        f"Evidence of {told['endpoint']}",
        f"Verdict: {told['finding']}: {told['reason']}",
        lines,
        [_table(told), *_measured(told), *_harms(told)],
        list(_plots(told)) if told["at"] else [],
    )


def _consequence(action: str | None) -> str:
    said = {"rollback": "rolls back", "gate": "holds the stage for a person", "report": "is reported only"}
    return "decides nothing: the rollout's settings do not ask for it" if action is None else said[action]


def _moment(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _table(told: Mapping[str, Any]) -> ReportTable:
    rows = [
        (
            one["comparison"],
            one["variant"],
            one["finding"],
            one["test"],
            f"{one['evidence'][-1]:.2f}",
            *(_share(one[side]) for side in SIDES),
        )
        for one in told["comparisons"]
    ]
    heads = ("compared", "variant", "finding", "test", "evidence of 1", "old", "new")
    return ReportTable("Findings", heads, rows)


def _measured(told: Mapping[str, Any]) -> Iterator[ReportTable]:
    """Each test with its bounds."""
    rows = [
        (one["comparison"], one["variant"], *measured_cells(msgspec.convert(each, prepare_type(Measurement))))
        for one in told["comparisons"]
        for each in one["measurements"]
    ]
    if rows:
        heads = ("compared", "variant", "test", "finding", "difference", "bounds", "tolerance", "in stage")
        title = f"Each test: how much worse the new version is, with bounds ({told['level']:.0%} at all looks)"
        yield ReportTable(title, heads, rows)


def _harms(told: Mapping[str, Any]) -> Iterator[ReportTable]:
    """Each harm that an assurance names."""
    if told.get("harms"):
        config = msgspec.convert(told["assure"], prepare_type(Assurance))
        rows = [harm_cells(msgspec.convert(one, prepare_type(HarmResult)), config) for one in told["harms"]]
        yield ReportTable(
            f"Ruled out before {percent_text(config.before / WHOLE)} of the traffic", HARM_HEADS, rows
        )


def _share(line: Mapping[str, Any] | None) -> str:
    if line is None or line["rates"][-1] is None:
        return "-"
    low, high = line["bounds"][-1]
    return f"{line['rates'][-1]:.2%} ({low:.2%} to {high:.2%})"


def _plots(told: Mapping[str, Any]) -> Iterator[CurvePlot]:
    size, unit = _unit(told)
    since = told["since"]
    across = [(at - since) / size for at in told["at"]]
    marks = [((one["at"] - since) / size, f"stage {one['stage']}") for one in told["stages"][1:]]
    for second, name in ((told["deadline"], "deadline"), (told["ended"], str(told["outcome"]))):
        if second is not None and second >= since:
            marks.append(((second - since) / size, name))
    largest = max(value for one in told["comparisons"] for value in one["evidence"])
    x = f"{unit} since the comparison began"
    curves = [
        (f"{one['comparison']} of {one['variant']}", [(0.0, 0.0), *zip(across, one["evidence"], strict=True)])
        for one in told["comparisons"]
    ]
    top = min(max(LEAST_TOP, 1.05 * largest), MOST_TOP)
    levels = [(told["threshold"], f"fails from here on; now: {told['finding']}")]
    yield CurvePlot("Evidence of a difference beyond the tolerance", x, "evidence", curves, top, marks, levels)
    for one in told["comparisons"]:
        if any(one[side] is not None and _has_requests(one[side]) for side in SIDES):
            yield _rates(one, across, x, marks, told["level"])


def _has_requests(line: Mapping[str, Any]) -> bool:
    """Whether a version had a request at any moment."""
    return any(rate is not None for rate in line["rates"])


def _unit(told: Mapping[str, Any]) -> tuple[float, str]:
    span = told["at"][-1] - told["since"]
    return (1.0, "seconds") if span < 300 else (60.0, "minutes") if span < 3 * 3600 else (3600.0, "hours")


def _rates(
    one: Mapping[str, Any], across: Sequence[float], x: str, marks: Sequence[tuple[float, str]], level: float
) -> CurvePlot:
    """Both versions' rates so far, with their bounds."""
    curves, bands = [], []
    for place, side in enumerate(SIDES):
        known = [
            (at, 100 * rate, 100 * bounds[0], 100 * bounds[1])
            for at, rate, bounds in zip(across, one[side]["rates"], one[side]["bounds"], strict=True)
            if rate is not None
        ]
        curves.append((side, [(at, rate) for at, rate, _, _ in known]))
        if known:
            bands.append((place, [(at, low, high) for at, _, low, high in known]))
    rates = [rate for _, points in curves for _, rate in points]
    ends = [spans[-1][2] for _, spans in bands]
    top = min(100.0, 1.3 * max([*rates, *ends], default=1.0) or 1.0)
    title = f"{one['comparison']} of {one['variant']}: rates so far, with bounds ({level:.0%} at all looks)"
    return CurvePlot(title, x, "percent of the requests", curves, top, marks, (), bands)
