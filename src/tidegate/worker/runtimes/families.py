"""What stands in for the functions that a script does not have, by the framework whose image was named."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import msgspec
import numpy as np

from tidegate.worker.invocation import ModelFailed
from tidegate.worker.runtimes import arrays, usercode

JSON_LINES = "application/jsonlines"
_Function = Callable[..., Any]


def defaults(family: str) -> dict[str, _Function]:
    """Function's name -> the default. Without a family there is none for ``predict_fn``."""
    found: dict[str, _Function] = {"input_fn": arrays.decode, "output_fn": _output}
    if family == "sklearn":
        return {**found, "input_fn": _rows, "predict_fn": _predict}
    if family == "xgboost":
        return {**found, "input_fn": _xgboost_rows, "predict_fn": _predict}
    return found


def _output(prediction: Any, accept: str) -> Any:
    """A generator's parts as they come: bytes and text as they are, anything else as lines of JSON."""
    if not isinstance(prediction, Iterator):
        return arrays.encode(prediction, accept)
    return (_part(part) for part in prediction), JSON_LINES if accept == arrays.JSON else accept


def _part(part: Any) -> Any:
    if isinstance(part, str | bytes):
        return part
    return msgspec.json.encode(part, enc_hook=usercode.plain) + b"\n"


def _rows(data: str | bytes, content_type: str | None) -> Any:
    try:
        return np.atleast_2d(arrays.decode(data, content_type).astype(np.float32))
    except (TypeError, ValueError) as error:
        raise ModelFailed(400, f"The body has values that are not numbers: {error}.") from None


def _xgboost_rows(data: str | bytes, content_type: str | None) -> Any:
    return import_module("xgboost").DMatrix(_rows(data, content_type))


def _predict(data: Any, model: Any) -> Any:
    return model.predict(data)
