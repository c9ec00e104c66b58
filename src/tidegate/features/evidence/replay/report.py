"""Judges what changed between two versions, and says it as a document. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from tidegate.domain.evidence import PairedTolerance
from tidegate.domain.finding import Finding
from tidegate.domain.replay import ReplayConfig, ReplayStatistic
from tidegate.features.evidence.replay.labelled import LabelledStatistics, compare_labelled
from tidegate.features.evidence.replay.outputs import doubt_order
from tidegate.features.evidence.replay.paired import MovementStep, PairedStatistics, choose_step, compare_pairs
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.scored_rows import ScoredRows, group_slices
from tidegate.features.evidence.replay.tolerances import RELATIVE, STATISTICS, Tolerance
from tidegate.rows.profile import Row

MOST_CHANGED = 20
LABELLED = ("auc", "precision", "calibration", "loss", "error")
"""Statistics that need labels."""
FALSE_HARM = 0.01
"""Share of the versions that lose less than half of what is tolerated for which labels say harm."""
MOST_NAMED = 5
"""Outputs that are not compared of which a reason has the names."""
NO_BASE = "the old one is 0"
"""Why there is no percentage."""


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
    outputs: int = 1
    """How many outputs are compared, among which the rate of false harm is divided."""


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
    """Why it is not a pass, and which outputs are not compared."""
    overall: PairedStatistics | None = None
    slices: Mapping[str, PairedStatistics] = field(default_factory=dict)
    labelled: LabelledStatistics | None = None
    findings: tuple[StatisticFinding, ...] = ()
    changed: tuple[ChangedRow, ...] = ()
    learned: PairedTolerance | None = None
    """What the honest versions allow in a rollout that compares pairs."""
    replayed: tuple[ReplayStatistic, ...] = ()
    """What labels say of all rows and of each slice, as a replay judges it."""
    outputs: Mapping[str, "VersionComparison"] = field(default_factory=dict)
    """The comparison of each output, where the versions answer more than one number."""

    def document(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        return {
            "verdict": str(self.verdict),
            "reasons": list(self.reasons),
            "overall": None if self.overall is None else asdict(self.overall),
            "slices": {name: asdict(one) for name, one in self.slices.items()},
            "labelled": None if self.labelled is None else asdict(self.labelled),
            "replayed": [_describe_statistic(one) for one in self.replayed],
            "findings": [asdict(one) for one in self.findings],
            "changed_most": [asdict(one) for one in self.changed],
            "tolerance_of_pairs": None if self.learned is None else asdict(self.learned),
            "outputs": {name: one.document() for name, one in self.outputs.items()},
        }


def _describe_statistic(one: ReplayStatistic) -> dict[str, Any]:
    """Describe a statistic as JSON data, which has no infinite numbers."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(one).items()
    }


def doubt(found: VersionComparison, reason: str) -> VersionComparison:
    """Add a reason why the rows may not be the right ones: the comparison is no longer a pass."""
    verdict = ComparisonVerdict.UNKNOWN if found.verdict is ComparisonVerdict.PASS else found.verdict
    return replace(found, verdict=verdict, reasons=(*found.reasons, reason))


def cannot_compare(reason: str) -> VersionComparison:
    return VersionComparison(ComparisonVerdict.UNKNOWN, (reason,))


def join_outputs(found: Mapping[str, VersionComparison], left_out: Sequence[str]) -> VersionComparison:
    """Join the comparisons of all outputs: the worst verdict is that of the version."""
    if list(found) == [""]:
        return found[""]
    seen = {one.verdict for one in found.values()}
    order = (ComparisonVerdict.HARM, ComparisonVerdict.UNKNOWN, ComparisonVerdict.PASS)
    reasons = [
        f"{name}: {reason}"
        for kind in order
        for name, one in found.items()
        if one.verdict is kind
        for reason in one.reasons
    ]
    if left_out:
        more = f" and {len(left_out) - MOST_NAMED:,} more" if len(left_out) > MOST_NAMED else ""
        reasons.append(f"{', '.join(left_out[:MOST_NAMED])}{more}: not compared")
    return VersionComparison(next(kind for kind in order if kind in seen), tuple(reasons), outputs=found)


