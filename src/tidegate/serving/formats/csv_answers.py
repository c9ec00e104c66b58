"""Predictions as CSV: a line for each row, each of them ended, in the same bytes whichever rows it is answered with.

Requests are batched and large bodies are answered a block at a time, so no byte of a line may hang on the number of
rows or on their neighbours. Numbers are written as in JSON, in the fewest digits that read back as the same number.
"""

import math
from typing import Any

import msgspec

from tidegate.serving.contract.invocation import ModelFailed

_encode = msgspec.json.encode


def write_csv(predictions: Any) -> bytes:
    """``predictions`` is an array with an element, or a list of them, for each row of the request. Raises ModelFailed
    (406) for what CSV cannot hold."""
    if predictions.ndim > 2:
        raise ModelFailed(
            406, "The model gives a table for each row, which CSV cannot hold; accept application/json."
        )
    values = predictions.tolist()
    if predictions.dtype.kind == "f" and values:
        body = _encode(values)
        if b"null" not in body:  # JSON has no number for what is not finite
            return _lines(body, predictions.ndim)
    rows = values if predictions.ndim == 2 else [[value] for value in values]
    return "".join([",".join(map(_field, row)) + "\n" for row in rows]).encode()


def _lines(body: bytes, dimensions: int) -> bytes:
    """``body``: a JSON list of numbers, or of lists of them."""
    if dimensions == 2:
        return body[2:-2].replace(b"],[", b"\n") + b"\n"
    return body[1:-1].replace(b",", b"\n") + b"\n"


def _field(value: Any) -> str:
    if isinstance(value, float):
        return _encode(value).decode() if math.isfinite(value) else str(value)
    return _quoted(str(value))


def _quoted(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise ModelFailed(
            406, "A label has an end of line, which a field of CSV cannot hold; accept application/json."
        )
    return '"' + text.replace('"', '""') + '"' if not text or '"' in text or "," in text else text
