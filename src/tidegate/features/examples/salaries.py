"""A seeded generator of salaries in five countries. Entirely synthetic: it says nothing about real pay."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEATURES = (
    "country",
    "job_level",
    "experience_years",
    "education_years",
    "company_size",
    "remote",
    "hours",
    "city",
)
COUNTRIES = ("US", "GB", "DE", "IN", "CA")
PART = (0.45, 0.2, 0.15, 0.1, 0.1)
TYPICAL = np.log(np.array([78_000.0, 52_000.0, 56_000.0, 15_000.0, 60_000.0]))
"""In dollars a year, at level 1."""


@dataclass(frozen=True)
class Salaries:
    """``log_salary``: natural logarithm of dollars a year; ``known`` without what no feature shows."""

    x: NDArray[np.float32]
    known: NDArray[np.float64]
    log_salary: NDArray[np.float64]

    def line(self, row: int) -> str:
        return ",".join(f"{value:g}" for value in self.x[row])


def generate(count: int, seed: int) -> Salaries:
    random = np.random.default_rng(seed)
    country = random.choice(len(COUNTRIES), count, p=PART)
    level = random.integers(1, 8, count)
    experience = np.clip(random.gamma(2.0, 4.0, count) + level, 0, 45)
    education = random.integers(9, 21, count)
    size = np.round(random.lognormal(5.0, 1.6, count))
    remote, city = random.random(count) < 0.35, random.random(count) < 0.6
    hours = np.clip(random.normal(39, 4, count), 16, 60)
    known = (
        TYPICAL[country]
        + 0.17 * (level - 1)
        + 0.035 * experience
        - 0.0006 * experience**2
        + 0.03 * (education - 12)
        + 0.02 * np.log1p(size)
        + 0.08 * city * (1 - 0.5 * remote)
        + np.log(hours / 39)
    )
    x = np.column_stack((country, level, experience, education, size, remote, hours, city)).astype(np.float32)
    return Salaries(x, known, known + random.normal(0.0, 0.22, count))
