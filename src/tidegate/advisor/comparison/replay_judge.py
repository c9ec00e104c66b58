"""Judges two versions by labelled rows that both answered: is the new one worse by more than is tolerated? Pure.

No statistic is judged by its value alone: with few rows a value exceeds its tolerance by chance. Its lower bound must
exceed a part of the tolerance as well (``PROVEN``). The bounds hold together, since the rate of false rollbacks is
divided among all statistics and slices (Bonferroni)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import compress
from statistics import NormalDist

from tidegate.advisor.comparison.labelled import (
    LabelledStatistics,
    compare_labelled,
    error_of_auc_change,
    leave_out_unseen,
)
from tidegate.advisor.comparison.report import OTHERS, UNNAMED, Answers
from tidegate.advisor.quality.measures import BINS
from tidegate.domain.finding import Finding
from tidegate.domain.replay import ReplayConfig, ReplayResult, ReplayStatistic

UNSEEN = "labels of a class never seen"
FEWEST_ROWS = 100
"""Of a slice that is judged by itself."""
PARTS = 20
"""Parts of the rows that are left out one after the other, for the error of a calibration error (jackknife)."""
MOST_SLICES = 100
PROVEN = {"auc": 0.5, "calibration": 0.5, "error": 0.5, "mean": 1.0, "slice": 1.0}
"""Part of the tolerance that a statistic must exceed for certain. Honest versions lose less than half of what is
tolerated of the first three, so the rate of false rollbacks holds for them; between half and whole, either may be
said. Of means honest versions change nearly as much as is tolerated."""
WORDS = {
    "auc": "AUC",
    "calibration": "calibration error",
    "error": "mean absolute error",
    "mean": "mean score",
    "slice": "mean score of",
}


def judge_replay(answers: Answers, config: ReplayConfig, false_rollback_rate: float) -> ReplayResult:
    """``answers`` of at least one row."""
    labels, unseen = leave_out_unseen(answers.labels)
    answers, skipped = replace(answers, labels=labels), {UNSEEN: unseen} if unseen else {}
    labelled = compare_labelled(answers.old, answers.new, answers.labels)
    if lack := _find_lack(labelled, config):
        known = 0 if labelled is None else labelled.rows
        positives = None if labelled is None else labelled.positives
        return ReplayResult(Finding.NO_DATA, lack, len(answers.old), known, positives, skipped=skipped)
    assert labelled is not None  # or it would lack
    slices = dict(_slices(answers))
    tests = (2 if labelled.binary else 1) + 1 + len(slices)
    surely = NormalDist().inv_cdf(1 - false_rollback_rate / tests)
    both_sides = NormalDist().inv_cdf(1 - false_rollback_rate / tests / 2)
    found = (
        *_judge_labels(answers, labelled, config, surely),
        _judge_mean("mean", "", answers.old, answers.new, config.mean, both_sides),
        *(_judge_mean("slice", name, *sides, config.slice, both_sides) for name, sides in slices.items()),
    )
    finding, reason = _conclude(found)
    return ReplayResult(finding, reason, len(answers.old), labelled.rows, labelled.positives, found, skipped)


def _find_lack(labelled: LabelledStatistics | None, config: ReplayConfig) -> str:
    """Why the labels decide nothing; empty if they do."""
    if labelled is None:
        return "no row has a label"
    if labelled.positives is None:
        few = labelled.rows < config.least_labels
        return f"{labelled.rows:,} labels are too few: {config.least_labels:,} are needed" if few else ""
    negatives = labelled.rows - labelled.positives
    if min(labelled.positives, negatives) >= config.least_labels:
        return ""
    return (
        f"{labelled.positives:,} labels of 1 and {negatives:,} of 0 are too few:"
        f" {config.least_labels:,} of each are needed"
    )


def _conclude(found: Sequence[ReplayStatistic]) -> tuple[Finding, str]:
    for kind in (Finding.FAIL, Finding.NO_DATA):
        reasons = [one.reason for one in found if one.finding is kind]
        if reasons:
            return kind, "; ".join(reasons)
    return Finding.PASS, "nothing is worse by more than its tolerance for certain"


def _slices(answers: Answers) -> Iterator[tuple[str, tuple[list[float], list[float]]]]:
    """Scores of both versions in each slice that is large enough, largest first; the others together."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(answers.slices or ()):
        places.setdefault(UNNAMED if name is None else name, []).append(place)
    ordered = sorted(places.items(), key=lambda one: (-len(one[1]), one[0]))
    large = [one for one in ordered if len(one[1]) >= FEWEST_ROWS][:MOST_SLICES]
    named = {name for name, _ in large}
    rest = [place for name, found in ordered if name not in named for place in found]
    for name, found in [*large, *([(OTHERS, rest)] if len(rest) >= FEWEST_ROWS else [])]:
        yield name, ([answers.old[one] for one in found], [answers.new[one] for one in found])


