"""The evidence of an endpoint's last rollout: each comparison against its threshold, over time. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tidegate.console.endpoint_rows import BAD, WARN
from tidegate.console.figures import format_percent
from tidegate.console.plots import Band, Box, LinePlot, PlotMark, Points
from tidegate.domain.endpoint import Rollout
from tidegate.domain.evidence import EvidenceRecord, Finding
from tidegate.features.evidence.rows import describe_action, evidence_rows, harm_rows, name_finding

REPLAYED: Mapping[Finding, tuple[str, str]] = {
    Finding.PASS: ("nothing worse found", ""),
    Finding.FAIL: ("worse", BAD),
    Finding.NO_DATA: ("not enough evidence", WARN),
    Finding.UNDECIDED: ("not known", WARN),
}
"""Words and tone of what labelled rows said: that nothing was found is no proof."""
LEAST_TOP, MOST_TOP = 1.2, 3.0
"""Upper edge of the plot of evidence: the threshold is in it, and how far a failure is beyond it is of no use."""
SIDES = ("old", "new")


def compared_page(record: EvidenceRecord, rollout: Rollout | None, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of the page. ``told``: the timeline."""
    words, tone = name_finding(record.verdict.finding, record.verdict.rising)
    config = None if rollout is None else rollout.plan.evidence
    return {
        "old": record.old_config,
        "new": record.new_config,
        "finding": words,
        "tone": tone,
        "reason": record.verdict.reason,
        "stage": told["stage"],
        "decides": describe_action(config),
        "rate": format_percent(record.config.false_rollback_rate),
        "minimum": record.config.minimum,
        "deadline": _iso(told["deadline"]),
        "bake_until": _iso(told["bake_until"]),
        "ended": _iso(told["ended"]),
        "outcome": told["outcome"],
        "late": record.late,
        "unusable": record.unusable,
        "rows": evidence_rows(record),
        "harms": harm_rows(record),
        "plots": list(_plots(told)),
    }


def _iso(second: float | None) -> str | None:
    return None if second is None else datetime.fromtimestamp(second, UTC).isoformat()


def replay_rows(replay: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the findings of the replay of labelled rows before the rollout, by variant."""
    return [_replay_row(variant, found) for variant, found in sorted(replay["results"].items())]


def _replay_row(variant: str, found: Mapping[str, Any]) -> dict[str, Any]:
    words, tone = REPLAYED[Finding(found["finding"])]
    said = {"finding": words, "tone": tone, "reason": found["reason"]}
    return {"variant": variant, "rows": found["rows"], **said}


def _plots(told: Mapping[str, Any]) -> Iterator[LinePlot]:
    if not told["at"]:
        return
    since, deadline = told["since"], told["deadline"]
    last = max(told["at"][-1], deadline if deadline is not None and told["ended"] is None else 0)
    yield _evidence_plot(told, since, last)
    for one in told["comparisons"]:
        if one["old"] is not None and one["new"] is not None:
            yield _rate_plot(told, one, since, last)


def _marks(told: Mapping[str, Any], box: Box) -> tuple[PlotMark, ...]:
    named = [(one["at"], f"stage {one['stage']}") for one in told["stages"][1:]]
    named += [(told["deadline"], "deadline for evidence"), (told["ended"], f"ended: {told['outcome']}")]
    return tuple(PlotMark(box.x(at), name) for at, name in named if at is not None and at >= told["since"])


def _evidence_plot(told: Mapping[str, Any], since: float, last: float) -> LinePlot:
    largest = max((value for one in told["comparisons"] for value in one["evidence"]), default=0.0)
    box = Box(since, last, min(max(LEAST_TOP, 1.05 * largest), MOST_TOP))
    lines = [
        box.line(_name(one), place, [(since, 0.0), *zip(told["at"], one["evidence"], strict=True)])
        for place, one in enumerate(told["comparisons"])
    ]
    said = ", ".join(f"{_name(one)} {one['evidence'][-1]:.2f} at last" for one in told["comparisons"])
    threshold = PlotMark(box.y(told["threshold"]), "1: the difference is certain, and beyond the tolerance")
    return LinePlot(
        "Evidence that the new version is worse",
        f"{box.top:.2g}",
        str(_iso(since)),
        str(_iso(last)),
        said,
        tuple(lines),
        (threshold,),
        _marks(told, box),
    )


def _name(one: Mapping[str, Any]) -> str:
    return f"{one['comparison']}, {one['variant']}"


def _rate_plot(told: Mapping[str, Any], one: Mapping[str, Any], since: float, last: float) -> LinePlot:
    known: dict[str, tuple[Points, Band]] = {side: _known_rates(told["at"], one[side]) for side in SIDES}
    rates = [rate for points, _ in known.values() for _, rate in points]
    ends = [band[-1][2] for _, band in known.values() if band]
    box = Box(since, last, min(1.0, 1.3 * max([*rates, *ends], default=0.01)))
    lines = tuple(
        box.line(f"{side} version", place, points, band)
        for place, (side, (points, band)) in enumerate(known.items())
    )
    said = ", ".join(f"{side} {format_percent(points[-1][1])}" for side, (points, _) in known.items() if points)
    return LinePlot(
        f"{_name(one)}: rates so far, with bounds that hold at all looks together ({told['level']:.0%})",
        format_percent(box.top),
        str(_iso(since)),
        str(_iso(last)),
        said,
        lines,
        (),
        _marks(told, box),
    )


def _known_rates(at: Sequence[float], line: Mapping[str, Any]) -> tuple[Points, Band]:
    """Return the rates of one version, and their bounds, from its first request on."""
    both = [
        (second, rate, bounds)
        for second, rate, bounds in zip(at, line["rates"], line["bounds"], strict=True)
        if rate is not None
    ]
    return [(second, rate) for second, rate, _ in both], [(second, *bounds) for second, _, bounds in both]
