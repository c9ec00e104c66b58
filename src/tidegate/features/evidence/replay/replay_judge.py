"""Judges two versions by labelled rows that both answered: is the new one worse by more than is tolerated? Pure.

No statistic is judged by its value alone: with few rows a value exceeds its tolerance by chance. Its lower bound must
exceed a part of the tolerance as well (``PROVEN``). The bounds hold together, since the rate of false rollbacks is
divided among all statistics and slices (Bonferroni).

What labels say is judged of all rows and of each slice that has enough of them: AUC, calibration and log loss of
classes, the mean error of amounts. Errors may have a heavy tail, in which a few rows hide what happens to all others.
So the mean error is judged as it is and with the largest errors bounded (``TAIL``), and either is a failure."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

from tidegate.domain.finding import Finding
from tidegate.domain.replay import ReplayConfig, ReplayResult, ReplayStatistic
from tidegate.features.evidence.replay.labelled import (
    LabelledStatistics,
    compare_labelled,
    error_of_auc_change,
    leave_out_unseen,
)
from tidegate.features.evidence.replay.scored_rows import ScoredRows, group_slices
from tidegate.statistics.losses import log_loss
from tidegate.statistics.measures import BINS

UNSEEN = "labels of a class never seen"
FEWEST_ROWS = 100
"""Of a slice that is judged by itself."""
FEWEST_OF_CLASS = 20
"""Labels of each class of a slice whose labels are judged by themselves: of fewer the spread of an AUC is not
known."""
PARTS = 20
"""Parts of the rows that are left out one after the other, for the error of a calibration error (jackknife)."""
MOST_SLICES = 100
HIGHEST = 0.05
"""Part of the rows whose scores are the highest, for the recall."""
SLICED = 2.0
"""Times its tolerance by which labels may be worse in a slice: honest versions differ more in a part of the rows, of
which they learned less."""
TAIL = 10
"""Largest errors of the old version that count as much as the next one, and all errors of the new one that are larger
than that."""
LEAST_LOSS = 0.25
"""Part of the log loss of a constant that an old log loss counts as at least: of a model that is nearly perfect any
change is a large part."""
PROVEN = {"auc": 0.5, "calibration": 0.5, "error": 0.5, "loss": 0.5, "mean": 1.0, "slice": 1.0}
"""Part of the tolerance that a statistic must exceed for certain. Honest versions lose less than half of what is
tolerated of all but the means, so the rate of false rollbacks holds for them; between half and whole, either may be
said. Of means honest versions change nearly as much as is tolerated."""
WORDS = {
    "auc": "AUC",
    "calibration": "calibration error",
    "error": "mean absolute error",
    "loss": "log loss",
    "mean": "mean score",
    "slice": "mean score",
}
RELATIVE = ("mean", "slice", "error", "loss")
"""Statistics that are parts of the old version's value."""


@dataclass(frozen=True)
class _Rows:
    """The rows of one slice, or all rows (``slice`` is empty), that have a label and the scores of both versions."""

    slice: str
    old: Sequence[float]
    new: Sequence[float]
    truth: Sequence[float]

    @property
    def positives(self) -> int:
        return sum(label == 1 for label in self.truth)


def judge_replay(
    answers: ScoredRows, config: ReplayConfig, false_rollback_rate: float, fewest_rows: int = FEWEST_ROWS
) -> ReplayResult:
    """Judge the answers. ``answers`` of at least one row; ``fewest_rows``: of a slice that is judged by itself."""
    labels, unseen = leave_out_unseen(answers.labels)
    answers, skipped = replace(answers, labels=labels), {UNSEEN: unseen} if unseen else {}
    labelled = compare_labelled(answers.old, answers.new, answers.labels)
    if lack := _find_lack(labelled, config):
        known = 0 if labelled is None else labelled.rows
        positives = None if labelled is None else labelled.positives
        return ReplayResult(Finding.NO_DATA, lack, len(answers.old), known, positives, skipped=skipped)
    assert labelled is not None  # or it would lack
    grouped = group_slices(answers.slices, fewest_rows, MOST_SLICES)
    slices = {name: places for name, places in grouped if len(places) >= fewest_rows}
    least = None if labelled.binary is not None else fewest_rows
    judged = [rows for rows in _labelled_rows(answers, slices) if _has_enough(rows, least)]
    probable = _are_probabilities(labelled)
    kinds = ("error",) if labelled.binary is None else ("auc", *(("calibration", "loss") if probable else ()))
    tests = len(judged) * sum(2 if kind == "error" else 1 for kind in kinds) + 1 + len(slices)
    surely = NormalDist().inv_cdf(1 - false_rollback_rate / tests)
    both_sides = NormalDist().inv_cdf(1 - false_rollback_rate / tests / 2)
    found = (
        *(_JUDGED[kind](rows, config, surely) for rows in judged for kind in kinds),
        *([_count_recall(judged[0])] if config.recall and labelled.binary is not None else []),
        *_lacking_calibration(labelled, config),
        _judge_mean("mean", "", answers.old, answers.new, config.mean, both_sides),
        *(_judge_mean("slice", name, *_pick(answers, places), config.slice, both_sides)
          for name, places in slices.items()),
    )  # fmt: skip
    finding, reason = _conclude(found)
    return ReplayResult(finding, reason, len(answers.old), labelled.rows, labelled.positives, found, skipped)


