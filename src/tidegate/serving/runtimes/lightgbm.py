"""LightGBM models, scored in this process.

The model is the one ``.txt`` or ``.lgb`` file of the model data, as ``Booster.save_model`` writes it. Rows are
float64, in which the library compares them with its thresholds; NaN stands for missing.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.domain.errors import ArtifactError

try:
    import lightgbm
    import numpy as np

    from tidegate.serving.formats import row_decoder
    from tidegate.serving.runtimes import categories
    from tidegate.serving.runtimes.error_messages import cause, looks_like
    from tidegate.serving.runtimes.tabular_scorer import TabularScorer, default_accept, only, threads
except ImportError as missing:
    raise ArtifactError(
        f"LightGBM models need packages that are not installed ({missing.name}): pip install 'tidegate[lightgbm]'"
    ) from None

_CATEGORICAL = re.compile(r"^\[categorical_feature: ([0-9,]*)\]$", re.MULTILINE)
_INFOS = re.compile(r"^feature_infos=(.*)$", re.MULTILINE)


def load(model_dir: Path, environment: Mapping[str, str]) -> TabularScorer:
    """Raises ArtifactError for model data without exactly one usable model."""
    path = only(model_dir, "LightGBM model", (".txt", ".lgb"))
    number, accept = threads(environment), default_accept(environment)
    data = path.read_bytes()
    # LightGBM's reader ends the process at some truncated files, so check the first and last lines before.
    if not data.startswith(b"tree\n"):
        raise ArtifactError(
            f"{path.name} is not a LightGBM model: it {looks_like(data)}; save the model with booster.save_model(...)"
        )
    if b"\nend of trees\n" not in data or b"\nend of parameters" not in data:
        raise ArtifactError(f"{path.name} is not a whole LightGBM model: it is cut off; save it again")
    try:
        booster = lightgbm.Booster(model_str=data.decode())
    except (lightgbm.basic.LightGBMError, ValueError, IndexError) as error:
        raise ArtifactError(f"{path.name} is not a whole LightGBM model: {cause(error, path)}") from None

    def predict(rows: row_decoder.Matrix) -> Any:
        return booster.predict(rows, num_threads=number)

    return TabularScorer(predict, features(booster, categories.declared_categories(environment)), accept)


def features(booster: lightgbm.Booster, declared: Mapping[str, categories.Values]) -> row_decoder.Features:
    """The model's columns. Those that were pandas categories in training have their lists. Raises ArtifactError for
    lists whose columns are not certain."""
    count, names = booster.num_feature(), booster.feature_name()
    lists = booster.pandas_categorical or []
    if declared:
        found = categories.match_declared(names, lists, declared)
    else:
        text = booster.model_to_string(num_iteration=1)
        places, infos = _CATEGORICAL.search(text), _INFOS.search(text)
        at = [int(place) for place in places[1].split(",")] if places is not None and places[1] else []
        seen = infos[1].split() if infos is not None else []
        found = categories.assign_lists(names, lists, seen if len(seen) == count else ["none"] * count, at)
    kinds = [row_decoder.ColumnType()] * count
    for place, values in found.items():
        kinds[place] = row_decoder.ColumnType(row_decoder.ValueKind.CATEGORY, values)
    return row_decoder.Features(count, names, kinds, np.float64)
