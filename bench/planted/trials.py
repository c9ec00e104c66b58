"""Shows a new version beside the old one to each kind of evidence, by the functions that the platform uses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.planted.versions import ModelVersion
from bench.planted.worlds import Floats, World
from tidegate.domain.evidence import (
    Comparison,
    EvidenceBlock,
    EvidenceConfig,
    Finding,
    PairedTolerance,
)
from tidegate.domain.pairs import FeatureRow, Pair
from tidegate.domain.replay import ReplayConfig
from tidegate.features.evidence.features import FeatureCounter
from tidegate.features.evidence.judge import begin, fold, judge
from tidegate.features.evidence.pair_judge import pair_key
from tidegate.features.evidence.pairs import PairCounter
from tidegate.features.evidence.replay.replay_judge import judge_replay
from tidegate.features.evidence.replay.scored_rows import ScoredRows
from tidegate.features.evidence.units import Unit
from tidegate.features.examples.measures import auc

PER_SECOND, SECONDS = 10, 120
"""Copied requests in the first stage of a rollout: its default length, at ten requests a second."""
FALSE_ROLLBACKS = 0.01
VARIANT = "AllTraffic"
REPLAYED = 40_000
"""Rows of a replay at most."""
TOLERATED = ReplayConfig("")


@dataclass(frozen=True)
class Harm:
    """What a version does to all later rows, which no evidence sees: what it is worse by, each in its own unit."""

    auc: float
    calibration: float
    mean: float
    slice: float
    error: float

    @property
    def is_harm(self) -> bool:
        """By the default definition."""
        names = ("auc", "calibration", "mean", "slice", "error")
        return any(getattr(self, name) > getattr(TOLERATED, name) for name in names)


def measure_harm(world: World, old: Floats, new: Floats, rows: NDArray[np.int64]) -> Harm:
    y, group = world.y[rows], world.group[rows]
    a, b = old[rows], new[rows]
    slices = [
        abs(b[group == one].mean() / a[group == one].mean() - 1)
        for one in np.unique(group)
        if (group == one).sum() >= 100
    ]
    mean, slice = abs(b.mean() / a.mean() - 1), max(slices)
    if not world.classes:
        before, after = np.abs(a - y).mean(), np.abs(b - y).mean()
        return Harm(0.0, 0.0, float(mean), float(slice), float(after / before - 1))
    lost = auc(a, y > 0) - auc(b, y > 0)
    gained = _calibration_error(b, y) - _calibration_error(a, y)
    return Harm(lost, gained, float(mean), float(slice), 0.0)


def _calibration_error(scores: Floats, y: Floats) -> float:
    bins = np.minimum(9, (scores * 10).astype(int))
    return float(np.abs(np.bincount(bins, scores - y, 10)).sum() / len(y))


@dataclass(frozen=True)
class TwoVersions:
    """An old and a new version, with the models of each output."""

    world: World
    old: tuple[ModelVersion, ...]
    new: tuple[ModelVersion, ...]

    def answer(self, rows: NDArray[np.int64]) -> list[tuple[Floats, Floats]]:
        """The answers of both versions to these rows, by output."""
        x, outputs = self.world.x[rows], self.world.outputs
        models = zip(outputs, self.old, self.new, strict=True)
        return [(old.answer(world, x), new.answer(world, x)) for world, old, new in models]


def pairs_of(versions: TwoVersions, rows: NDArray[np.int64], chance: np.random.Generator) -> list[Pair]:
    """Both versions on copies of the same requests, of as many rows as the world says."""
    world = versions.world
    numbers = [(old.tolist(), new.tolist()) for old, new in versions.answer(rows)]
    firsts, group = range(0, len(rows), world.rows), world.group[rows]
    first = rows[:: world.rows]
    models = versions.old[0], versions.new[0]
    columns = [one.features(world, world.x[first]).astype(float).tolist() for one in models]
    names = [one.preparation.names(world) for one in models]
    made = []
    for place, at in enumerate(firsts):
        row = FeatureRow("prepare", names[0], tuple(columns[0][place]), names[1], tuple(columns[1][place]))
        answered = tuple(
            tuple((output, old[one], new[one]) for output, (old, new) in enumerate(numbers))
            for one in range(at, min(at + world.rows, len(rows)))
        )
        pair = Pair(*answered[0][0][1:], place + 1, (("group", str(group[at])),), features=(row,), rows=answered)
        made.append(_disturb(pair, world, chance.random(4).tolist()))
    return made


def _disturb(pair: Pair, world: World, drawn: list[float]) -> Pair:
    """Either version fails some requests, and answers some with NaN, each on its own."""
    if max(drawn[0] < world.failing, drawn[1] < world.failing):
        failed = drawn[0] < world.failing, drawn[1] < world.failing
        old, new = (None if one else value for one, value in zip(failed, (pair.old, pair.new), strict=True))
        return replace(pair, old=old, new=new, rows=(), old_failed=failed[0], failed=failed[1])
    old = None if drawn[2] < world.unusable else pair.old
    new = None if drawn[3] < world.unusable else pair.new
    return pair if old is not None and new is not None else replace(pair, old=old, new=new, rows=())


def watch(
    pairs: Sequence[Pair], comparison: Comparison, tolerance: PairedTolerance, unit: Unit | None = None
) -> tuple[int | None, Sequence[str]]:
    """After how many requests this kind fails, with the stake that it has beside the other (None: it does not), and
    by which tests. ``unit``: that of predictions, where it is known beforehand."""
    both = (Comparison.PAIRED, Comparison.FEATURES)
    config = EvidenceConfig(both, paired=tolerance, slices=("group",), false_rollback_rate=FALSE_ROLLBACKS / 2)
    state = begin(config, (VARIANT,))
    counter: PairCounter | FeatureCounter
    counter = (
        PairCounter(("group",), {} if unit is None else {0: unit})
        if comparison is Comparison.PAIRED
        else FeatureCounter(config.features)
    )
    for at, first in enumerate(range(0, len(pairs), PER_SECOND)):
        sums = counter.count(pairs[first : first + PER_SECOND])
        keyed = {pair_key(VARIANT, comparison, name): one for name, one in sums.items()}
        units = counter.take_units() if isinstance(counter, PairCounter) else {}
        sizes = {pair_key(VARIANT, comparison, part): size for part, size in units.items()}
        state = fold(state, EvidenceBlock(at, 1, 0, {}, keyed, sizes))
        for one in judge(state).results:
            if one.finding is Finding.FAIL:
                return min(len(pairs), first + PER_SECOND), (one.test, *one.also)
    return None, ()


def replay(world: World, old: Sequence[Floats], new: Sequence[Floats], rows: NDArray[np.int64]) -> str:
    """Why the replay of these labelled rows fails; empty if it does not. ``old`` and ``new``: scores of all rows, by
    output."""
    each = list(enumerate(zip(world.outputs, old, new, strict=True)))
    rate = FALSE_ROLLBACKS / 2 / len(each)
    return "; ".join(
        f"output {number}: {reason}"
        for number, (one, before, after) in each
        if (reason := _replay_output(one, before, after, rows, rate))
    )


def _replay_output(world: World, old: Floats, new: Floats, rows: NDArray[np.int64], rate: float) -> str:
    groups = [str(one) for one in world.group[rows]]
    answers = ScoredRows(
        *(old[rows].tolist(), new[rows].tolist(), world.y[rows].tolist(), [{}] * len(rows), groups, True)
    )
    found = judge_replay(answers, TOLERATED, rate)
    return found.reason if found.finding is Finding.FAIL else ""
