"""Many runs of one case: a new version of each run, on other requests and other labelled rows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.planted.held_out import HELD_OUT
from bench.planted.trials import (
    PER_SECOND,
    REPLAYED,
    SECONDS,
    Harm,
    TwoVersions,
    measure_harm,
    pairs_of,
    replay,
    watch,
)
from bench.planted.versions import DENSE, FAULTS, HONEST, ModelVersion, Plant, Trainer
from bench.planted.worlds import Floats, World, make_worlds
from tidegate.domain.evidence import Comparison, PairedTolerance
from tidegate.features.evidence.learned_tolerance import learn_tolerance
from tidegate.features.evidence.units import Unit, error_unit
from tidegate.statistics.label_quality import LabelComparison, TimedLabel, compare_amounts, compare_classes

OLD, POOL, LEARNED = 1, 8, 6
"""Seed of the old version; versions of a case that are trained; honest ones that tolerances are learned from."""
LEARNED_ROWS = 3_000
LOOKED = 2
"""Runs of a case in which it is looked how many labels it takes."""
FEWEST_LABELS = 100
MOST_LATE = 40_000
"""Late labels of both versions together."""


@dataclass(frozen=True)
class Case:
    world: str
    name: str
    runs: int


@dataclass(frozen=True)
class Run:
    """``requests``: after how many a kind failed: features, predictions by the default tolerances (``defaults``), the
    same in the unit of the model's own error (``error``), and by learned tolerances (``predictions``). ``tests``:
    which tests of the defaults did. ``replay``: why that failed."""

    harm: Harm
    requests: dict[str, int | None]
    tests: Sequence[str]
    replay: str

    def fails(self, kinds: Collection[str]) -> bool:
        return any(bool(self.replay) if kind == "replay" else self.requests[kind] is not None for kind in kinds)


@dataclass(frozen=True)
class CaseRuns:
    """``replay_labels``, ``late_labels``: labelled positives (of the new version), or amounts, that it took in a few
    runs; None: all there are did not do."""

    case: Case
    classes: bool
    runs: tuple[Run, ...]
    replay_labels: tuple[int | None, ...]
    late_labels: tuple[int | None, ...]

    @property
    def harmful(self) -> int:
        return sum(run.harm.is_harm for run in self.runs)

    @property
    def harm(self) -> Harm:
        names = ("auc", "calibration", "mean", "slice", "error")
        values = (float(np.median([getattr(run.harm, name) for run in self.runs])) for name in names)
        return Harm(*values)

    def share(self, kinds: Collection[str]) -> float:
        return sum(run.fails(kinds) for run in self.runs) / len(self.runs)


@dataclass(frozen=True)
class Stage:
    """A world with its old version, what that answers to every row, the tolerances learned from honest versions, and
    the unit of the old version's error where a replay would know it."""

    world: World
    trainers: tuple[Trainer, ...]
    """Keyed by the number of the output."""
    old: tuple[ModelVersion, ...]
    scores: tuple[Floats, ...]
    learned: PairedTolerance
    unit: Unit | None

    def make(self, name: str, seed: int) -> tuple[ModelVersion, ...]:
        """A version with this fault, in all outputs or in the last one only."""
        one = name.startswith(LAST_OUTPUT)
        plant = PLANTS[name.removeprefix(LAST_OUTPUT)]
        last = len(self.trainers) - 1
        return tuple(
            plant(trainer, seed) if at == last or not one else trainer.honest(seed)
            for at, trainer in enumerate(self.trainers)
        )


PLANTS: Mapping[str, Plant] = {**HONEST, **FAULTS, **DENSE, **HELD_OUT}
LAST_OUTPUT = "last output: "


@cache
def set_stage(name: str) -> Stage:
    """Once for each process."""
    world = next(one for one in make_worlds() if one.name == name)
    trainers = tuple(Trainer(one) for one in world.outputs)
    old = tuple(trainer.honest(OLD) for trainer in trainers)
    chance = np.random.default_rng(1)
    kinds = list(HONEST.values())
    honest = []
    for number in range(LEARNED):
        new = tuple(kinds[number % len(kinds)](trainer, 100 + number) for trainer in trainers)
        rows = chance.choice(np.arange(world.trained, world.replayed), LEARNED_ROWS * world.rows, replace=False)
        honest.append(pairs_of(TwoVersions(world, old, new), rows, chance))
    scores = tuple(one.answer(world, world.x) for one in old)
    known = np.arange(world.trained, world.replayed)
    error = float(np.abs(scores[0] - world.y)[known].mean())
    unit = None if world.classes else error_unit(error)
    return Stage(world, trainers, old, scores, learn_tolerance(honest, ("group",)), unit)


