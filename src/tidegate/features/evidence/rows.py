"""Comparisons of versions against their thresholds, as rows of tables. Pure."""

from collections.abc import Mapping
from typing import Any

from tidegate.console.alarm_meters import meter
from tidegate.console.figures import format_percent
from tidegate.domain.evidence import (
    OF_PAIRS,
    ComparisonResult,
    EvidenceAction,
    EvidenceConfig,
    EvidenceRecord,
    Finding,
    Measurement,
    rolls_back,
)
from tidegate.features.evidence.assurance import harm_cells
from tidegate.features.evidence.measures import measured_cells
from tidegate.features.evidence.pairs import format_estimate

FINDINGS: Mapping[Finding, tuple[str, str]] = {
    Finding.PASS: ("not worse", "good"),
    Finding.FAIL: ("worse", "bad"),
    Finding.NO_DATA: ("too few requests", "warn"),
    Finding.UNDECIDED: ("not known yet", "warn"),
}
ACTIONS: Mapping[EvidenceAction, str] = {
    EvidenceAction.ROLLBACK: "At 1 the new version is rolled back.",
    EvidenceAction.GATE: "At 1 the stage holds until a person promotes or rolls back.",
    EvidenceAction.REPORT: "At 1 it is reported, and the rollout goes on.",
}


def describe_action(config: EvidenceConfig | None) -> str:
    """Describe what a rollout does with a difference between its versions; None: it has no ``evidence`` settings."""
    if config is None:
        return "It decides nothing here: the rollout's settings do not ask for it."
    gates = [str(one) for one in config.compare if not rolls_back(config, one)]
    if gates and config.action is EvidenceAction.ROLLBACK:
        alone = " and ".join(gates)
        return f"{ACTIONS[config.action]} If {alone} alone differ, the stage holds until a person decides."
    return ACTIONS[config.action]


def evidence_rows(record: EvidenceRecord) -> list[dict[str, Any]]:
    """Return a row for each comparison: the failing parts of both versions, and how much of the evidence that a
    failure needs has come together."""
    rows = []
    for one in record.verdict.results:
        old, old_hits, new, new_hits = one.counts
        words, tone = name_finding(one.finding, one.rising)
        rows.append(
            {
                "comparison": str(one.comparison),
                "variant": one.variant,
                "finding": words,
                "tone": tone,
                "old": f"{format_percent(old_hits / old if old else None)} of {old:,}",
                "new": f"{format_percent(new_hits / new if new else None)} of {new:,}",
                "meter": meter(max(0.0, one.evidence), 1.0),
                "evidence": f"{max(0.0, one.evidence):.2f}",
                "stage": "{:,} / {:,}".format(*one.stage_requests),
                "measured": [_measured_row(each) for each in one.measurements],
                **(_pairs_row(one) if one.comparison in OF_PAIRS else {}),
            }
        )
    return rows


def harm_rows(record: EvidenceRecord) -> list[dict[str, str]]:
    """Return a row for each harm that an assurance names; none if there is no assurance."""
    config = record.config.assure
    if config is None:
        return []
    names = ("harm", "variant", "known", "estimate", "bound", "count")
    return [
        {**dict(zip(names, harm_cells(one, config), strict=True)), "tone": "good" if one.excluded else "warn"}
        for one in record.verdict.harms
    ]


def name_finding(finding: Finding, rising: bool) -> tuple[str, str]:
    """Return a finding in words, with the tone."""
    words, tone = FINDINGS[finding]
    return ("may be worse" if rising and finding is Finding.UNDECIDED else words), tone


def _measured_row(one: Measurement) -> dict[str, str]:
    test, _, estimate, bounds, tolerance, count = measured_cells(one)
    words, tone = name_finding(one.finding, one.rising)
    said = {"test": test, "estimate": estimate, "bounds": bounds, "tolerance": tolerance, "count": count}
    return {**said, "finding": words, "tone": tone}


def _pairs_row(result: ComparisonResult) -> dict[str, str]:
    """Return the row of a comparison of pairs. It has one number, which says how much the new version differs."""
    return {
        "old": result.test or "-",
        "new": format_estimate(result.test, result.pairs),
        "stage": f"{result.stage_requests[0]:,} of {result.lost[0]:,}",
    }
