"""Arrays in and out for scripts that bring no ``input_fn`` or ``output_fn`` of their own.

JSON, CSV and NPY become numpy arrays and back, as sagemaker-inference-toolkit's defaults do it. What a client sent
wrong is a 4xx here, so that it does not count as the model's own error, pickled arrays are not read, and what is no
number is written as by every other runtime (``forms``).
"""

import io
import json
from typing import Any

import numpy as np

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.json_encoding import encode_json
from tidegate.serving.runtimes import user_code

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
TYPES = (JSON, CSV, NPY)


def decode(data: str | bytes, content_type: str | None) -> Any:
    """The array in a body; raises ModelFailed (400, or 415 for a form that is not known)."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind not in TYPES:
        raise ModelFailed(415, f"Content type {kind!r} is not supported; send {', '.join(TYPES)}.")
    try:
        if kind == NPY:
            return np.load(io.BytesIO(data if isinstance(data, bytes) else data.encode()), allow_pickle=False)
        text = (data if isinstance(data, str) else data.decode()).removeprefix("\ufeff")
        if kind == JSON:
            return np.array(json.loads(text))
        if not text.strip():
            raise ValueError("it has no rows")
        return _table(text)
    except (ValueError, EOFError) as error:
        said = " ".join(str(error).split())
        raise ModelFailed(400, f"The body cannot be read as {kind}: {said}.") from None


def _table(text: str) -> Any:
    """Every line is a row: numpy alone would skip empty ones, and take what follows a # for a comment."""
    lines = text.removesuffix("\n").split("\n")
    for number, line in enumerate(lines):
        if not line.strip():
            raise ValueError(f"line {number + 1} is empty")
    no_comments: Any = None
    return np.genfromtxt(io.StringIO(text), dtype=None, delimiter=",", encoding=None, comments=no_comments)


def _json(prediction: Any) -> bytes:
    try:
        return json.dumps(prediction, default=user_code.plain, allow_nan=False).encode()
    except ValueError:  # a number that JSON has none for
        return encode_json(prediction, user_code.plain)


def encode(prediction: Any, accept: str) -> tuple[bytes, str]:
    """The prediction in the first form of an Accept header that there is, and which that was; raises ModelFailed
    (406) where there is none."""
    for kind in accept.replace(" ", "").split(","):
        if kind == JSON:
            return _json(prediction), kind
        if kind == NPY:
            stream = io.BytesIO()
            np.save(stream, prediction, allow_pickle=False)
            return stream.getvalue(), kind
        if kind == CSV:
            text = io.StringIO()
            np.savetxt(text, np.atleast_1d(prediction), delimiter=",", fmt="%s")
            return text.getvalue().encode(), kind
    raise ModelFailed(406, f"Cannot answer as {accept[:100]!r}; accept one of {', '.join(TYPES)}.")
