"""The second evaluation of trees: the library's own results, or none."""

from pathlib import Path

import numpy as np
import pytest
import xgboost

from tests.worker_process import FEATURES
from tidegate.serving.runtimes import xgboost_onnx
from tidegate.serving.runtimes.objectives import Matrix
from tidegate.serving.runtimes.xgboost import load
from tidegate.serving.runtimes.xgboost_document import NotCovered

Settings = dict[str, object]


def rows_of(number: int, seed: int = 1) -> Matrix:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(number, len(FEATURES))).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def trained(settings: Settings, rounds: int = 20) -> xgboost.Booster:
    rows = rows_of(400)
    labels = np.nan_to_num(rows[:, 0] - rows[:, 1]) > 0
    data = xgboost.DMatrix(rows, labels.astype(int) + (np.nan_to_num(rows[:, 2]) > 0) * ("num_class" in settings))
    return xgboost.train({"max_depth": 4, "nthread": 1, **settings}, data, rounds)


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "binary:logistic", "base_score": 0.03},
        {"objective": "binary:logitraw"},
        {"objective": "reg:squarederror", "base_score": 85_000.0},
        {"objective": "reg:squarederror", "tree_method": "exact", "gamma": 1.0, "num_parallel_tree": 3},
        {"objective": "count:poisson"},
        {"objective": "reg:tweedie"},
        {"objective": "reg:absoluteerror"},
        {"objective": "multi:softprob", "num_class": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("iterations", [(0, 0), (0, 7)])
def test_rows_score_as_in_the_library(settings: Settings, iterations: tuple[int, int]) -> None:
    booster = trained(settings)
    rows = rows_of(500, seed=2)
    expected = booster.inplace_predict(rows, missing=np.nan, iteration_range=iterations)
    evaluation = xgboost_onnx.faster(booster, iterations, 1).rows
    np.testing.assert_allclose(evaluation(rows), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(evaluation(rows[:1]), expected[:1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"objective": "binary:logistic", "booster": "dart"}, "booster dart"),
        ({"objective": "multi:softmax", "num_class": 3}, "objective multi:softmax"),
    ],
    ids=str,
)
def test_other_kinds_stay_with_the_library(
    settings: Settings, why: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    booster = trained(settings)
    with pytest.raises(NotCovered, match=why):
        xgboost_onnx.faster(booster, (0, 0), 1)
    booster.save_model(tmp_path / "model.ubj")
    rows = rows_of(3)
    np.testing.assert_array_equal(load(tmp_path, {}).score([rows])[0], booster.inplace_predict(rows))
    assert why in capfd.readouterr().out


def test_categories_and_several_targets_stay_with_the_library() -> None:
    random = np.random.default_rng(4)
    codes = random.integers(0, 5, (200, 1)).astype(np.float32)
    data = xgboost.DMatrix(codes, codes[:, 0] % 2, feature_types=["c"], enable_categorical=True)
    categorical = xgboost.train({"max_cat_to_onehot": 1, "nthread": 1}, data, 3)
    two = xgboost.train({"nthread": 1}, xgboost.DMatrix(codes, np.c_[codes, -codes]), 3)
    for booster in (categorical, two):
        with pytest.raises(NotCovered, match="several targets, or categories"):
            xgboost_onnx.faster(booster, (0, 0), 1)


def test_a_base_score_beyond_its_link_stays_with_the_library() -> None:
    """Sums that overflow on a probe row cannot be compared, so the library keeps the model."""
    rows = rows_of(50)
    booster = xgboost.train(
        {"objective": "count:poisson", "base_score": 1.0, "nthread": 1, "max_delta_step": 0, "lambda": 0},
        xgboost.DMatrix(rows, np.zeros(50), base_margin=np.full(50, 200.0, np.float32)),
        1,
    )
    with pytest.raises(NotCovered):
        xgboost_onnx.faster(booster, (0, 0), 1)
