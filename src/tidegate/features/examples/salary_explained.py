"""Salary with explanation: a model and its SHAP values side by side, each asked by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tidegate.features.examples.contract import BEFORE, SampleRequest, TrainedExample, TrainedVersion
from tidegate.features.examples.measures import moved, r_squared
from tidegate.features.examples.trees import boost, save

# A seeded generator of salaries in five countries. Entirely synthetic: it says nothing about real pay.


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


def generate_salaries(count: int, seed: int) -> Salaries:
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


PARAMETERS = {"objective": "reg:squarederror", "max_depth": 4, "eta": 0.15}
RUPEES = np.log(83.0)


def build(folder: Path, scale: float) -> TrainedExample:
    """Train three versions; the explainer has the same file as the model."""
    past, test = generate_salaries(max(3_000, int(20_000 * scale)), 1), generate_salaries(3_000, 2)
    few = 1_000
    mistaken = past.log_salary + RUPEES * (past.x[:, 0] == COUNTRIES.index("IN"))
    made = {
        "v1": boost(past.x[:few], past.log_salary[:few], PARAMETERS, 25, names=FEATURES),
        "better": boost(past.x, past.log_salary, PARAMETERS, 150, names=FEATURES),
        "worse": boost(past.x, mistaken, PARAMETERS, 150, names=FEATURES),
    }
    models = {name: save(booster, folder / f"{name}.ubj") for name, booster in made.items()}
    about = {
        "v1": f"25 trees on {few:,} salaries",
        "better": f"150 trees on {len(past.x):,}",
        "worse": "the same, with the salaries of one country of five in its own currency instead of dollars",
    }
    found = {name: model(test.x) for name, model in models.items()}
    versions = {
        name: TrainedVersion(
            about[name],
            (f"xgboost={name}.ubj", f"shap={name}.ubj"),
            {**_quality(score, test), "moved": moved(found[BEFORE[name]], score)},
        )
        for name, score in found.items()
    }
    return TrainedExample("R2", describe_rows(test), versions, _requests(test), evidence="6%")


def describe_rows(test: Salaries) -> str:
    best = r_squared(test.known, test.log_salary)
    return (
        f"logarithms of {len(test.x):,} synthetic salaries in five countries; who knew all that the features show "
        f"would reach an R2 of {best:.3f}"
    )


def _quality(score: NDArray[np.floating], test: Salaries) -> Mapping[str, float]:
    abroad = test.x[:, 0] == COUNTRIES.index("IN")
    return {
        "R2": r_squared(score, test.log_salary),
        "R2 in the country concerned": r_squared(score[abroad], test.log_salary[abroad]),
    }


def _requests(test: Salaries) -> list[SampleRequest]:
    """Every fifth one asks for the explanation."""
    found = []
    for row in range(1_000):
        container = "shap" if row % 5 == 0 else "xgboost"
        named = {"X-Amzn-SageMaker-Target-Container-Hostname": container}
        expected = f"{test.log_salary[row]:.4f}" if container == "xgboost" else ""
        found.append(SampleRequest(test.line(row), headers=named, expected=expected))
    return found
