"""Models of LightGBM and XGBoost within scikit-learn's, trained with pandas' category columns.

Both libraries take the numbers of an array for codes, positions in the list of categories, and refuse a DataFrame
whose column is no category. So an array of a request's values would be answered wrongly, and without an error.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tidegate.serving.formats.column_values import ColumnType

_LIBRARIES = frozenset({"lightgbm", "xgboost"})
_MOST = 200_000
"""Most objects that are inspected."""


def find_kinds(model: Any, environment: Mapping[str, str]) -> tuple[ColumnType, ...] | None:
    """The columns of a model that gives them to a booster unchanged, with their categories; None for any other model,
    or if all columns are numbers. Raises ArtifactError for ambiguous categories, and Invalid for the environment."""
    inner = getattr(model, "best_estimator_", model)
    if not _LIBRARIES & {_root(kind) for kind in type(inner).__mro__} or not holds_categories(inner):
        return None
    if hasattr(inner, "booster_"):
        from tidegate.serving.runtimes import categories, lightgbm  # noqa: PLC0415  # needs LightGBM

        return lightgbm.features(inner.booster_, categories.declared_categories(environment)).kinds
    if hasattr(inner, "get_booster"):
        from tidegate.serving.runtimes import xgboost  # noqa: PLC0415  # needs XGBoost

        return xgboost.features(inner.get_booster(), environment).kinds
    return None


def holds_categories(model: Any) -> bool:
    """Whether a booster with categories is anywhere in the model, or the model is too large to say."""
    if not _LIBRARIES & sys.modules.keys():
        return False
    seen: dict[int, Any] = {}
    left = [model]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, int | float | str | bytes | None | np.generic | np.dtype | type):
            continue
        seen[id(one)] = one
        if len(seen) > _MOST:
            return True
        if _root(type(one)) in _LIBRARIES and (
            getattr(one, "pandas_categorical", None) or "c" in (getattr(one, "feature_types", None) or ())
        ):
            return True
        left += _parts(one)
    return False


def _parts(one: Any) -> Iterable[Any]:
    if isinstance(one, dict):
        return one.values()
    if isinstance(one, list | tuple | set | frozenset):
        return one
    if isinstance(one, np.ndarray):
        return one.flat if one.dtype.hasobject else ()
    return getattr(one, "__dict__", {}).values()


def _root(kind: type) -> str:
    return kind.__module__.partition(".")[0]
