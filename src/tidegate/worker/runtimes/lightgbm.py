"""LightGBM models, scored in this process.

The model is the one ``.txt`` or ``.lgb`` file of the model data, as ``Booster.save_model`` writes it. Rows are
float32 as for every built-in runtime, NaN stands for missing.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.model.errors import ArtifactError

try:
    import lightgbm

    from tidegate.worker.runtimes import codecs
    from tidegate.worker.runtimes.broken import cause, looks_like
    from tidegate.worker.runtimes.tables import Table, default_accept, only, threads
except ImportError as missing:
    raise ArtifactError(
        f"LightGBM models need packages that are not installed ({missing.name}): pip install 'tidegate[lightgbm]'"
    ) from None

_CATEGORICAL = re.compile(r"^\[categorical_feature: ([0-9,]*)\]$", re.MULTILINE)


def load(model_dir: Path, environment: Mapping[str, str]) -> Table:
    """Raises ArtifactError for model data without exactly one usable model."""
    path = only(model_dir, "LightGBM model", (".txt", ".lgb"))
    number, accept = threads(environment), default_accept(environment)
    data = path.read_bytes()
    # LightGBM's own reader ends the process at some cut files, so the frame that it writes is looked at first.
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

    def predict(rows: codecs.Matrix) -> Any:
        return booster.predict(rows, num_threads=number)

    return Table(predict, _features(booster), accept)


def _features(booster: lightgbm.Booster) -> codecs.Features:
    """The columns that the model takes. Those that were pandas categories when it was trained keep their lists."""
    count, names = booster.num_feature(), booster.feature_name()
    listed = booster.pandas_categorical or []
    places = _CATEGORICAL.search(booster.model_to_string(num_iteration=1))
    at = [int(place) for place in places[1].split(",")] if places is not None and places[1] else []
    if len(at) == len(listed):
        kinds = [codecs.Column()] * count
        for place, categories in zip(at, listed, strict=True):
            kinds[place] = codecs.Column(codecs.Kind.CATEGORY, tuple(_plain(categories)))
        return codecs.Features(count, names, kinds)
    return codecs.Features(count, names)


def _plain(categories: list[Any]) -> list[Any]:
    """All text or all numbers; a list of both cannot be told apart by what a request sends."""
    if all(isinstance(one, int | float) for one in categories):
        return [float(one) for one in categories]
    return [str(one) for one in categories]