def run_case(case: Case) -> CaseRuns:
    stage = set_stage(case.world)
    world = stage.world
    runs, replayed, late = list[Run](), list[int | None](), list[int | None]()
    for number in range(case.runs):
        chance = np.random.default_rng([number, len(case.name)])
        versions = TwoVersions(world, stage.old, stage.make(case.name, 2 + number % POOL))
        all_scores = [one.answer(world, world.x) for one in versions.new]
        known = _choose(chance, world.trained, world.replayed, REPLAYED)
        live = _choose(chance, world.replayed, len(world.y), PER_SECOND * SECONDS * world.rows)
        pairs = pairs_of(versions, live, chance)
        watched = {
            "features": watch(pairs, Comparison.FEATURES, stage.learned),
            "defaults": watch(pairs, Comparison.PAIRED, PairedTolerance()),
            "error": watch(pairs, Comparison.PAIRED, PairedTolerance(), stage.unit),
            "predictions": watch(pairs, Comparison.PAIRED, stage.learned),
        }
        requests = {kind: count for kind, (count, _) in watched.items()}
        harm = max(_measure_harms(stage, all_scores), key=lambda one: (one.is_harm, one.error, one.auc, one.slice))
        runs.append(Run(harm, requests, watched["defaults"][1], replay(world, stage.scores, all_scores, known)))
        if number < LOOKED and case.name not in HONEST:
            replayed.append(_replay_labels(stage, all_scores, known) if runs[-1].replay else None)
            late.append(_late_labels(stage, all_scores[0], chance))
    return CaseRuns(case, world.classes, tuple(runs), tuple(replayed), tuple(late))


def _measure_harms(stage: Stage, scores: Sequence[Floats]) -> list[Harm]:
    """Keyed by the number of the output."""
    rows = np.arange(stage.world.trained, len(stage.world.y))
    each = zip(stage.world.outputs, stage.scores, scores, strict=True)
    return [measure_harm(world, old, new, rows) for world, old, new in each]


def _choose(chance: np.random.Generator, first: int, end: int, count: int) -> NDArray[np.int64]:
    """So many rows of a range, in no order."""
    return chance.permutation(np.arange(first, end))[:count]


def _replay_labels(stage: Stage, scores: Sequence[Floats], known: NDArray[np.int64]) -> int:
    """The smallest tried number of labelled positives of the first output, or amounts, whose replay fails. That of
    all is known to."""
    world = stage.world
    counted = np.cumsum(world.y[known] > 0) if world.classes else np.arange(1, len(known) + 1)
    wanted = FEWEST_LABELS
    while wanted < counted[-1]:
        rows = known[: int(np.searchsorted(counted, wanted)) + 1]
        if replay(world, stage.scores, scores, rows):
            return wanted
        wanted *= 2
    return int(counted[-1])


def _late_labels(stage: Stage, scores: Floats, chance: np.random.Generator) -> int | None:
    """Labels of each version answer requests of their own, half of all each; the number that it took of the new one:
    positives, or amounts."""
    world = stage.world
    rows = _choose(chance, world.trained, len(world.y), MOST_LATE)
    labels = [
        TimedLabel(
            bool(place % 2),
            str(row),
            float((scores if place % 2 else stage.scores[0])[row]),
            float(world.y[row]),
        )
        for place, row in enumerate(rows)
    ]
    compare: Callable[[Sequence[TimedLabel]], LabelComparison]
    compare = compare_classes if world.classes else compare_amounts
    if compare(labels).evidence < 1:
        return None
    low, high = 0, len(labels)
    while high - low > 100:
        middle = (low + high) // 2
        low, high = (low, middle) if compare(labels[:middle]).evidence >= 1 else (middle, high)
    return sum(one.new and (one.value > 0 or not world.classes) for one in labels[:high])
