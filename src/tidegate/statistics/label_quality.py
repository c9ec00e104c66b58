"""Late labels of two versions: is the new one worse than the old one by more than a tolerance? Pure.

Each version answered requests of its own, so this compares two samples.

- Order (AUC): the probability that a positive scores above a negative. So positives and negatives of a version are
  paired, each once, in the order in which their labels came: pairs are independent, and the share of those in the
  wrong order is one minus the AUC. The two shares are compared by ``rates.RateTest``. Pairing each label once costs
  power: the comparison of all with all would need a half to two thirds of the labels, but its error bound holds only
  for one look.
- Mean error of amounts, and mean log loss of probabilities: relative to the old version's, by ``losses.GainTest``.
  Errors are bounded by what is usual for the old version.
- Calibration of probabilities: by how much the mean score differs from the share of positives, up or down.
- Feedback: the share of answers that people do not like.

All of these are compared for all labels together and for each slice of the requests. The bounds hold at every look
and together: the rate of false alarms is divided among them."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from zlib import crc32

from tidegate.statistics.losses import MOST_LOSS, GainTest, find_reach, log_loss
from tidegate.statistics.rates import RateTest

AUC_TOLERANCE = 0.02
ERROR_TOLERANCE = 0.1
"""Part of the old version's mean error, or of its mean log loss, that the new version may err more."""
CALIBRATION_TOLERANCE = 0.02
"""Further distance of the mean score from the share of positives."""
FEEDBACK_TOLERANCE = 0.05
"""Further answers that people do not like."""
DISLIKED = 0.5
"""Feedback below it says that."""
FALSE_ALARMS = 0.01
SLICES_PART = 0.25
"""Part of the rate of false alarms that all slices have together."""
MOST_SLICES = 20
SLICE_BEGINS = 30
"""Labels of a slice after which it is compared by itself, if it is among the first ``MOST_SLICES`` that have so many:
which these are does not depend on how good predictions are, and does not change when more labels come."""
MOST_COUNTED = 10_000
"""Slices whose labels are counted until then: a column may have another value in each request."""
CLASS_PARTS = {"auc": 0.5, "loss": 0.125, "calibration": 0.125}
"""Parts of the rate of false alarms, of all labels together."""
BLOCK = 10
"""Pairs of each version in a block."""
LEARNED = 100
"""Errors of the old version by which they are bounded; they are not compared."""


MOST_WAITING = 100_000
"""Labels of a class and a version that wait for one of the other class; beyond that the oldest are left out,
which does not depend on their scores."""


@dataclass(frozen=True)
class TimedLabel:
    """``new``: of the new version. ``slices``: those that its request is in."""

    new: bool
    id: str
    score: float
    value: float
    slices: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelTest:
    """``name``: ``auc``, ``loss``, ``calibration``, ``error`` or ``feedback``; ``slice``: empty for all labels.
    ``evidence``: logarithm of the largest e-value over that at which the new version is worse: 1 or more.
    ``old``, ``new``: what is compared and their mean: pairs in the wrong order, errors, log losses, scores minus
    labels, answers that people do not like."""

    name: str
    slice: str
    tolerance: float
    evidence: float
    old: tuple[int, float]
    new: tuple[int, float]


@dataclass(frozen=True)
class LabelComparison:
    """``tests``: of all labels together first."""

    tests: tuple[LabelTest, ...]

    @property
    def leading(self) -> LabelTest:
        """The one with most evidence."""
        return max(self.tests, key=lambda one: one.evidence)

    @property
    def evidence(self) -> float:
        return self.leading.evidence


class _Test(Protocol):
    tolerance: float

    def add(self, one: TimedLabel) -> None: ...

    def finish(self) -> None: ...

    @property
    def most(self) -> float: ...

    @property
    def sides(self) -> tuple["_Mean", "_Mean"]: ...


@dataclass
class _Mean:
    count: int = 0
    mean: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.mean += value / self.count - self.mean / self.count


@dataclass
class _Side:
    """One version's labels that wait for one of the other class, and what was counted since the last block."""

    waiting: tuple[deque[TimedLabel], deque[TimedLabel]] = field(
        default_factory=lambda: (deque(maxlen=MOST_WAITING), deque(maxlen=MOST_WAITING))
    )
    pairs: int = 0
    wrong: int = 0

    def add(self, one: TimedLabel) -> bool | None:
        """Whether a pair is wrong that is complete now; None: there is none."""
        mine, others = self.waiting[int(one.value)], self.waiting[1 - int(one.value)]
        if not others:
            mine.append(one)
            return None
        other = others.popleft()
        positive, negative = (one, other) if one.value == 1 else (other, one)
        return _is_wrong(positive, negative)

    def count(self, wrong: bool) -> None:
        self.pairs, self.wrong = self.pairs + 1, self.wrong + wrong


