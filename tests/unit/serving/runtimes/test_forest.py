"""A forest gives the library's own results, to the bit where the sums are concerned, in a tenth of the memory."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tidegate.serving.runtimes.forest import DamagedForest, unpack
from tidegate.serving.runtimes.forest_builder import _arrays, _reorder_nodes, build_forest
from tidegate.serving.runtimes.objectives import Matrix
from tidegate.serving.runtimes.xgboost import features
from tidegate.serving.runtimes.xgboost_document import NotCovered, TreeDocument

FEATURES = 7


def rows_of(number: int, missing: float, seed: int = 5) -> Matrix:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(number, FEATURES)).astype(np.float32)
    rows[random.random(rows.shape) < missing] = np.nan
    return rows


def trained(settings: dict[str, Any], rounds: int = 30) -> xgboost.Booster:
    rows = rows_of(500, 0.1)
    score = np.nan_to_num(rows[:, 0]) * 2 - np.nan_to_num(rows[:, 1])
    objective = settings["objective"]
    label: NDArray[Any] = score
    if objective.startswith("binary"):
        label = (score > 0).astype(float)
    elif objective.startswith("multi"):
        label = np.digitize(score, [-0.5, 0.5])
    elif objective != "reg:squarederror":
        label = np.abs(score) + 0.5
    return xgboost.train({"nthread": 1, **settings}, xgboost.DMatrix(rows, label), rounds)


def planted(booster: xgboost.Booster, iterations: tuple[int, int] = (0, 0), mark: str = "m") -> bytes:
    return build_forest(booster, features(booster), iterations, mark)


@pytest.mark.parametrize("depth", [1, 4, 9])
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "binary:logistic"},
        {"objective": "reg:squarederror"},
        {"objective": "count:poisson"},
        {"objective": "multi:softprob", "num_class": 3},
        {"objective": "reg:squarederror", "num_parallel_tree": 3, "subsample": 0.7},
    ],
)
def test_sums_are_the_librarys_to_the_bit(settings: dict[str, Any], missing: float, depth: int) -> None:
    booster = trained({**settings, "max_depth": depth})
    forest = unpack(planted(booster))
    rows = rows_of(200, missing, seed=9)
    expected = booster.inplace_predict(rows, predict_type="margin", validate_features=False)
    assert np.array_equal(forest.sums(rows), expected)
    assert np.array_equal(np.concatenate([forest.sums(row[None]) for row in rows]), expected)
    answers = booster.inplace_predict(rows, validate_features=False)
    assert np.allclose(forest.predict(rows), answers, rtol=0, atol=1e-6)


def test_a_forest_is_small() -> None:
    booster = trained({"objective": "binary:logistic", "max_depth": 5}, rounds=100)
    data = planted(booster)
    forest = unpack(data)
    assert len(data) < 8 * forest.head.nodes + 1000
    assert len(data) * 5 < len(booster.save_raw("ubj"))


def test_the_best_iteration_and_names_are_kept() -> None:
    rows = rows_of(200, 0)
    matrix = xgboost.DMatrix(rows, rows[:, 0], feature_names=list("abcdefg"))
    booster = xgboost.train({"objective": "reg:squarederror", "nthread": 1}, matrix, 20)
    forest = unpack(planted(booster, (0, 5), "etag"))
    expected = booster.inplace_predict(rows, iteration_range=(0, 5), validate_features=False)
    assert np.array_equal(forest.predict(rows), expected)
    assert (forest.head.names, forest.head.mark, forest.head.trees) == (tuple("abcdefg"), "etag", (5,))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"objective": "reg:squarederror", "booster": "gblinear"}, "another form"),
        ({"objective": "reg:squarederror", "booster": "dart", "rate_drop": 0.5}, "booster dart"),
        ({"objective": "binary:hinge"}, "objective binary:hinge"),
    ],
)
def test_other_kinds_stay_with_the_library(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(NotCovered, match=why):
        planted(trained(settings))


@pytest.mark.parametrize("leaf", ["NaN", "Infinity"])
def test_leaves_that_are_no_numbers_stay_with_the_library(leaf: str) -> None:
    """XGBoost reads and writes them in its JSON, which is no JSON then."""
    document = json.loads(trained({"objective": "reg:squarederror", "max_depth": 1}, 1).save_raw("json"))
    [tree] = document["learner"]["gradient_booster"]["model"]["trees"]
    tree["split_conditions"][-1] = float(leaf)
    booster = xgboost.Booster(model_file=bytearray(json.dumps(document).encode()))
    with pytest.raises(NotCovered, match="another form"):
        planted(booster)


@given(st.data())
def test_damaged_bytes_are_noticed(data: st.DataObject) -> None:
    whole = _packed()
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    for broken in (flipped, whole[:at], whole + b"more"):
        with pytest.raises(DamagedForest):
            unpack(broken)


_KEPT: list[bytes] = []


def _packed() -> bytes:
    if not _KEPT:
        _KEPT.append(planted(trained({"objective": "reg:squarederror"}, rounds=3)))
    return _KEPT[0]


def test_nodes_in_another_order_make_the_same_tree() -> None:
    tree = TreeDocument(
        [3, -1, -1, 1, -1], [4, -1, -1, 2, -1], [0, 0, 0, 1, 0], [0.5, 1.0, 2.0, 0.25, 3.0], [1, 0, 0, 0, 0]
    )
    found, depth = _arrays([tree], 2)
    assert depth == 2
    assert found.left.tolist() == [1, 3, 2, 3, 4]
    assert found.limits.tolist() == [0.5, 0.25, 3.0, 1.0, 2.0]
    assert found.features.tolist() == [0, 1, 2, 2, 2]
    assert np.unpackbits(found.right_by_default, count=5).tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("left", "right"),
    [([0, -1, -1], [2, -1, -1]), ([1, -1, -1], [9, -1, -1]), ([1, -1, -1], [1, -1, -1]), ([-1, -1], [-1, -1])],
)
def test_what_is_no_tree_is_not_planted(left: list[int], right: list[int]) -> None:
    zeros = [0] * len(left)
    with pytest.raises(NotCovered):
        _reorder_nodes(TreeDocument(left, right, zeros, [0.0] * len(left), zeros))


def test_a_split_by_an_unknown_feature_is_not_planted(tmp_path: Path) -> None:
    with pytest.raises(NotCovered, match="feature"):
        _arrays([TreeDocument([1, -1, -1], [2, -1, -1], [7, 0, 0], [0.5, 1.0, 2.0], [0, 0, 0])], 7)