def doubt_classes(found: VersionComparison) -> VersionComparison:
    """Doubt a comparison where the old version's numbers are not in the order of the labels' classes."""
    binary, labelled = (None, None) if found.labelled is None else (found.labelled.binary, found.labelled)
    if binary is None or labelled is None:
        return found
    reason = doubt_order(binary[0].auc, labelled.positives, labelled.rows)
    return replace(found, verdict=ComparisonVerdict.UNKNOWN, reasons=(reason,)) if reason else found


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
    replayed = _replay_labels(answers, labelled, terms)
    by_labels = _judge_labelled(labelled, terms, replayed) if answers.labelled else []
    by_labels += _judge_replayed(replayed, terms)
    paired = [_clear_order(one, by_labels, terms) for one in _judge_paired(overall, terms)]
    findings = (*paired, *_judge_slices(slices, terms), *by_labels)
    verdict, reasons = _conclude(findings)
    changed = _find_most_changed(answers, step)
    return VersionComparison(verdict, reasons, overall, slices, labelled, findings, changed, replayed=replayed)


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
    return {
        name: compare_pairs([answers.old[one] for one in found], [answers.new[one] for one in found], step)
        for name, found in group_slices(answers.slices, fewest)
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
        _judge(name, None, value, terms, base=found.size_old, why=why.get(name, ""))
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
        _judge("slice", name, abs(found.bias), terms, base=found.size_old)
        for name, found in slices.items()
        if "slice" in terms.tolerances and found.rows >= terms.fewest_rows
    ]


def _replay_labels(
    answers: ScoredRows, labelled: LabelledStatistics | None, terms: ComparisonTerms
) -> tuple[ReplayStatistic, ...]:
    """Return what labels say of all rows and of each slice, judged by bounds as in a replay. A statistic without a
    tolerance has an infinite one."""
    if labelled is None or _too_few(labelled, terms.fewest_labels):
        return ()
    limits = {name: math.inf if (one := terms.tolerances.get(name)) is None else one.limit for name in LABELLED}
    if (
        (amount := terms.tolerances.get("error")) is not None
        and not amount.relative
        and labelled.numeric is not None
    ):
        before = labelled.numeric[0].mean_absolute_error
        limits["error"] = limits["error"] / before if before else math.inf
    config = ReplayConfig(
        rows="",
        auc=limits["auc"],
        calibration=limits["calibration"],
        error=limits["error" if labelled.binary is None else "loss"],
        mean=math.inf,
        slice=math.inf,
        least_labels=terms.fewest_labels,
    )
    found = judge_replay(answers, config, FALSE_HARM / terms.outputs, terms.fewest_rows).statistics
    return tuple(one for one in found if one.name in LABELLED and one.finding is not Finding.NO_DATA)


def _clear_chance(
    found: StatisticFinding, replayed: Sequence[ReplayStatistic], terms: ComparisonTerms
) -> StatisticFinding:
    """Turn harm that may be chance into a pass with a note, unless somebody gave the statistic a tolerance."""
    certain = {one.name: one.finding is Finding.FAIL for one in replayed if not one.slice}
    if (
        found.verdict is not ComparisonVerdict.HARM
        or found.statistic in terms.declared
        or certain.get(found.statistic, True)
    ):
        return found
    return replace(found, verdict=ComparisonVerdict.PASS, reason=f"{found.reason}, which may be chance")


def _judge_replayed(found: Sequence[ReplayStatistic], terms: ComparisonTerms) -> Iterator[StatisticFinding]:
    """Judge slices, which differ more by chance than all rows do, and the log loss."""
    for one in found:
        if one.name in terms.tolerances and (one.slice or one.name == "loss"):
            verdict = ComparisonVerdict.HARM if one.finding is Finding.FAIL else ComparisonVerdict.PASS
            tolerance = Tolerance(one.tolerance, one.name in RELATIVE)
            if one.worse is not None and math.isinf(one.worse):
                what = STATISTICS[one.name] + (f" ({one.slice})" if one.slice else "")
                yield _find_nothing(one.name, one.slice or None, tolerance, what, NO_BASE)
                continue
            yield StatisticFinding(one.name, one.slice or None, one.worse, tolerance, verdict, one.reason)


def _judge_labelled(
    found: LabelledStatistics | None, terms: ComparisonTerms, replayed: Sequence[ReplayStatistic]
) -> list[StatisticFinding]:
    """Judge the labels of all rows, except what ``replayed`` has."""
    short = _too_few(found, terms.fewest_labels)
    values, base = _labelled_values(found)
    others = {"loss" for one in replayed if one.name == "loss"} | values.keys()
    values |= {name: None for name in LABELLED if name in terms.asked and name not in others}
    why = short or "it has no value for these labels and scores"
    return [
        _clear_chance(_judge(name, None, None if short else value, terms, base=base, why=why), replayed, terms)
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
        value, why = (share, why) if math.isfinite(share) else (None, NO_BASE)
    if value is None:
        return _find_nothing(name, slice, tolerance, what, why or "there is no value")
    if value > tolerance.limit:
        shown = Tolerance(value, tolerance.relative)
        reason = f"{what}: {shown} is more than {tolerance}"
        return StatisticFinding(name, slice, value, tolerance, ComparisonVerdict.HARM, reason)
    return StatisticFinding(name, slice, value, tolerance, ComparisonVerdict.PASS, "")


def _find_nothing(name: str, slice: str | None, tolerance: Tolerance, what: str, why: str) -> StatisticFinding:
    reason = f"{what}: it cannot be said: {why}"
    return StatisticFinding(name, slice, None, tolerance, ComparisonVerdict.UNKNOWN, reason)