@dataclass
class _ShareTest:
    """Compares shares of what is wrong. ``judge``: whether an answer is wrong by itself; None: pairs of both classes
    are. A block is closed once both versions have enough in it, which does not depend on what is wrong."""

    tolerance: float
    judge: Callable[[TimedLabel], bool] | None = None
    most: float = 0.0
    sides: tuple[_Mean, _Mean] = field(default_factory=lambda: (_Mean(), _Mean()))

    def __post_init__(self) -> None:
        self._test = RateTest(self.tolerance)
        self._counted = (_Side(), _Side())

    def add(self, one: TimedLabel) -> None:
        side = self._counted[one.new]
        wrong = side.add(one) if self.judge is None else self.judge(one)
        if wrong is None:
            return
        side.count(wrong)
        self.sides[one.new].add(wrong)
        if all(each.pairs >= BLOCK for each in self._counted):
            self.finish()

    def finish(self) -> None:
        old, new = self._counted
        self._test = self._test.update((old.pairs, old.wrong, new.pairs, new.wrong))
        self.most = max(self.most, self._test.log_evidence)
        self._counted = (_Side(old.waiting), _Side(new.waiting))


Gain = Callable[[float, float], float]
"""Of a pair: what the bets are on, from the means of the old and of the new version in it."""


@dataclass
class _PairedGains:
    """Pairs of both versions, each of at least one value: all that came since the last pair. Of a test that is a
    minimum of several (``gains``), all must have evidence."""

    gains: Sequence[Gain]

    def __post_init__(self) -> None:
        self._tests = [GainTest() for _ in self.gains]
        self._waiting = (_Mean(), _Mean())
        self._pairs = list[tuple[float, float]]()

    def add(self, new: bool, value: float) -> float | None:
        """The evidence, where a block is complete now."""
        self._waiting[new].add(value)
        if not all(side.count for side in self._waiting):
            return None
        self._pairs.append((self._waiting[0].mean, self._waiting[1].mean))
        self._waiting = (_Mean(), _Mean())
        return self.finish() if len(self._pairs) >= BLOCK else None

    def finish(self) -> float:
        if self._pairs:
            self._tests = [
                test.update([gain(*pair) for pair in self._pairs])
                for test, gain in zip(self._tests, self.gains, strict=True)
            ]
            self._pairs = []
        return min(test.log_evidence for test in self._tests)


def _gain_of_loss(old: float, new: float) -> float:
    """Return by how much the new loss exceeds what is tolerated over the old one, for losses from 0 to 1."""
    return (new - (1 + ERROR_TOLERANCE) * old) / (1 + ERROR_TOLERANCE)


@dataclass
class _ErrorTest:
    """Compares mean errors of amounts. The first errors of the old version say how large an error is usual."""

    tolerance: float = ERROR_TOLERANCE
    most: float = 0.0
    sides: tuple[_Mean, _Mean] = field(default_factory=lambda: (_Mean(), _Mean()))

    def __post_init__(self) -> None:
        self._learned = list[tuple[float, float]]()
        self._reach = 0.0
        self._pairs = _PairedGains([_gain_of_loss])

    def add(self, one: TimedLabel) -> None:
        error = abs(one.score - one.value)
        self.sides[one.new].add(error)
        if self._reach:
            found = self._pairs.add(one.new, min(1.0, error / self._reach))
            self.most = max(self.most, found or 0.0)
        elif not one.new:
            self._learned.append((error, one.value))
            if len(self._learned) >= LEARNED:
                self._reach = find_reach(
                    [each for each, _ in self._learned], [value for _, value in self._learned]
                )
                self._learned.clear()

    def finish(self) -> None:
        self.most = max(self.most, self._pairs.finish())