def _find_lack(labelled: LabelledStatistics | None, config: ReplayConfig) -> str:
    """Return why the labels decide nothing; empty if they do."""
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
    doubts = [one.reason for one in found if one.reason]
    return Finding.PASS, "; ".join(["nothing is worse by more than its tolerance for certain", *doubts])


def _pick(answers: ScoredRows, places: Sequence[int]) -> tuple[list[float], list[float]]:
    return [answers.old[one] for one in places], [answers.new[one] for one in places]


def _labelled_rows(answers: ScoredRows, slices: Mapping[str, Sequence[int]]) -> Iterator[_Rows]:
    """Yield the labelled rows of the whole, then of each slice."""
    for name, places in {"": range(len(answers.old)), **slices}.items():
        known = [(place, label) for place in places if (label := answers.labels[place]) is not None]
        yield _Rows(name, *_pick(answers, [place for place, _ in known]), [float(label) for _, label in known])


def _has_enough(rows: _Rows, fewest: int | None) -> bool:
    """Whether a slice has enough labels; the whole always has. ``fewest``: labels that are amounts; None: labels are
    classes."""
    if not rows.slice:
        return True
    if fewest is not None:
        return len(rows.truth) >= fewest
    return min(rows.positives, len(rows.truth) - rows.positives) >= FEWEST_OF_CLASS


def _are_probabilities(labelled: LabelledStatistics) -> bool:
    return labelled.binary is not None and all(one.calibration_error is not None for one in labelled.binary)


def _lacking_calibration(labelled: LabelledStatistics, config: ReplayConfig) -> Iterator[ReplayStatistic]:
    """Yield the statistic of the calibration without data where the scores of only one version are probabilities.
    Nothing is lacking where neither version's scores are."""
    if labelled.binary is None:
        return
    old, new = (one.calibration_error for one in labelled.binary)
    if (old is None) != (new is None):
        reason = "calibration error: the scores of one version are no probabilities"
        yield ReplayStatistic("calibration", "", old, new, None, None, config.calibration, Finding.NO_DATA, reason)


def _judge_auc(rows: _Rows, config: ReplayConfig, surely: float) -> ReplayStatistic:
    found = compare_labelled(rows.old, rows.new, rows.truth)
    assert found is not None and found.binary is not None
    before, after = (one.auc for one in found.binary)
    assert before is not None and after is not None  # there are both classes
    lost = before - after
    error = error_of_auc_change(rows.old, rows.new, rows.truth)
    found_lost = _judge("auc", rows.slice, before, after, lost, lost - surely * error, config.auc)
    return replace(found_lost, error=error)


def _count_recall(rows: _Rows) -> ReplayStatistic:
    """Count the positives among each version's highest 5 %. It decides nothing by itself: an assurance uses it."""
    old, new = (_weigh_highest(scores) for scores in (rows.old, rows.new))
    places = [place for place, label in enumerate(rows.truth) if label == 1]
    lost, error = _mean_and_error([old[place] - new[place] for place in places])
    before, after = (_mean([weights[place] for place in places]) for weights in (old, new))
    return ReplayStatistic("recall", "", before, after, lost, None, 1.0, Finding.PASS, error=error)


def _weigh_highest(scores: Sequence[float]) -> list[float]:
    """Return 1 for each score among the highest 5 %, and 0 for each other. Equal ones at the edge share what is left,
    so that a constant score is as good as drawing lots."""
    wanted = math.ceil(HIGHEST * len(scores))
    edge = sorted(scores)[-wanted]
    above, at = sum(score > edge for score in scores), sum(score == edge for score in scores)
    return [1.0 if score > edge else (wanted - above) / at if score == edge else 0.0 for score in scores]


def _judge_calibration(rows: _Rows, config: ReplayConfig, surely: float) -> ReplayStatistic:
    before, after = (_calibration_error(scores, rows.truth) for scores in (rows.old, rows.new))
    gained = after - before
    bound = gained - surely * _error_of_calibration_gain(rows.old, rows.new, rows.truth)
    return _judge("calibration", rows.slice, before, after, gained, bound, config.calibration)


def _calibration_error(scores: Sequence[float], truth: Sequence[float]) -> float:
    bins = [0.0] * BINS
    for score, label in zip(scores, truth, strict=True):
        bins[min(BINS - 1, int(score * BINS))] += score - label
    return math.fsum(map(abs, bins)) / len(truth)