def _judge_labels(
    answers: Answers, labelled: LabelledStatistics, config: ReplayConfig, surely: float
) -> Iterator[ReplayStatistic]:
    known = [label is not None for label in answers.labels]
    old, new = list(compress(answers.old, known)), list(compress(answers.new, known))
    truth = [float(label) for label in answers.labels if label is not None]
    if labelled.binary is None:
        yield _judge_error(old, new, truth, config.error, surely)
        return
    before, after = labelled.binary
    assert before.auc is not None and after.auc is not None  # there are both classes
    lost = before.auc - after.auc
    bound = lost - surely * error_of_auc_change(old, new, truth)
    yield _judge("auc", "", before.auc, after.auc, lost, bound, config.auc)
    if before.calibration_error is None and after.calibration_error is None:
        return  # neither version's scores are probabilities
    if before.calibration_error is None or after.calibration_error is None:
        reason = "calibration error: the scores of one version are no probabilities"
        sides = (before.calibration_error, after.calibration_error)
        yield ReplayStatistic("calibration", "", *sides, None, None, config.calibration, Finding.NO_DATA, reason)
        return
    gained = after.calibration_error - before.calibration_error
    bound = gained - surely * _error_of_calibration_gain(old, new, truth)
    yield _judge(
        "calibration",
        "",
        before.calibration_error,
        after.calibration_error,
        gained,
        bound,
        config.calibration,
    )


def _error_of_calibration_gain(old: Sequence[float], new: Sequence[float], truth: Sequence[float]) -> float:
    """Standard error, by what the gain is without each of some parts of the rows (jackknife)."""
    sums = [[[0.0] * BINS for _ in range(PARTS)] for _ in range(2)]
    """Scores minus labels, of each version, part and bin of its own scores."""
    sizes = [0] * PARTS
    for place, label in enumerate(truth):
        part = place % PARTS
        sizes[part] += 1
        for side, scores in enumerate((old, new)):
            sums[side][part][min(BINS - 1, int(scores[place] * BINS))] += scores[place] - label
    totals = [[math.fsum(part[bin] for part in of_side) for bin in range(BINS)] for of_side in sums]
    values = []
    for part in range(PARTS):
        errors = [
            math.fsum(abs(total - sums[side][part][bin]) for bin, total in enumerate(totals[side]))
            for side in (0, 1)
        ]
        values.append((errors[1] - errors[0]) / max(1, len(truth) - sizes[part]))
    middle = math.fsum(values) / PARTS
    return math.sqrt((PARTS - 1) / PARTS * math.fsum((value - middle) ** 2 for value in values))


def _judge_error(
    old: Sequence[float], new: Sequence[float], truth: Sequence[float], tolerance: float, surely: float
) -> ReplayStatistic:
    before = [abs(score - label) for score, label in zip(old, truth, strict=True)]
    after = [abs(score - label) for score, label in zip(new, truth, strict=True)]
    base = math.fsum(before) / len(before)
    worse, error = _mean_and_error([b - a for a, b in zip(before, after, strict=True)])
    if not base:
        base = 1.0 if worse == 0 else math.ulp(0.0)
    return _judge("error", "", base, base + worse, worse / base, (worse - surely * error) / base, tolerance)


def _judge_mean(
    name: str, slice: str, old: Sequence[float], new: Sequence[float], tolerance: float, surely: float
) -> ReplayStatistic:
    """Relative to the mean size of the old scores, which is their mean where none is negative."""
    before = math.fsum(old) / len(old)
    change, error = _mean_and_error([b - a for a, b in zip(old, new, strict=True)])
    size = math.fsum(map(abs, old)) / len(old)
    if not size:
        unknown = f"{WORDS[name]} {slice}".rstrip() + ": all old ones are 0"
        finding, reason = (Finding.NO_DATA, unknown) if any(new) else (Finding.PASS, "")
        return ReplayStatistic(name, slice, before, change, None, None, tolerance, finding, reason)
    worse, bound = abs(change) / size, (abs(change) - surely * error) / size
    return _judge(name, slice, before, before + change, worse, bound, tolerance)


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    middle = math.fsum(values) / len(values)
    squares = math.fsum((value - middle) ** 2 for value in values)
    return middle, math.sqrt(squares / max(1, len(values) - 1) / len(values))


def _judge(
    name: str, slice: str, old: float, new: float, worse: float, bound: float, tolerance: float
) -> ReplayStatistic:
    if worse <= tolerance or bound <= PROVEN[name] * tolerance:
        return ReplayStatistic(name, slice, old, new, worse, bound, tolerance, Finding.PASS)
    relative = name in ("mean", "slice", "error")
    shown = [f"{value:.1%}" if relative else f"{value:.4f}" for value in (worse, bound, tolerance)]
    what = f"{WORDS[name]} {slice}".rstrip()
    change = {"auc": "lost", "calibration": "gained", "error": "gained"}.get(name, "changed by")
    sides = f"({old:.4g} to {new:.4g})"
    reason = f"{what} {change} {shown[0]} {sides}, surely more than {shown[1]} (tolerance {shown[2]})"
    return ReplayStatistic(name, slice, old, new, worse, bound, tolerance, Finding.FAIL, reason)
