"""Attrition per client: a thousand clients, each with a model of its own, on one endpoint."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tidegate.features.examples import employees
from tidegate.features.examples.contract import SampleRequest, TrainedExample, TrainedVersion
from tidegate.features.examples.employees import WEIGHTS, Staff
from tidegate.features.examples.measures import auc
from tidegate.features.examples.trees import Predict, boost, save

CLIENTS = 1_000
ROWS = 400
"""Employees of one client whose outcomes are known."""
HELD_OUT = 200
PARAMETERS = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.2, "min_child_weight": 5}
FURTHER = {**PARAMETERS, "eta": 0.1}


def build(folder: Path, scale: float) -> TrainedExample:
    """Train two versions of every client's model; the third one is the second with its files in the wrong places."""
    count = max(20, int(CLIENTS * scale))
    random = np.random.default_rng(5)
    own = random.normal(0.0, 1.2, (count, len(WEIGHTS)))
    everybody = boost(*_generate_all(own[: min(count, 100)]), PARAMETERS, 30)
    better: list[Predict] = []
    tests: list[Staff] = []
    scores: dict[str, list[NDArray[np.float32]]] = {"v1": [], "better": [], "worse": []}
    for client in range(count):
        past, test = _staff(client, own[client], ROWS), _staff(client + count, own[client], HELD_OUT)
        first = save(boost(past.x, past.left, PARAMETERS, 12), folder / "v1" / _name_of(client))
        own_file = folder / "better" / _name_of(client)
        better.append(save(boost(past.x, past.left, FURTHER, 12, start=everybody), own_file))
        shutil.copyfile(own_file, _make_folder(folder / "worse") / _name_of((client + 1) % count))
        tests.append(test)
        scores["v1"].append(first(test.x))
        scores["better"].append(better[-1](test.x))
    scores["worse"] = [better[client - 1](test.x) for client, test in enumerate(tests)]
    about = {
        "v1": f"12 trees on {ROWS} employees of each client",
        "better": "30 trees on all clients' employees, then 12 on each client's own",
        "worse": "the same models, each under the name of the next client",
    }
    versions = {
        name: TrainedVersion(about[name], (f"{name}/",), {"AUC": _mean_auc(found, tests)})
        for name, found in scores.items()
    }
    rows = (
        f"{HELD_OUT} synthetic employees of each of {count:,} clients, mean over the clients; who knew the true "
        f"probabilities would reach {_mean_auc([test.probability for test in tests], tests):.3f}"
    )
    return TrainedExample("AUC", rows, versions, _requests(tests))


def _name_of(client: int) -> str:
    return f"client-{client:04}.ubj"


def _make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _staff(seed: int, own: NDArray[np.float64], count: int) -> Staff:
    return employees.generate(count, 10_000 + seed, own)


def _generate_all(own: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    found = [_staff(50_000 + client, each, ROWS) for client, each in enumerate(own)]
    return np.concatenate([one.x for one in found]), np.concatenate([one.left for one in found])


def _mean_auc(scores: Sequence[NDArray[np.floating]], tests: list[Staff]) -> float:
    return float(np.mean([auc(score, test.left) for score, test in zip(scores, tests, strict=True)]))


def _requests(tests: list[Staff]) -> list[SampleRequest]:
    """A few clients ask often and most hardly ever, as Zipf's law has it."""
    random = np.random.default_rng(6)
    weights = 1 / np.arange(1, len(tests) + 1)
    chosen = random.choice(len(tests), 2_000, p=weights / weights.sum())
    found = []
    for client in chosen:
        row = int(random.integers(HELD_OUT))
        staff = tests[client]
        named = {"X-Amzn-SageMaker-Target-Model": _name_of(int(client))}
        found.append(SampleRequest(staff.line(row), headers=named, expected=str(int(staff.left[row]))))
    return found
