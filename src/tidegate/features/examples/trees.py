"""Trains XGBoost models as the examples need them: on one thread, the same every time."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

Predict = Callable[[NDArray[Any]], NDArray[np.float32]]
FIXED = {"nthread": 1, "tree_method": "hist", "seed": 1}


def boost(
    x: NDArray[Any],
    y: NDArray[Any],
    parameters: Mapping[str, Any],
    rounds: int,
    *,
    names: tuple[str, ...] = (),
    start: xgboost.Booster | None = None,
) -> xgboost.Booster:
    """``start``: a model to train further."""
    data = xgboost.DMatrix(x, y.astype(np.float32), feature_names=list(names) or None)
    return xgboost.train({**FIXED, **parameters}, data, num_boost_round=rounds, xgb_model=start)


def save(booster: xgboost.Booster, path: Path) -> Predict:
    """Save, and return the model's own predictions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    booster.save_model(path)
    return lambda rows: np.asarray(booster.inplace_predict(rows, validate_features=False), np.float32)
