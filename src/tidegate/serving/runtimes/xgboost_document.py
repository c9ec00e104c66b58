"""The trees of an XGBoost model's JSON document, and probe rows that show where two evaluations of the trees differ.
Source: XGBoost's JSON model schema.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

PROBES = 64
_MISSING = np.float32(np.nan)


class NotCovered(Exception):
    """Only the library can evaluate the model; the message says why."""


class TreeDocument(msgspec.Struct):
    left_children: list[int]
    right_children: list[int]
    split_indices: list[int]
    split_conditions: list[float]
    """Threshold of an inner node, or value of a leaf."""
    default_left: list[int]
    categories_nodes: list[int] = []


class Trees(msgspec.Struct):
    trees: list[TreeDocument]
    tree_info: list[int]
    """Class of each tree."""


class _Gbtree(msgspec.Struct):
    name: str
    model: Trees | None = None


class _Parameters(msgspec.Struct):
    base_score: str
    num_class: str = "0"
    num_target: str = "1"


class _Objective(msgspec.Struct):
    name: str


class Learner(msgspec.Struct):
    gradient_booster: _Gbtree
    learner_model_param: _Parameters
    objective: _Objective


class File(msgspec.Struct):
    learner: Learner


def probes(trees: Sequence[TreeDocument], features: int) -> NDArray[np.float32]:
    """Probe rows: random ones, constant ones, with and without missing values, and at the thresholds, a step below
    and a step above each."""
    random = np.random.default_rng(0)
    steps: list[list[float]] = [[0.0] for _ in range(features)]
    for tree in trees:
        for left, feature, value in zip(
            tree.left_children, tree.split_indices, tree.split_conditions, strict=True
        ):
            if left >= 0:
                steps[feature].append(value)
    rows = np.empty((4 * PROBES, features), np.float32)
    for feature, values in enumerate(steps):
        at = random.choice(np.array(values, np.float32), 3 * PROBES)
        away = np.repeat(np.array([-np.inf, 0, np.inf], np.float32), PROBES)
        rows[: 3 * PROBES, feature] = np.where(away == 0, at, np.nextafter(at, away))
        rows[3 * PROBES :, feature] = random.normal(np.mean(values), 1 + np.std(values), PROBES)
    rows[random.random(rows.shape) < 0.05] = _MISSING
    largest = np.finfo(np.float32).max
    same = [0.0, -0.0, 1.0, -1.0, largest, -largest, np.finfo(np.float32).tiny, math.nan]
    return np.concatenate([rows, np.repeat(np.array(same, np.float32)[:, None], features, axis=1)])


# --- from sums to predictions, and from a base score to the sum it stands for ---
