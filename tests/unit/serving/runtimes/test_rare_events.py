"""Models of rare events: their quick evaluations give the library's probabilities, not ten times less."""

from pathlib import Path

import numpy as np
import pytest
import xgboost

from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.engines.mapped_forest import open_forest, write_forest
from tidegate.serving.runtimes import xgboost as runtime
from tidegate.serving.runtimes import xgboost_onnx
from tidegate.serving.runtimes.objectives import TOLERANCE, deviation

ROWS = np.random.default_rng(4).normal(size=(300, 3)).astype(np.float32)


def trained(folder: Path, objective: str, base: float) -> xgboost.Booster:
    settings = {"objective": objective, "nthread": 1, "base_score": base, "eta": 0.05}
    booster = xgboost.train(settings, xgboost.DMatrix(ROWS, ROWS[:, 0] > 0), 5)
    folder.mkdir()
    booster.save_model(folder / "xgboost-model.ubj")
    return booster


@pytest.mark.parametrize("base", [1e-9, 1e-7, 9e-7, 1e-6, 1e-5, 0.5, 0.99999, 0.9999995])
@pytest.mark.parametrize("objective", ["binary:logistic", "reg:logistic", "count:poisson", "binary:logitraw"])
def test_quick_evaluations_have_the_library_s_base_score(objective: str, base: float, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    booster = trained(folder, objective, base)
    expected = booster.inplace_predict(ROWS)
    write_forest(RuntimeKind.XGBOOST, folder, {})
    mapped = open_forest(RuntimeKind.XGBOOST, folder, {})
    assert mapped is not None
    own = runtime.load(folder, {})
    fast = xgboost_onnx.faster(booster, (0, 0), 1).rows
    for found in (mapped.run(ROWS), own.run(ROWS[:1]), own.run(ROWS), fast(ROWS[:40])):
        np.testing.assert_allclose(found, expected[: len(found)], rtol=2e-6, atol=1e-12)


def test_a_probability_that_is_ten_times_too_small_is_noticed() -> None:
    found, right = np.array([1e-7], np.float32), np.array([1e-6], np.float32)
    assert deviation(found, right, "binary:logistic")[0] > TOLERANCE
    assert deviation(found, right, "reg:squarederror")[0] <= TOLERANCE  # rounding in a sum
