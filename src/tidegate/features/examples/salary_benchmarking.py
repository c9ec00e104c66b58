"""Ad-hoc salary benchmarking: analysts ask now and then, so it runs only while it is asked."""

from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from tidegate.features.examples import salary_explained
from tidegate.features.examples.contract import BEFORE, SampleRequest, TrainedExample, TrainedVersion
from tidegate.features.examples.measures import moved, r_squared
from tidegate.features.examples.salary_explained import FEATURES, Salaries, describe_rows

HOURS = FEATURES.index("hours")


def build(folder: Path, scale: float) -> TrainedExample:
    """Train three forests."""
    past, test = (
        salary_explained.generate_salaries(max(3_000, int(12_000 * scale)), 3),
        salary_explained.generate_salaries(3_000, 4),
    )
    few = 800
    monthly = past.x.copy()
    monthly[:, HOURS] *= 52 / 12
    models = {
        "v1": _train(folder / "v1.skops", past.x[:few], past.log_salary[:few], 10, 6),
        "better": _train(folder / "better.skops", past.x, past.log_salary, 30, 10),
        "worse": _train(folder / "worse.skops", monthly, past.log_salary, 30, 10),
    }
    about = {
        "v1": f"10 trees on {few} salaries",
        "better": f"30 deeper trees on {len(past.x):,}",
        "worse": "the same on a table with hours a month, while requests have hours a week",
    }
    found = {name: model.predict(test.x) for name, model in models.items()}
    versions = {
        name: TrainedVersion(
            about[name],
            (f"{name}.skops",),
            {"R2": r_squared(score, test.log_salary), "moved": moved(found[BEFORE[name]], score)},
        )
        for name, score in found.items()
    }
    requests = _requests(test)
    table = [",".join((*FEATURES, "log_salary")), *(f"{one.body},{one.expected}" for one in requests)]
    return TrainedExample("R2", describe_rows(test), versions, requests, table=table)


def _train(path: Path, x: NDArray[np.float32], y: NDArray[np.float64], trees: int, depth: int) -> Any:
    forest = RandomForestRegressor(trees, max_depth=depth, random_state=1, n_jobs=1).fit(x, y)
    path.parent.mkdir(parents=True, exist_ok=True)
    skops.io.dump(forest, path)
    return forest


def _requests(test: Salaries) -> list[SampleRequest]:
    return [SampleRequest(test.line(row), expected=f"{test.log_salary[row]:.4f}") for row in range(500)]
