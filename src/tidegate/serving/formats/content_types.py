"""The content types of rows and predictions, and the choice of that of an answer.

Non-finite numbers can be read back from every content type: NaN is ``null`` in JSON (like a missing value in a
request), ``nan`` in CSV and NaN in arrays and tables; infinity is ``"Infinity"`` or ``"-Infinity"`` in JSON, which
has no number for it, ``inf`` or ``-inf`` in CSV, and infinity in arrays and tables.

CSV has a line for each row, in the same bytes whichever rows it is answered with: requests are batched and large
bodies are answered a block at a time, so no byte of a line may hang on the number of rows or on their neighbours.
Numbers are written as in JSON, in the fewest digits that read back as the same number.
"""

import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np

from tidegate.serving.contract.invocation import Answer, ModelFailed
from tidegate.serving.formats import arrow_io, npy
from tidegate.serving.formats.json_encoding import encode_json
from tidegate.serving.formats.json_rows import Heading
from tidegate.transform.csv_lines import BOM, BadField, text_fields


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
    return _quote_field(str(value))


def _quote_field(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise ModelFailed(
            406, "A label has an end of line, which a field of CSV cannot hold; accept application/json."
        )
    return '"' + text.replace('"', '""') + '"' if not text or '"' in text or "," in text else text


CSV = "text/csv"
JSON = "application/json"
NPY = "application/x-npy"
JSON_LINES = "application/jsonlines"
LINED = frozenset({CSV, JSON_LINES})
"""Content types with one row, or prediction, per line."""
TYPES = (JSON, CSV, NPY, JSON_LINES, *arrow_io.TYPES)

_KEY = len('{"predictions":')
_encode = msgspec.json.encode


def kind_of(content_type: str) -> str:
    """The media type of a body; CSV if there is none, as in AWS's XGBoost container."""
    return content_type.partition(";")[0].strip().lower() or CSV


def heading_of(content_type: str) -> Heading:
    """Whether a CSV has a header, by RFC 4180's parameter; UNSAID for most. Raises ModelFailed (415)."""
    declared = parameter(content_type, "header")
    if declared not in ("", "present", "absent"):
        raise ModelFailed(415, f"The content type says header={declared[:40]!r}; expected present or absent.")
    return Heading(declared)


def check_charset(content_type: str, body: bytes) -> None:
    """Raises ModelFailed (415) if a body declares another encoding than UTF-8 and is not ASCII."""
    charset = parameter(content_type, "charset")
    if charset not in ("", "utf-8", "utf8", "us-ascii", "ascii") and not body.isascii():
        raise ModelFailed(415, f"Text in {charset[:40]!r} is not read; send it in UTF-8.")


def parameter(content_type: str, name: str) -> str:
    """A parameter's value in lower case; empty if there is none."""
    if ";" not in content_type:
        return ""
    for piece in content_type.lower().split(";")[1:]:
        key, _, value = piece.partition("=")
        if key.strip() == name:
            return value.strip().strip('"')
    return ""


def explain_csv(failed: ModelFailed, body: bytes, content_type: str) -> ModelFailed:
    """The error for a CSV that cannot be read, with what to do if the body is JSON."""
    if kind_of(content_type) != CSV or body.lstrip()[:1] not in (b"[", b"{"):
        return failed
    read = "was read as text/csv" if content_type else "has no Content-Type and was read as text/csv"
    return ModelFailed(failed.status, f"{failed.message} The body {read}; if it is JSON, say '{JSON}'.")


def strip_bom(body: bytes, texts: Collection[Any]) -> bytes:
    """Remove the byte order mark of a CSV. ``texts``: known values of its first column. Raises ModelFailed if the
    mark may be the first character of one of them."""
    if not body.startswith(BOM):
        return body
    mark = BOM.decode()
    if any(isinstance(text, str) and text.startswith(mark) for text in texts):
        with suppress(BadField):
            if text_fields(body.partition(b"\n")[0].removesuffix(b"\r"))[0] in texts:
                raise ModelFailed(
                    400,
                    "The body begins with U+FEFF, which may be a byte order mark or the first character of a"
                    " category: put the field in quotes.",
                )
    return body.removeprefix(BOM)


def choose(accept: str, default: str, types: Sequence[str] = TYPES) -> str:
    """The one of ``types`` that an Accept header prefers; ``default`` if it is empty or accepts anything. Raises
    ModelFailed (406) if none is acceptable."""
    if accept in ("", "*/*"):
        return default
    if accept in types:
        return accept
    best, liking = None, 0.0
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = _quality(parameters)
        fitting = [kind for kind in (default, *types) if name in (kind, "*/*", f"{kind.partition('/')[0]}/*")]
        if fitting and quality > liking:
            best, liking = fitting[0], quality
    if best is None:
        raise ModelFailed(406, f"Cannot answer as {accept[:100]!r}; accept one of {', '.join(types)}.")
    return best


def unknown(kind: str, types: Sequence[str] = TYPES) -> ModelFailed:
    """The error for an unknown content type."""
    if kind == "application/octet-stream":
        return ModelFailed(
            415, f"Raw bytes are not rows of a table; send {', '.join(types)} and name it in Content-Type."
        )
    return ModelFailed(415, f"Content type {kind[:100]!r} is not supported; send {', '.join(types)}.")


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def write(predictions: Any, kind: str) -> Answer:
    """Encode predictions: one per row, or a list (a CSV line) of several; in JSON Lines an object each. In a
    table: the column ``prediction``, or ``prediction_0`` and so on."""
    if kind == JSON:
        body = _encode({"predictions": predictions.tolist()})
        if body.find(b"n", _KEY) >= 0 and b"null" in body:
            body = encode_json({"predictions": predictions.tolist()})
        return Answer(body, JSON)
    if predictions.dtype.kind == "O":
        predictions = _labels(predictions)
    if kind in arrow_io.KINDS:
        return Answer(arrow_io.write(predictions, kind), kind)
    if kind == NPY:
        return Answer(npy.encode(predictions), NPY)
    if kind == CSV:
        return Answer(write_csv(predictions), CSV)
    values = predictions.tolist()
    body = b"\n".join([_encode({"prediction": each}) for each in values])
    if b"null" in body:
        body = b"\n".join([encode_json({"prediction": each}) for each in values])
    return Answer(body + b"\n" if values else b"", JSON_LINES)


def _labels(predictions: Any) -> Any:
    """Convert labels of one type, which numpy stores as objects, to an array of that type."""
    values = predictions.ravel().tolist()
    if len({type(one) for one in values}) != 1 or not isinstance(values[0], str | int | float):
        return predictions
    return np.array(values).reshape(predictions.shape)
