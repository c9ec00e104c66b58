"""Judges what changed between two versions, and says it as a document. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from tidegate.domain.evidence import PairedTolerance
from tidegate.features.evidence.replay.labelled import LabelledStatistics, compare_labelled
from tidegate.features.evidence.replay.paired import MovementStep, PairedStatistics, choose_step, compare_pairs
from tidegate.features.evidence.replay.tolerances import STATISTICS, Tolerance
from tidegate.rows.profile import Row

OTHERS = "(others)"
"""Rows of slices that are too small to be judged by themselves."""
UNNAMED = "(no value)"
MOST_CHANGED = 20
LABELLED = ("auc", "precision", "calibration", "error")
"""Statistics that need labels."""


class ComparisonVerdict(StrEnum):
    PASS = "pass"
    HARM = "harm"
    """Something changed by more than its tolerance."""
    UNKNOWN = "unknown"
    """It cannot be said; never a pass."""


@dataclass(frozen=True)
class ComparisonTerms:
    """The terms of a comparison. ``fewest_rows``: of a comparison and of a slice; ``fewest_labels``: of each class,
    or of labels that are amounts. ``step``: see ``paired.choose_step``."""

    tolerances: Mapping[str, Tolerance]
    asked: frozenset[str] = frozenset()
    """Statistics whose tolerance somebody gave: what cannot be said of them is no pass."""
    fewest_rows: int = 100
    fewest_labels: int = 100
    step: float | None = None
    declared: frozenset[str] = frozenset()
    """Statistics about which somebody said anything; the others may be learned."""


@dataclass(frozen=True)
class ScoredRows:
    """Scores of both versions, row by row, with what is known of the rows. ``slices``: None without ``--by``."""

    old: Sequence[float]
    new: Sequence[float]
    labels: Sequence[float | None]
    rows: Sequence[Row]
    slices: Sequence[str | None] | None = None
    labelled: bool = False
    """Whether labels were asked for."""


@dataclass(frozen=True)
class StatisticFinding:
    """The finding on one statistic. ``value``: what is compared with the tolerance; None: it cannot be said, for
    ``reason``, which of a pass is a note."""

    statistic: str
    slice: str | None
    value: float | None
    tolerance: Tolerance
    verdict: ComparisonVerdict
    reason: str


@dataclass(frozen=True)
class ChangedRow:
    """A row whose score changed. ``number`` counts rows from 1."""

    number: int
    old: float
    new: float
    row: Row


@dataclass(frozen=True)
class VersionComparison:
    verdict: ComparisonVerdict
    reasons: tuple[str, ...]
    """Why it is not a pass."""
    overall: PairedStatistics | None = None
    slices: Mapping[str, PairedStatistics] = field(default_factory=dict)
    labelled: LabelledStatistics | None = None
    findings: tuple[StatisticFinding, ...] = ()
    changed: tuple[ChangedRow, ...] = ()
    learned: PairedTolerance | None = None
    """What the honest versions allow in a rollout that compares pairs."""

    def document(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        return {
            "verdict": str(self.verdict),
            "reasons": list(self.reasons),
            "overall": None if self.overall is None else asdict(self.overall),
            "slices": {name: asdict(one) for name, one in self.slices.items()},
            "labelled": None if self.labelled is None else asdict(self.labelled),
            "findings": [asdict(one) for one in self.findings],
            "changed_most": [asdict(one) for one in self.changed],
            "tolerance_of_pairs": None if self.learned is None else asdict(self.learned),
        }


def doubt(found: VersionComparison, reason: str) -> VersionComparison:
    """Add a reason why the rows may not be the right ones: the comparison is no longer a pass."""
    verdict = ComparisonVerdict.UNKNOWN if found.verdict is ComparisonVerdict.PASS else found.verdict
    return replace(found, verdict=verdict, reasons=(*found.reasons, reason))


def cannot_compare(reason: str) -> VersionComparison:
    return VersionComparison(ComparisonVerdict.UNKNOWN, (reason,))


def compare_versions(answers: ScoredRows, terms: ComparisonTerms) -> VersionComparison:
    """Compare the answers and judge the differences."""
    old, new = answers.old, answers.new
    if len(old) != len(new):
        return cannot_compare(f"the old version scored {len(old):,} rows and the new one {len(new):,}")
    if len(old) < max(1, terms.fewest_rows):
        return cannot_compare(f"{len(old):,} rows are too few: at least {terms.fewest_rows:,} are needed")
    step = choose_step(old, new, terms.step)
    overall = compare_pairs(old, new, step)
    slices = _compare_slices(answers, step, terms.fewest_rows)
    labelled = compare_labelled(old, new, answers.labels) if answers.labelled else None
    by_labels = _judge_labelled(labelled, terms) if answers.labelled else []
    paired = [_clear_order(one, by_labels, terms) for one in _judge_paired(overall, terms)]
    findings = (*paired, *_judge_slices(slices, terms), *by_labels)
    verdict, reasons = _conclude(findings)
    changed = _find_most_changed(answers, step)
    return VersionComparison(verdict, reasons, overall, slices, labelled, findings, changed)


def _conclude(findings: Sequence[StatisticFinding]) -> tuple[ComparisonVerdict, tuple[str, ...]]:
    """Conclude the verdict: harm outweighs what cannot be said, which outweighs a pass."""
    seen = {one.verdict for one in findings}
    reasons = tuple(
        one.reason
        for kind in (ComparisonVerdict.HARM, ComparisonVerdict.UNKNOWN)
        for one in findings
        if one.verdict is kind
    )
    for kind in (ComparisonVerdict.HARM, ComparisonVerdict.UNKNOWN):
        if kind in seen:
            return kind, reasons
    if not findings:
        return ComparisonVerdict.UNKNOWN, ("no statistic has a tolerance, so nothing is judged",)
    return ComparisonVerdict.PASS, ()


def _compare_slices(answers: ScoredRows, step: MovementStep, fewest: int) -> dict[str, PairedStatistics]:
    """Compare each slice, the largest first. Small slices are taken together."""
    if answers.slices is None:
        return {}
    places: dict[str, list[int]] = {}
    for place, name in enumerate(answers.slices):
        places.setdefault(UNNAMED if name is None else name, []).append(place)
    large = {name: found for name, found in places.items() if len(found) >= fewest}
    rest = sorted(place for name, found in places.items() if name not in large for place in found)
    ordered = sorted(large.items(), key=lambda one: (-len(one[1]), one[0]))
    if rest:
        ordered.append((OTHERS if OTHERS not in large else f"{OTHERS} ", rest))
    return {
        name: compare_pairs([answers.old[one] for one in found], [answers.new[one] for one in found], step)
        for name, found in ordered
    }


def _find_most_changed(answers: ScoredRows, step: MovementStep) -> tuple[ChangedRow, ...]:
    def size(place: int) -> float:
        return abs(step.distance(answers.old[place], answers.new[place]))

    order = sorted(range(len(answers.old)), key=lambda place: (-size(place), place))[:MOST_CHANGED]
    return tuple(
        ChangedRow(place + 1, answers.old[place], answers.new[place], answers.rows[place])
        for place in order
        if answers.old[place] != answers.new[place]
    )


# --- judging ---


def _judge_paired(found: PairedStatistics, terms: ComparisonTerms) -> list[StatisticFinding]:
    rank = None if found.rank_correlation is None else 1 - found.rank_correlation
    values = {"mean": abs(found.bias), "rank": rank, "moved": found.moved, "top": found.top_change}
    why = {"rank": "one version gives every row the same score"}
    return [
        _judge(name, None, value, terms, base=found.mean_old, why=why.get(name, ""))
        for name, value in values.items()
        if name in terms.tolerances
    ]


def _clear_order(
    found: StatisticFinding, by_labels: Sequence[StatisticFinding], terms: ComparisonTerms
) -> StatisticFinding:
    """Turn harm by another order into a pass if labels all pass. Another order is harm where nothing else says how
    good it is. Labels that all pass do, so it is noted then, unless somebody gave it a tolerance."""
    cleared = bool(by_labels) and all(one.verdict is ComparisonVerdict.PASS for one in by_labels)
    if (
        found.statistic != "rank"
        or "rank" in terms.declared
        or not cleared
        or found.verdict is not ComparisonVerdict.HARM
    ):
        return found
    return replace(found, verdict=ComparisonVerdict.PASS, reason=f"{found.reason}; labels show no loss by it")


def _judge_slices(slices: Mapping[str, PairedStatistics], terms: ComparisonTerms) -> list[StatisticFinding]:
    """Judge each slice. A rest that is too small is judged as part of the whole alone."""
    return [
        _judge("slice", name, abs(found.bias), terms, base=found.mean_old)
        for name, found in slices.items()
        if "slice" in terms.tolerances and found.rows >= terms.fewest_rows
    ]


def _judge_labelled(found: LabelledStatistics | None, terms: ComparisonTerms) -> list[StatisticFinding]:
    short = _too_few(found, terms.fewest_labels)
    values, base = _labelled_values(found)
    values |= {name: None for name in LABELLED if name in terms.asked and name not in values}
    why = short or "it has no value for these labels and scores"
    return [
        _judge(name, None, None if short else value, terms, base=base, why=why)
        for name, value in values.items()
        if name in terms.tolerances
    ]


def _labelled_values(found: LabelledStatistics | None) -> tuple[dict[str, float | None], float]:
    """Return by how much the new version is worse against the labels, by statistic, and the old value that ``error``
    is relative to. A calibration error is left out where neither version's scores are probabilities."""
    if found is not None and found.numeric is not None:
        before, after = found.numeric
        return {"error": after.mean_absolute_error - before.mean_absolute_error}, before.mean_absolute_error
    if found is None or found.binary is None:
        return {"auc": None}, 0.0
    one, two = found.binary
    values = {
        "auc": _less(one.auc, two.auc),
        "precision": _less(one.average_precision, two.average_precision),
    }
    if one.calibration_error is not None or two.calibration_error is not None:
        values["calibration"] = _less(two.calibration_error, one.calibration_error)
    return values, 0.0


