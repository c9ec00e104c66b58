"""Salary with explanation: a model and its SHAP values side by side, each asked by itself."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tidegate.features.examples import salaries
from tidegate.features.examples.contract import BEFORE, SampleRequest, TrainedExample, TrainedVersion
from tidegate.features.examples.salaries import COUNTRIES, FEATURES, Salaries
from tidegate.features.examples.trees import boost, moved, r_squared, save

PARAMETERS = {"objective": "reg:squarederror", "max_depth": 4, "eta": 0.15}
RUPEES = np.log(83.0)


def build(folder: Path, scale: float) -> TrainedExample:
    """Train three versions; the explainer has the same file as the model."""
    past, test = salaries.generate(max(3_000, int(20_000 * scale)), 1), salaries.generate(3_000, 2)
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
