"""Monthly attrition: all 50,000 employees are scored once a month, by a batch job."""

from pathlib import Path

import numpy as np

from tidegate.features.examples import employees
from tidegate.features.examples.contract import BEFORE, SampleRequest, TrainedExample, TrainedVersion
from tidegate.features.examples.measures import auc, moved
from tidegate.features.examples.trees import boost, save

RECORDS = 50_000
INPUT = "employees.csv"
PARAMETERS = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.15, "min_child_weight": 10}


def build(folder: Path, scale: float) -> TrainedExample:
    """Train three versions, and write the table of employees to score."""
    past = employees.generate(max(6_000, int(30_000 * scale)), 1)
    test = employees.generate(max(6_000, int(20_000 * scale)), 2)
    few = 1_500
    another = np.roll(past.left, 1)
    models = {
        "v1": save(boost(past.x[:few], past.left[:few], PARAMETERS, 15), folder / "v1.ubj"),
        "better": save(boost(past.x, past.left, PARAMETERS, 80), folder / "better.ubj"),
        "worse": save(boost(past.x, another, PARAMETERS, 80), folder / "worse.ubj"),
    }
    about = {
        "v1": f"15 trees on {few:,} employees",
        "better": f"80 trees on {len(past.left):,}",
        "worse": "80 trees on the same table, each row with the outcome of the row before it",
    }
    scores = {name: model(test.x) for name, model in models.items()}
    versions = {
        name: TrainedVersion(
            about[name],
            (f"{name}.ubj",),
            {"AUC": auc(score, test.left), "moved": moved(scores[BEFORE[name]], score)},
        )
        for name, score in scores.items()
    }
    _write(folder / INPUT, max(1_000, int(RECORDS * scale)))
    rows = (
        f"{len(test.left):,} synthetic employees of whom {test.left.mean():.0%} left; who knew the true "
        f"probabilities would reach {auc(test.probability, test.left):.3f}"
    )
    requests = [SampleRequest(test.line(row), expected=str(int(test.left[row]))) for row in range(1_000)]
    table = [",".join((*employees.FEATURES, "left")), *(f"{one.body},{one.expected}" for one in requests)]
    return TrainedExample("AUC", rows, versions, requests, evidence="25%", inputs=INPUT, table=table)


def _write(path: Path, count: int) -> None:
    staff = employees.generate(count, 3)
    path.write_text("".join(f"{staff.line(row)}\n" for row in range(count)))
