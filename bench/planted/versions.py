"""Versions of a model: what prepares its rows, and the trees. Honest retrains, twelve planted faults, and six more
that befall models with dense labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import xgboost
from numpy.typing import NDArray

from bench.planted.worlds import OFFSETS, Floats, World

TREES = 60
TERMS = {"max_depth": 4, "eta": 0.15, "subsample": 0.8, "colsample_bytree": 0.8, "nthread": 1}
MONTH = 0.12
"""Part of the training rows that a month is."""
OLD_SCALER = 1.3
"""By which the spread was another one when the old scaler was fitted."""
HOURS_OFF = 8
DAYS_OLD = 60
EARLIER = 0.85
"""An amount of a year ago, as a fraction of what it is now."""
LEFT_OUT = 1
"""The category that a training may lack."""


@dataclass(frozen=True)
class Preparation:
    """From raw rows to the columns that trees see. Fitted values first, then what faults change."""

    means: Floats
    spreads: Floats
    fills: Floats
    codes: Floats
    """What each category is replaced by."""
    extra: bool = False
    """One feature more."""
    money_factor: float = 1.0
    half: bool = False
    """Money is rounded to 16 bits."""
    hours: int = 0
    days_old: int = 0
    swap: bool = False
    before: Callable[[World, Floats], Floats] = lambda _, x: x
    """Changes rows before anything else."""
    after: Callable[[World, Floats], Floats] = lambda _, x: x
    """Changes columns after everything else."""

    def names(self, world: World) -> tuple[str, ...]:
        return (*world.columns, *(("pay_per_year",) if self.extra else ()))

    def apply(self, world: World, x: Floats) -> NDArray[np.float32]:
        x = self.before(world, x.copy())
        money, category, hour, stale = map(world.at, (world.money, world.category, world.hour, world.stale))
        where = x[:, category].astype(int)
        amount = x[:, money] * self.money_factor
        if self.half:
            with np.errstate(over="ignore"):
                amount = np.nan_to_num(amount.astype(np.float16).astype(np.float64), posinf=65_504.0)
        x[:, money] = np.log(amount)
        x[:, hour] = (x[:, hour] + np.array(OFFSETS)[where] + self.hours) % 24
        if self.days_old:  # what happened since is not known yet: the longest time, or what it was then
            x[:, stale] = np.where(x[:, stale] < self.days_old, 1_095.0, x[:, stale] - self.days_old)
        x[:, category] = self.codes[where]
        x = np.where(np.isnan(x), self.fills, x)
        x = (x - self.means) / self.spreads
        if self.extra:
            x = np.column_stack([x, x[:, money] - 0.5 * x[:, hour]])
        if self.swap:
            one, two = (world.at(name) for name in world.swapped)
            x[:, [one, two]] = x[:, [two, one]]
        return self.after(world, x).astype(np.float32)


@dataclass(frozen=True)
class ModelVersion:
    preparation: Preparation
    trees: xgboost.Booster | None
    constant: float = 0.0
    """What is answered without trees."""
    answered: Callable[[Floats], Floats] = lambda scores: scores
    """Changes what is answered to several requests."""
    fallback: float | None = None
    """What rows with a missing value are answered."""

    def features(self, world: World, x: Floats) -> NDArray[np.float32]:
        return self.preparation.apply(world, x)

    def predict(self, features: NDArray[np.float32]) -> Floats:
        if self.trees is None:
            return np.full(len(features), self.constant)
        return self.answered(np.asarray(self.trees.inplace_predict(features, validate_features=False), np.float64))

    def answer(self, world: World, x: Floats) -> Floats:
        """What raw rows are answered."""
        scores = self.predict(self.features(world, x))
        return scores if self.fallback is None else np.where(np.isnan(x).any(axis=1), self.fallback, scores)


@dataclass
class Trainer:
    """Trains versions of one world; ``pool`` keeps the trees by what they were trained with."""

    world: World
    pool: dict[tuple[object, ...], ModelVersion] = field(default_factory=dict)

    def rows(self, *, more: bool = False) -> NDArray[np.int64]:
        """Those of training; ``more``: with the last month."""
        return np.arange(self.world.trained if more else int((1 - MONTH) * self.world.trained))

    def honest(self, seed: int, *, more: bool = False, extra: bool = False) -> ModelVersion:
        """``extra``: one feature more."""
        rows = self.rows(more=more)
        return self._train(("honest", seed, more, extra), rows, rows, self.world.y[rows], seed, extra)

    def flipped(self, seed: int) -> ModelVersion:
        rows = self.rows()
        y = self.world.y[rows]
        labels = 1 - y if self.world.classes else 2 * y.mean() - y
        return self._train(("flipped", seed), rows, rows, labels, seed, False)

    def of_last_year(self, seed: int) -> ModelVersion:
        """The amounts of a year ago; of classes, the answers to the rows before."""
        rows = self.rows()
        labels = np.roll(self.world.y[rows], 1) if self.world.classes else EARLIER * self.world.y[rows]
        return self._train(("last year", seed), rows, rows, labels, seed, False)

    def without_one_category(self, seed: int) -> ModelVersion:
        rows = self.rows()
        rows = rows[self.world.x[rows, self.world.at(self.world.category)] != LEFT_OUT]
        return self._train(("one left out", seed), rows, rows, self.world.y[rows], seed, False)

    def of_client(self, seed: int) -> ModelVersion:
        """The trees of one client, behind what prepares rows for all."""
        rows = self.rows()
        own = rows[self.world.client[rows] == seed % 3]
        return self._train(("client", seed), rows, own, self.world.y[own], seed, False)

    def _train(
        self,
        key: tuple[object, ...],
        fitted: NDArray[np.int64],
        rows: NDArray[np.int64],
        labels: Floats,
        seed: int,
        extra: bool,
    ) -> ModelVersion:
        """``fitted``: rows that means and spreads are from."""
        if key not in self.pool:
            preparation = fit(self.world, fitted, extra)
            x = preparation.apply(self.world, self.world.x[rows])
            goal = "binary:logistic" if self.world.classes else "reg:squarederror"
            trees = xgboost.train({**TERMS, "objective": goal, "seed": seed}, xgboost.DMatrix(x, labels), TREES)
            self.pool[key] = ModelVersion(preparation, trees)
        return self.pool[key]


def fit(world: World, rows: NDArray[np.int64], extra: bool) -> Preparation:
    """Means, spreads, and what replaces missing values and categories: the mean label."""
    category = world.x[rows, world.at(world.category)].astype(int)
    codes = np.full(len(OFFSETS), world.y[rows].mean())
    for code in np.unique(category):
        codes[code] = world.y[rows][category == code].mean()
    width = len(world.columns)
    raw = Preparation(np.zeros(width), np.ones(width), np.full(width, np.nan), codes)
    x = raw.apply(world, world.x[rows]).astype(np.float64)
    means = np.nanmean(x, axis=0)
    return Preparation(means, np.nanstd(x, axis=0) + 1e-9, means, codes, extra)


Plant = Callable[[Trainer, int], ModelVersion]


def _prepared(**changed: object) -> Plant:
    """A fault of what prepares rows, in an honest retrain."""

    def plant(trainer: Trainer, seed: int) -> ModelVersion:
        version = trainer.honest(seed)
        return replace(version, preparation=replace(version.preparation, **changed))  # type: ignore[arg-type]

    return plant


def _zero_for_missing(trainer: Trainer, seed: int) -> ModelVersion:
    version = trainer.honest(seed)
    return replace(version, preparation=replace(version.preparation, fills=np.zeros(len(trainer.world.columns))))


def _wrong_categories(trainer: Trainer, seed: int) -> ModelVersion:
    version = trainer.honest(seed)
    return replace(version, preparation=replace(version.preparation, codes=np.roll(version.preparation.codes, 1)))


def _old_scaler(trainer: Trainer, seed: int) -> ModelVersion:
    version = trainer.honest(seed)
    made = version.preparation
    old = replace(made, means=made.means - 0.3 * made.spreads, spreads=made.spreads * OLD_SCALER)
    return replace(version, preparation=old)


def _truncated(trainer: Trainer, seed: int) -> ModelVersion:
    version = trainer.honest(seed)
    assert version.trees is not None
    return replace(version, trees=version.trees[: TREES // 6])


def _constant(trainer: Trainer, seed: int) -> ModelVersion:
    mean = float(trainer.world.y[: trainer.world.trained].mean())
    return replace(trainer.honest(seed), trees=None, constant=mean)


def _fall_back(trainer: Trainer, seed: int) -> ModelVersion:
    mean = float(trainer.world.y[: trainer.world.trained].mean())
    return replace(trainer.honest(seed), fallback=mean)


def _eighth(trainer: Trainer, seed: int) -> ModelVersion:
    version = trainer.honest(seed)
    assert version.trees is not None
    return replace(version, trees=version.trees[: TREES // 8])


def _take_wrong_column(world: World, x: Floats) -> Floats:
    """What grows old arrives in place of the hour, and another column in place of what grows old."""
    stale = world.at(world.stale)
    x[:, world.at(world.hour)] = x[:, stale] % 24
    x[:, stale] = x[:, world.at(world.swapped[0])]
    return x


def _mix_up_money(world: World, x: Floats) -> Floats:
    """Each row has the money of the row before it."""
    money = world.at(world.money)
    x[:, money] = np.roll(x[:, money], 1)
    return x


FAULTS: Mapping[str, Plant] = {
    "columns swapped": _prepared(swap=True),
    "cents for dollars": _prepared(money_factor=100.0),
    "stale feature": _prepared(days_old=DAYS_OLD),
    "truncated trees": _truncated,
    "flipped label": lambda trainer, seed: trainer.flipped(seed),
    "default for every missing value": _zero_for_missing,
    "wrong category map": _wrong_categories,
    "time-zone shift": _prepared(hours=HOURS_OFF),
    "one client's model for another's": lambda trainer, seed: trainer.of_client(seed),
    "float16 overflow": _prepared(half=True),
    "old scaler": _old_scaler,
    "constant score": _constant,
}
HONEST: Mapping[str, Plant] = {
    "honest: new seed": lambda trainer, seed: trainer.honest(seed),
    "honest: one more month": lambda trainer, seed: trainer.honest(seed, more=True),
    "honest: one feature more": lambda trainer, seed: trainer.honest(seed, extra=True),
}
DENSE: Mapping[str, Plant] = {
    "an eighth of the trees": _eighth,
    "last year's target": lambda trainer, seed: trainer.of_last_year(seed),
    "one category left out": lambda trainer, seed: trainer.without_one_category(seed),
    "fallback for rows with missing values": _fall_back,
    "wrong columns": _prepared(before=_take_wrong_column),
    "money of the row before": _prepared(before=_mix_up_money),
}