def _less(one: float | None, two: float | None) -> float | None:
    return None if one is None or two is None else one - two


def _too_few(found: LabelledStatistics | None, fewest: int) -> str:
    """Return why labels decide nothing; empty if they do."""
    if found is None:
        return "no row has a label"
    if found.positives is None:
        return "" if found.rows >= fewest else f"{found.rows:,} labels are too few: {fewest:,} are needed"
    negatives = found.rows - found.positives
    if min(found.positives, negatives) >= fewest:
        return ""
    return (
        f"{found.positives:,} labels of 1 and {negatives:,} of 0 are too few: {fewest:,} of each class are needed"
    )


def _judge(
    name: str, slice: str | None, value: float | None, terms: ComparisonTerms, *, base: float, why: str = ""
) -> StatisticFinding:
    """Judge one statistic. ``base``: the old version's value, for a tolerance that is relative to it."""
    tolerance, what = terms.tolerances[name], STATISTICS[name]
    if slice is not None:
        what = f"{what} ({slice})"
    if value is not None and tolerance.relative:
        share = value / abs(base) if base else 0.0 if value == 0 else math.inf
        value, why = (share, why) if math.isfinite(share) else (None, "the old one is 0")
    if value is None:
        reason = f"{what}: it cannot be said: {why or 'there is no value'}"
        return StatisticFinding(name, slice, None, tolerance, ComparisonVerdict.UNKNOWN, reason)
    if value > tolerance.limit:
        shown = Tolerance(value, tolerance.relative)
        reason = f"{what}: {shown} is more than {tolerance}"
        return StatisticFinding(name, slice, value, tolerance, ComparisonVerdict.HARM, reason)
    return StatisticFinding(name, slice, value, tolerance, ComparisonVerdict.PASS, "")
