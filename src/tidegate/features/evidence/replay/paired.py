"""Statistics of two versions' scores for the same rows. Pure.

Two honest models differ, and with enough rows every difference is certain: nothing here tests whether there is one.
The statistics say how large it is, and ``tolerances`` how large it may be.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

CLIP = 1e-4
"""Probabilities nearer to 0 or 1 count as this, so that a log-odds is finite and tiny scores do not dominate."""
TOP = 0.05
"""Share of the rows with the highest scores."""
Z95 = 1.959964


@dataclass(frozen=True)
class PairedStatistics:
    """Statistics of two versions' scores. ``size_old``: mean of the old scores without their signs, which a change of
    the mean is relative to: amounts of both signs have a mean of about 0. ``bias``: mean of new minus old, with a
    95 % interval; ``change``: mean absolute difference. ``moved``: share of rows that changed by more than ``step``,
    in log-odds if ``log_odds``, otherwise in the scores' own unit. ``top_change``: share of the rows with the highest
    old scores that are no longer among the highest; ``top_rows``: their number. ``rank_correlation``: Spearman's;
    None where one version gives every row the same score."""

    rows: int
    mean_old: float
    mean_new: float
    size_old: float
    bias: float
    bias_low: float
    bias_high: float
    change: float
    largest: float
    rank_correlation: float | None
    moved: float
    step: float
    log_odds: bool
    top_change: float
    top_rows: int


@dataclass(frozen=True)
class MovementStep:
    """The distance that a row must move to count as moved."""

    size: float
    log_odds: bool

    def distance(self, old: float, new: float) -> float:
        """Return the signed distance between two scores, in the unit of ``size``."""
        return _log_odds(new) - _log_odds(old) if self.log_odds else new - old


def choose_step(old: Sequence[float], new: Sequence[float], size: float | None = None) -> MovementStep:
    """Choose the step. ``size``: in the scores' own unit. None: one log-odds where all scores are from 0 to 1,
    otherwise half a standard deviation of the old scores."""
    if size is not None:
        return MovementStep(size, False)
    if all(0 <= score <= 1 for scores in (old, new) for score in scores):
        return MovementStep(1.0, True)
    return MovementStep(_deviation(old) / 2, False)


def compare_pairs(old: Sequence[float], new: Sequence[float], step: MovementStep) -> PairedStatistics:
    """Compute the statistics of at least one row. Raises ValueError where there is none, or where the numbers of
    scores differ."""
    if len(old) != len(new) or not old:
        raise ValueError(f"{len(old)} and {len(new)} scores are not those of the same rows")
    count = len(old)
    differences = [after - before for before, after in zip(old, new, strict=True)]
    bias = math.fsum(differences) / count
    half = Z95 * _deviation(differences) / math.sqrt(count)
    top = max(1, math.ceil(count * TOP))
    moved = sum(abs(step.distance(before, after)) > step.size for before, after in zip(old, new, strict=True))
    return PairedStatistics(
        rows=count,
        mean_old=math.fsum(old) / count,
        mean_new=math.fsum(new) / count,
        size_old=math.fsum(map(abs, old)) / count,
        bias=bias,
        bias_low=bias - half,
        bias_high=bias + half,
        change=math.fsum(map(abs, differences)) / count,
        largest=max(map(abs, differences)),
        rank_correlation=rank_correlation(old, new),
        moved=moved / count,
        step=step.size,
        log_odds=step.log_odds,
        top_change=top_change(old, new, top),
        top_rows=top,
    )


def rank_correlation(old: Sequence[float], new: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, with the mean rank for equal scores. Equal scores in all rows are 1, also
    constant ones; otherwise None where one side is constant."""
    if list(old) == list(new):
        return 1.0
    one, two = ranks(old), ranks(new)
    middle = (len(old) + 1) / 2
    both = math.fsum((a - middle) * (b - middle) for a, b in zip(one, two, strict=True))
    squares = math.fsum((a - middle) ** 2 for a in one) * math.fsum((b - middle) ** 2 for b in two)
    return None if squares == 0 else max(-1.0, min(1.0, both / math.sqrt(squares)))


def ranks(scores: Sequence[float]) -> list[float]:
    """Return the ranks of the scores from 1; equal scores share the mean of their ranks."""
    order = sorted(range(len(scores)), key=scores.__getitem__)
    found = [0.0] * len(scores)
    before = 0
    for _, group in groupby(order, key=scores.__getitem__):
        places = list(group)
        for place in places:
            found[place] = before + (len(places) + 1) / 2
        before += len(places)
    return found


def top_change(old: Sequence[float], new: Sequence[float], top: int) -> float:
    """Return the share of the ``top`` rows with the highest scores that are others in ``new``. Rows that share the
    lowest score of the top are each in it by the same part, since they have no order."""
    before, after = _membership(old, top), _membership(new, top)
    return max(0.0, 1 - math.fsum(min(a, b) for a, b in zip(before, after, strict=True)) / top)


def _membership(scores: Sequence[float], top: int) -> list[float]:
    lowest = sorted(scores, reverse=True)[top - 1]
    above = sum(score > lowest for score in scores)
    part = (top - above) / sum(score == lowest for score in scores)
    return [1.0 if score > lowest else part if score == lowest else 0.0 for score in scores]


def _log_odds(score: float) -> float:
    clipped = min(1 - CLIP, max(CLIP, score))
    return math.log(clipped / (1 - clipped))


def _deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    middle = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))
