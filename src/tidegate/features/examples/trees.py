"""Trains XGBoost models as the examples need them (on one thread, the same every time), and measures their
quality."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from tidegate.statistics.ranking import count_steps, rank_counts

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


# --- measures of quality on held-out data ---


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Those that the comparison of predictions in a rollout looks at."""

Numbers = NDArray[np.floating]


def auc(score: Numbers, positive: NDArray[np.bool_]) -> float:
    """``statistics.ranking``'s; 0.5 where a class is missing."""
    found = rank_counts(count_steps(zip(score.tolist(), positive.astype(int).tolist(), strict=True))).auc
    return 0.5 if found is None else found


def r_squared(predicted: Numbers, true: Numbers) -> float:
    """Explained part of the variance; negative for predictions that are worse than the mean."""
    return float(1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def moved(old: Numbers, new: Numbers) -> float:
    """Largest part of predictions that moved across a quantile of the old version's, 0 to 1: what the comparison of
    predictions holds against its tolerance."""
    levels = np.quantile(old, QUANTILES)
    return max(float(abs((new > level).mean() - (old > level).mean())) for level in levels)