def _judge_loss(rows: _Rows, config: ReplayConfig, surely: float) -> ReplayStatistic:
    before, after = (
        [log_loss(score, label == 1) for score, label in zip(scores, rows.truth, strict=True)]
        for scores in (rows.old, rows.new)
    )
    share = rows.positives / len(rows.truth)
    least = LEAST_LOSS * -(share * math.log(share) + (1 - share) * math.log(1 - share))
    return _judge_losses("loss", rows.slice, before, after, config.error, surely, least)


def _judge_error(rows: _Rows, config: ReplayConfig, surely: float) -> ReplayStatistic:
    """Judge the mean error as it is, and with bounded errors. Returns the one that has failed; if neither has, the
    error as it is."""
    before, after = (
        [abs(score - label) for score, label in zip(scores, rows.truth, strict=True)]
        for scores in (rows.old, rows.new)
    )
    limit = sorted(before)[-TAIL - 1]
    bounded = [[min(error, limit) for error in side] for side in (before, after)]
    plain = _judge_losses("error", rows.slice, before, after, config.error, surely)
    if plain.finding is Finding.FAIL or not limit:
        return plain
    found = _judge_losses("error", rows.slice, bounded[0], bounded[1], config.error, surely)
    if found.finding is Finding.FAIL:
        return replace(found, reason=f"{found.reason}; errors above {limit:.4g} count as that")
    return plain


def _judge_losses(
    name: str,
    slice: str,
    before: Sequence[float],
    after: Sequence[float],
    tolerance: float,
    surely: float,
    least: float = 0.0,
) -> ReplayStatistic:
    """Judge the mean of losses. ``least``: the least that the old version's mean counts as."""
    old, new = _mean(before), _mean(after)
    worse, error = _mean_and_error([b - a for a, b in zip(before, after, strict=True)])
    base = max(old, least) or (1.0 if worse == 0 else math.ulp(0.0))
    judged = _judge(name, slice, old, new, worse / base, (worse - surely * error) / base, tolerance)
    return replace(judged, error=error / base)


def _error_of_calibration_gain(old: Sequence[float], new: Sequence[float], truth: Sequence[float]) -> float:
    """Return the standard error of the gain, from the gain without each of some parts of the rows (jackknife)."""
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


def _judge_mean(
    name: str, slice: str, old: Sequence[float], new: Sequence[float], tolerance: float, surely: float
) -> ReplayStatistic:
    """Judge the change of the mean relative to the mean size of the old scores, which is their mean where none is
    negative."""
    before = _mean(old)
    change, error = _mean_and_error([b - a for a, b in zip(old, new, strict=True)])
    size = _mean([abs(one) for one in old])
    if not size:
        unknown = f"{WORDS[name]}{f' of {slice}' if slice else ''}: all old ones are 0"
        finding, reason = (Finding.NO_DATA, unknown) if any(new) else (Finding.PASS, "")
        return ReplayStatistic(name, slice, before, change, None, None, tolerance, finding, reason)
    worse, bound = abs(change) / size, (abs(change) - surely * error) / size
    return _judge(name, slice, before, before + change, worse, bound, tolerance)


def _mean(values: Sequence[float]) -> float:
    """Return the mean of finite numbers of any size, even if their sum is not finite."""
    largest = max(map(abs, values))
    return largest * (math.fsum(value / largest for value in values) / len(values)) if largest else 0.0


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean, and its standard error."""
    middle = _mean(values)
    apart = [value - middle for value in values]
    largest = max(map(abs, apart))
    if not largest:
        return middle, 0.0
    squares = math.fsum((each / largest) ** 2 for each in apart)
    return middle, largest * math.sqrt(squares / max(1, len(values) - 1) / len(values))


def _judge(
    name: str, slice: str, old: float, new: float, worse: float, bound: float, tolerance: float
) -> ReplayStatistic:
    labelled = name not in ("mean", "slice")
    if slice and labelled:
        tolerance *= SLICED
    change = {"auc": "lost", "mean": "changed by", "slice": "changed by"}.get(name, "gained")
    shown = [f"{value:.1%}" if name in RELATIVE else f"{value:.4f}" for value in (worse, bound, tolerance)]
    what = f"{WORDS[name]}{f' of {slice}' if slice else ''} {change} {shown[0]} ({old:.4g} to {new:.4g})"
    if worse > tolerance and bound > PROVEN[name] * tolerance:
        reason = f"{what}, surely more than {shown[1]} (tolerance {shown[2]})"
        return ReplayStatistic(name, slice, old, new, worse, bound, tolerance, Finding.FAIL, reason)
    doubt = worse > tolerance and labelled and not slice
    reason = f"{what}, more than the tolerance of {shown[2]}, which may be chance" if doubt else ""
    return ReplayStatistic(name, slice, old, new, worse, bound, tolerance, Finding.PASS, reason)


_JUDGED: Mapping[str, Callable[[_Rows, ReplayConfig, float], ReplayStatistic]] = {
    "auc": _judge_auc,
    "calibration": _judge_calibration,
    "loss": _judge_loss,
    "error": _judge_error,
}
