"""A seeded generator of employees and of who leaves within half a year. Entirely synthetic: it says nothing about
real people. The true probability of each is known, so a model can be held against who knew it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEATURES = (
    "tenure_years",
    "age",
    "salary_to_market",
    "months_since_raise",
    "months_since_promotion",
    "manager_changes",
    "overtime_hours",
    "commute_minutes",
    "remote_days",
    "engagement",
    "team_size",
    "rating",
)


@dataclass(frozen=True)
class Staff:
    """Generated employees, one row each. ``probability`` is the true one; ``left`` says who left."""

    x: NDArray[np.float32]
    probability: NDArray[np.float64]
    left: NDArray[np.bool_]

    def line(self, row: int) -> str:
        return ",".join(f"{value:g}" for value in self.x[row])


def generate(count: int, seed: int, own: NDArray[np.float64] | None = None) -> Staff:
    """Generate employees. ``own``: how much more each feature counts for this company's employees than for those of
    others."""
    random = np.random.default_rng(seed)
    tenure = random.gamma(1.6, 3.0, count)
    x = np.column_stack(
        (
            tenure,
            np.clip(22 + tenure + random.gamma(3.0, 4.0, count), 18, 67),
            random.normal(1.0, 0.12, count),
            np.minimum(random.exponential(11.0, count), tenure * 12),
            np.minimum(random.exponential(26.0, count), tenure * 12),
            random.poisson(0.5, count),
            random.gamma(1.3, 6.0, count),
            random.gamma(2.2, 14.0, count),
            random.integers(0, 6, count),
            np.clip(random.normal(3.4, 0.8, count), 1, 5),
            random.integers(3, 24, count),
            random.integers(1, 6, count),
        )
    ).astype(np.float32)
    score = _risks(x) @ (WEIGHTS + (0 if own is None else own)) - 2.6
    probability = 1 / (1 + np.exp(-score))
    return Staff(x, probability, random.random(count) < probability)


WEIGHTS = np.array([1.1, 2.2, 0.7, 1.0, 0.9, 1.2, 0.5, 0.6])


def _risks(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the factors that make leaving likely, one column each."""
    column = dict(zip(FEATURES, x.T.astype(np.float64), strict=True))
    return np.column_stack(
        (
            (column["tenure_years"] < 2) * 1.0,
            np.clip(1 - column["salary_to_market"], -0.3, 0.4) * 3,
            np.clip(column["months_since_raise"] - 14, 0, 24) / 12,
            (column["manager_changes"] >= 2) * 1.0,
            np.clip(column["overtime_hours"] - 10, 0, 30) / 15,
            np.clip(3 - column["engagement"], 0, 2),
            (column["commute_minutes"] > 50) * (column["remote_days"] < 2) * 1.0,
            (column["rating"] >= 4) * (column["months_since_promotion"] > 30) * 1.0,
        )
    )
