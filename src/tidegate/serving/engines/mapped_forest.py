"""Starts an XGBoost model from a forest file that is mapped into memory, without importing XGBoost.

The first replica of a serverless fleet loads its model as usual, then writes the trees beside the model data after
comparing them with the library on probe rows (``forest_builder``). Later replicas answer from that file. Models that
are not forests are always loaded as usual.
"""

import mmap
import os
from collections.abc import Mapping
from pathlib import Path

from tidegate.domain.errors import TidegateError
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.runtimes import choose, score_forest
from tidegate.serving.runtimes.forest import DamagedForest, unpack
from tidegate.serving.runtimes.tabular_scorer import TabularScorer, default_accept
from tidegate.serving.runtimes.xgboost_document import NotCovered


def forest_path(folder: Path) -> Path:
    """Path of the forest of the model in this folder. An empty file means that the model is not a forest."""
    return folder.with_name(folder.name + ".forest")


def open_forest(kind: RuntimeKind, folder: Path, environment: Mapping[str, str]) -> TabularScorer | None:
    """Map the forest and return its scorer; None if there is no usable forest."""
    try:
        with forest_path(folder).open("rb") as file:
            forest = unpack(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))  # type: ignore[arg-type]
    except (OSError, ValueError, DamagedForest):
        return None
    return score_forest(forest, kind, environment, default_accept(environment))


def write_forest(kind: RuntimeKind, folder: Path, environment: Mapping[str, str]) -> None:
    """Write the forest for later starts, if there is none yet and the model is one."""
    target = forest_path(folder)
    try:
        if target.exists() or choose(kind, folder, environment) is not RuntimeKind.XGBOOST:
            return
        data = _build(folder, environment)
        new = target.with_name(f"{target.name}.{os.getpid()}")
        new.write_bytes(data)
        new.replace(target)
    except (OSError, TidegateError) as error:
        print(f"the next start will not be quicker: {error}", flush=True)


def _build(folder: Path, environment: Mapping[str, str]) -> bytes:
    from tidegate.serving.runtimes import forest_builder, xgboost  # noqa: PLC0415  # need XGBoost

    _, booster = xgboost.read(folder)
    xgboost.choose_trees(booster, environment)
    features = xgboost.features(booster, environment)
    try:
        return forest_builder.build_forest(booster, features, xgboost.iterations(booster), "")
    except NotCovered as why:
        print(f"starts load the model by its library: {why}", flush=True)
        return b""
