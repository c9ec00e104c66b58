"""Default functions for scripts, by the framework of the image."""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.content_types import CSV, JSON_LINES, NPY, kind_of
from tidegate.serving.runtimes import aws_xgboost, script_arrays, user_code
from tidegate.transform.splitting import count_lines

_Function = Callable[..., Any]


def defaults(family: str) -> dict[str, _Function]:
    """Name of a function -> its default. Without a framework ``predict_fn`` has none."""
    found: dict[str, _Function] = {"input_fn": script_arrays.decode, "output_fn": _output}
    if family == "sklearn":
        return {**found, "input_fn": _rows, "predict_fn": _predict}
    if family == "xgboost":
        return {**found, "input_fn": _xgboost_rows, "predict_fn": _xgboost_predict}
    return found


def _output(prediction: Any, accept: str) -> Any:
    """Encode a prediction. Parts of a generator that are not bytes or text become lines of JSON."""
    if not isinstance(prediction, Iterator):
        return script_arrays.encode(prediction, accept)
    return (_part(part) for part in prediction), JSON_LINES if accept == script_arrays.JSON else accept


def _part(part: Any) -> Any:
    if isinstance(part, str | bytes):
        return part
    return msgspec.json.encode(part, enc_hook=user_code.plain) + b"\n"


def _rows(data: str | bytes, content_type: str | None) -> Any:
    """Rows, as in AWS's container: text becomes float32, an array keeps its type."""
    found = script_arrays.decode(data, content_type)
    try:
        if found.dtype.names:  # numpy makes records of columns with several types
            found = structured_to_unstructured(np.atleast_1d(found))
        if found.ndim == 1 and _lines(data, content_type) > 1:
            found = found.reshape(-1, 1)  # numpy leaves a single column flat
        rows = np.atleast_2d(found)
        return rows if kind_of(content_type or "") == NPY else rows.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ModelFailed(400, f"The body has values that are not numbers: {error}.") from None


def _lines(data: str | bytes, content_type: str | None) -> int:
    """Number of lines of a CSV; 1 for other content types."""
    if kind_of(content_type or "") != CSV:
        return 1
    body = data.encode() if isinstance(data, str) else data
    return count_lines(body)


def _xgboost_rows(data: str | bytes, content_type: str | None, context: Any) -> Any:
    """A DMatrix. The columns of a Booster are known, so its rows are parsed and checked as without a script."""
    import xgboost  # noqa: PLC0415  # for scripts of this framework only

    kind = kind_of(content_type or "")
    if kind not in (CSV, *aws_xgboost.SPARSE):
        return xgboost.DMatrix(_rows(data, content_type))
    if not isinstance(context.model, xgboost.Booster):
        if kind == CSV:
            return xgboost.DMatrix(_rows(data, content_type))
        raise ModelFailed(415, f"{kind} is read for a Booster, and model_fn gave none: write an input_fn.")
    features, base = _columns(context.model)
    body = data.encode() if isinstance(data, str) else data
    rows = aws_xgboost.read(features, base, body, content_type or "")
    return xgboost.DMatrix(rows, missing=np.nan)


@lru_cache(maxsize=64)
def _columns(booster: Any) -> Any:
    from tidegate.serving.runtimes import xgboost  # noqa: PLC0415  # needs XGBoost

    return xgboost.features(booster, os.environ), aws_xgboost.index_base(booster, os.environ)


def _predict(data: Any, model: Any) -> Any:
    return model.predict(data)


def _xgboost_predict(data: Any, model: Any) -> Any:
    """Predict without comparing feature names, since rows have none."""
    import xgboost  # noqa: PLC0415  # for scripts of this framework only

    if isinstance(model, xgboost.Booster):
        return model.predict(data, validate_features=False)
    return model.predict(data)
