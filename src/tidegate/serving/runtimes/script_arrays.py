"""Default ``input_fn`` and ``output_fn`` of scripts: JSON, CSV and NPY to numpy arrays and back.

As in sagemaker-inference-toolkit, except that an invalid body is a 4xx, which does not count as the model's error,
that pickled arrays are rejected, that missing whole numbers of a CSV are NaN and not -1, and that non-finite numbers
are written as by every other runtime (``content_types``).
"""

import io
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.column_values import parse_number
from tidegate.serving.formats.json_encoding import encode_json
from tidegate.serving.runtimes import user_code

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
TYPES = (JSON, CSV, NPY)


def decode(data: str | bytes, content_type: str | None) -> Any:
    """The array in a body. Raises ModelFailed (400, or 415 for an unknown content type)."""
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
        message = " ".join(str(error).split())
        raise ModelFailed(400, f"The body cannot be read as {kind}: {message}.") from None


def _table(text: str) -> Any:
    """Parse a CSV in which every line is a row: numpy alone would skip empty lines and treat # as a comment."""
    bare = text.removesuffix("\n")
    lines = bare.split("\n")
    for number, line in enumerate(lines):
        if not line.strip():
            raise ValueError(f"line {number + 1} is empty")
    found = _parse(text, None)
    if _UNSURE.search(bare) and _has_gaps(lines, found):
        return _parse(text, np.float64)
    return found


def _parse(text: str, dtype: Any) -> Any:
    no_comments: Any = None
    return np.genfromtxt(io.StringIO(text), dtype=dtype, delimiter=",", encoding=None, comments=no_comments)


_UNSURE = re.compile(r"[_xXjJ]|[^\x00-\x7f]|(?:^|,)[ \t]*(?=,|\r?$)", re.MULTILINE)
"""What may be in a field that numpy takes for a number and no other runtime does, and empty fields."""


def _has_gaps(lines: Sequence[str], found: Any) -> bool:
    """Whether values are missing that numpy filled: with -1 in whole numbers. They are NaN if all columns are
    numbers. Raises ValueError if another column is none, and for a number that no other runtime reads, as 1_000."""
    gaps = ""
    dtype, names = found.dtype, found.dtype.names
    kinds = [dtype[name].kind for name in names] if names else [dtype.kind] * len(lines[0].split(","))
    cells = np.atleast_1d(found).tolist() if names else found.reshape(len(lines), len(kinds)).tolist()
    for number, line in enumerate(lines):
        for column, (kind, field) in enumerate(zip(kinds, line.split(","), strict=True)):
            place = f"line {number + 1}, column {column + 1}"
            if not field.strip():
                if kind in "iub" or (kind == "U" and cells[number][column].strip()):
                    gaps = gaps or place
            elif kind in "iufc":
                try:
                    parse_number(field)
                except ValueError:
                    raise ValueError(f"{place}: {field.strip()[:40]!r} is not a number") from None
    if gaps and not set(kinds) <= set("iuf"):
        raise ValueError(f"{gaps}: the field is empty, and the column is of whole numbers or truth values")
    return bool(gaps)


def _json(prediction: Any) -> bytes:
    try:
        return json.dumps(prediction, default=user_code.plain, allow_nan=False).encode()
    except ValueError:  # a number that JSON cannot represent
        return encode_json(prediction, user_code.plain)


def encode(prediction: Any, accept: str) -> tuple[bytes, str]:
    """Encode the prediction in the first supported content type of an Accept header; returns both. Raises ModelFailed
    (406) if there is none."""
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
