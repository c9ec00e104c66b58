"""The forms that rows come in and predictions go out in, and which of them an answer takes."""

import io
from collections.abc import Sequence
from csv import writer
from typing import Any

import msgspec
import numpy as np

from tidegate.worker.invocation import Answer, ModelFailed
from tidegate.worker.runtimes import frames, large_csv, npy

CSV = "text/csv"
JSON = "application/json"
NPY = "application/x-npy"
JSON_LINES = "application/jsonlines"
LINED = frozenset({CSV, JSON_LINES})
"""One row, or prediction, a line."""
TYPES = (JSON, CSV, NPY, JSON_LINES, *frames.TYPES)

_KNOWN = frozenset(TYPES)


def kind_of(content_type: str) -> str:
    """The form that a body says it has; CSV where it says nothing, as AWS's XGBoost container takes it."""
    return content_type.partition(";")[0].strip().lower() or CSV


def choose(accept: str, default: str) -> str:
    """The form to answer in: the one of ``TYPES`` that an Accept header likes best; ``default`` where it has no
    wish. Raises ModelFailed (406) where none will do."""
    if accept in ("", "*/*"):
        return default
    if accept in _KNOWN:
        return accept
    best, liking = None, 0.0
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = _quality(parameters)
        fitting = [kind for kind in (default, *TYPES) if name in (kind, "*/*", f"{kind.partition('/')[0]}/*")]
        if fitting and quality > liking:
            best, liking = fitting[0], quality
    if best is None:
        raise ModelFailed(406, f"Cannot answer as {accept[:100]!r}; accept one of {', '.join(TYPES)}.")
    return best


def unknown(kind: str) -> ModelFailed:
    """What a body in a form that is not known is told."""
    if kind == "application/octet-stream":
        return ModelFailed(
            415, f"Raw bytes are not rows of a table; send {', '.join(TYPES)} and name it in Content-Type."
        )
    return ModelFailed(415, f"Content type {kind[:100]!r} is not supported; send {', '.join(TYPES)}.")


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def write(predictions: Any, kind: str) -> Answer:
    """Predictions in the form ``kind``: one per row, a list (or a CSV line) of several where a row has them; in JSON
    Lines an object each. As a table: the column ``prediction``, or ``prediction_0`` and on."""
    if kind in frames.KINDS:
        return Answer(frames.write(np.asarray(predictions), kind), kind)
    if kind == NPY:
        return Answer(npy.encode(predictions), NPY)
    if kind == CSV and (quick := large_csv.written(predictions)) is not None:
        return Answer(quick, CSV)
    values = predictions.tolist()
    if kind == JSON_LINES:
        return Answer(b"".join(msgspec.json.encode({"prediction": each}) + b"\n" for each in values), JSON_LINES)
    if kind == JSON:
        return Answer(msgspec.json.encode({"predictions": values}), JSON)
    text = io.StringIO()
    rows = values if predictions.ndim == 2 else ([value] for value in values)
    writer(text, lineterminator="\n").writerows(rows)
    return Answer(text.getvalue().encode(), CSV)
