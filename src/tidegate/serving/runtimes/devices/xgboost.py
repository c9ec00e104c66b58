"""XGBoost models on a CUDA device."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import xgboost

from tidegate.domain.errors import ArtifactError


class XGBoostOnDevice:
    """A ``library.DeviceLibrary``. ``name``: XGBoost's of the device."""

    several = False

    def __init__(self, name: str = "cuda") -> None:
        self.name = name

    def missing(self) -> str:
        if self.name == "cuda" and not xgboost.build_info().get("USE_CUDA"):
            return "the installed xgboost has no CUDA"
        return ""

    def predictor(
        self, booster: xgboost.Booster, iterations: tuple[int, int], threads: int
    ) -> Callable[[Any], Any]:
        """The model on the device. Raises ArtifactError if XGBoost does not put it there.

        Rows are given as a DMatrix: for an array in the processor's memory ``inplace_predict`` would make one,
        too, and warn each time.
        """
        moved = xgboost.Booster()
        moved.load_model(booster.save_raw())
        moved.set_param({"device": self.name, "nthread": threads})

        def predict(rows: Any) -> Any:
            matrix = xgboost.DMatrix(rows, missing=np.nan, nthread=threads)
            return moved.predict(matrix, iteration_range=iterations, validate_features=False)

        predict(np.zeros((1, booster.num_features()), np.float32))
        used = json.loads(moved.save_config())["learner"]["generic_param"].get("device", "cpu")
        if used.partition(":")[0] != self.name:
            raise ArtifactError(f"XGBoost put the model on {used}, not on {self.name}: leave out devices")
        return predict


LIBRARY = XGBoostOnDevice()
