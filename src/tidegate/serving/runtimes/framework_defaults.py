"""What stands in for the functions that a script does not have, by the framework whose image was named."""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
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
    """Function's name -> the default. Without a family there is none for ``predict_fn``."""
    found: dict[str, _Function] = {"input_fn": script_arrays.decode, "output_fn": _output}
    if family == "sklearn":
        return {**found, "input_fn": _rows, "predict_fn": _predict}
    if family == "xgboost":
        return {**found, "input_fn": _xgboost_rows, "predict_fn": _xgboost_predict}
    return found


def _output(prediction: Any, accept: str) -> Any:
    """A generator's parts as they come: bytes and text as they are, anything else as lines of JSON."""
    if not isinstance(prediction, Iterator):
        return script_arrays.encode(prediction, accept)
    return (_part(part) for part in prediction), JSON_LINES if accept == script_arrays.JSON else accept


def _part(part: Any) -> Any:
    if isinstance(part, str | bytes):
        return part
    return msgspec.json.encode(part, enc_hook=user_code.plain) + b"\n"


def _rows(data: str | bytes, content_type: str | None) -> Any:
    """As AWS's container has it: text is read as float32, an array keeps its type."""
    found = script_arrays.decode(data, content_type)
    try:
        if found.dtype.names:  # columns of several types, of which numpy makes records
            found = structured_to_unstructured(np.atleast_1d(found))
        if found.ndim == 1 and _lines(data, content_type) > 1:
            found = found.reshape(-1, 1)  # numpy leaves a single column flat
        rows = np.atleast_2d(found)
        return rows if kind_of(content_type or "") == NPY else rows.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ModelFailed(400, f"The body has values that are not numbers: {error}.") from None


def _lines(data: str | bytes, content_type: str | None) -> int:
    """Of CSV; 1 for anything else."""
    if kind_of(content_type or "") != CSV:
        return 1
    body = data.encode() if isinstance(data, str) else data
    return count_lines(body)


def _xgboost_rows(data: str | bytes, content_type: str | None, context: Any) -> Any:
    """A DMatrix. Of a Booster the columns are known, so rows are read and checked as without a script."""
    xgboost: Any = import_module("xgboost")
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
    runtime: Any = import_module("tidegate.serving.runtimes.xgboost")
    return runtime.features(booster, os.environ), aws_xgboost.index_base(booster, os.environ)


def _predict(data: Any, model: Any) -> Any:
    return model.predict(data)


def _xgboost_predict(data: Any, model: Any) -> Any:
    """Rows have no names, whatever the model's are."""
    if isinstance(model, import_module("xgboost").Booster):
        return model.predict(data, validate_features=False)
    return model.predict(data)