@dataclass
class _ScoreTest:
    """Compares what probabilities are worth with their labels. ``directions``: sets of gains, of each of which all
    must have evidence. Where the old version's scores are no probabilities nothing is compared; the new version's
    count as the nearest one."""

    tolerance: float
    measure: Callable[[float, float], float]
    """Of a score and its label."""
    directions: Sequence[Sequence[Gain]]
    most: float = 0.0
    sides: tuple[_Mean, _Mean] = field(default_factory=lambda: (_Mean(), _Mean()))

    def __post_init__(self) -> None:
        self._probable = True
        self._pairs = [_PairedGains(gains) for gains in self.directions]

    def add(self, one: TimedLabel) -> None:
        self._probable &= one.new or 0 <= one.score <= 1
        if not self._probable:
            self.most, self.sides = 0.0, (_Mean(), _Mean())
            return
        value = self.measure(min(1.0, max(0.0, one.score)), one.value)
        self.sides[one.new].add(value)
        for pairs in self._pairs:
            self.most = max(self.most, pairs.add(one.new, value) or 0.0)

    def finish(self) -> None:
        if self._probable:
            self.most = max(self.most, *(pairs.finish() for pairs in self._pairs))


def _compare_losses() -> _ScoreTest:
    return _ScoreTest(
        ERROR_TOLERANCE,
        lambda score, label: log_loss(score, label == 1),
        [[lambda old, new: _gain_of_loss(old / MOST_LOSS, new / MOST_LOSS)]],
    )


def _compare_calibration() -> _ScoreTest:
    """The new version's distance must exceed the old one's, whichever side that is on: so each direction is the
    smaller evidence of two."""

    def gain(old: float, new: float) -> float:
        return (new - old - CALIBRATION_TOLERANCE) / (2 + CALIBRATION_TOLERANCE)

    up: list[Gain] = [gain, lambda old, new: gain(-old, new)]
    down: list[Gain] = [lambda old, new: gain(old, -new), lambda old, new: gain(-old, -new)]
    return _ScoreTest(CALIBRATION_TOLERANCE, lambda score, label: score - label, [up, down])


_MADE: dict[str, Callable[[], _Test]] = {
    "auc": lambda: _ShareTest(AUC_TOLERANCE),
    "loss": _compare_losses,
    "calibration": _compare_calibration,
    "error": _ErrorTest,
    "feedback": lambda: _ShareTest(FEEDBACK_TOLERANCE, lambda one: one.value < DISLIKED),
}


def compare_classes(labels: Iterable[TimedLabel], false_alarms: float = FALSE_ALARMS) -> LabelComparison:
    """Compare two versions by labels of 0 and 1, in the order in which they came."""
    return _compare(labels, CLASS_PARTS, false_alarms)


def compare_amounts(labels: Iterable[TimedLabel], false_alarms: float = FALSE_ALARMS) -> LabelComparison:
    """Compare two versions by labels that are amounts, in the order in which they came."""
    return _compare(labels, {"error": 1 - SLICES_PART}, false_alarms)


def compare_feedback(labels: Iterable[TimedLabel], false_alarms: float = FALSE_ALARMS) -> LabelComparison:
    """Compare feedback on the answers of two versions. ``labels``: values from 0 to 1, in the order in which they
    came."""
    return _compare(labels, {"feedback": 1 - SLICES_PART}, false_alarms)


def _compare(labels: Iterable[TimedLabel], parts: dict[str, float], false_alarms: float) -> LabelComparison:
    """Run the tests on all labels and on slices. ``parts``: each test's part of the rate of false alarms."""
    groups = {"": {name: _MADE[name]() for name in parts}}
    counts = Counter[str]()
    for one in labels:
        for slice in ("", *one.slices):
            for test in groups.get(slice, {}).values():
                test.add(one)
            if slice not in groups and len(groups) <= MOST_SLICES and len(counts) <= MOST_COUNTED:
                counts[slice] += 1
                if counts[slice] >= SLICE_BEGINS:
                    groups[slice] = {name: _MADE[name]() for name in parts}
    found = list[LabelTest]()
    for slice, tests in groups.items():
        for name, test in tests.items():
            test.finish()
            share = parts[name] if not slice else SLICES_PART / MOST_SLICES / len(parts)
            evidence = max(0.0, test.most) / -math.log(false_alarms * share)
            sides = ((side.count, side.mean) for side in test.sides)
            found.append(LabelTest(name, slice, test.tolerance, evidence, *sides))
    return LabelComparison(tuple(found))


def _is_wrong(positive: TimedLabel, negative: TimedLabel) -> bool:
    """Return whether the pair is in the wrong order. Equal scores are wrong in half of the cases, which the ids
    decide."""
    if positive.score == negative.score:
        return bool(crc32(f"{positive.id}\n{negative.id}".encode()) & 1)
    return positive.score < negative.score
