"""The first row of a body: its columns by name, or by number where they have none. Pure."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

from tidegate.domain.surrogates import replace_surrogates
from tidegate.serving.contract.invocation import ModelFailed

Value = float | str | None

LARGEST = 256 * 1024
"""Bytes of a body above which it is not read: parsing more would delay other requests."""
MOST_COLUMNS = 256
LONGEST = 64
"""Characters of a text, or of a column's name."""
_DEEPEST = 6
NPY = "application/x-npy"


def read_first_row(body: bytes, content_type: str) -> tuple[list[str], list[Value]] | None:
    """Names and values; numbers are finite, and other ones texts, which have an encoding whatever was sent. None if
    there is no row that can be read."""
    kind = content_type.partition(";")[0].strip().lower()
    if len(body) > LARGEST:
        return None
    try:
        if kind == NPY:
            return _numbered(_first_of_array(body))
        if kind.endswith("json"):
            return _first_of_json(json.loads(body), _DEEPEST)
        if kind == "text/csv":
            line = body.decode().lstrip().partition("\n")[0].rstrip("\r")
            return _numbered([_field(text) for text in line.split(",")] if line else [])
    except (ValueError, RecursionError, ModelFailed):
        pass
    return None


def _first_of_array(body: bytes) -> list[object]:
    from tidegate.serving.formats import npy  # noqa: PLC0415  # NumPy is only there where arrays are

    array = npy.read(body)
    if array.ndim == 0 or not len(array):
        return []
    first: list[object] = array[0].reshape(-1)[: MOST_COLUMNS + 1].tolist()
    return first


def _first_of_json(data: object, depth: int) -> tuple[list[str], list[Value]] | None:
    if not depth:
        return None
    if isinstance(data, Mapping):
        if isinstance(names := data.get("columns"), list) and isinstance(rows := data.get("data"), list):
            found = _first_of_json(rows, depth - 1)
            return None if found is None or len(found[1]) != len(names) else (_names(names), found[1])
        nested = next((one for one in data.values() if isinstance(one, Mapping | list)), None)
        if nested is not None:
            return _first_of_json(nested, depth - 1)
        return _row(_names(data), list(data.values()))
    if isinstance(data, list) and data:
        if isinstance(data[0], Mapping | list):
            return _first_of_json(data[0], depth - 1)
        return _numbered(data)
    return None


def _numbered(values: Sequence[object]) -> tuple[list[str], list[Value]] | None:
    return _row([str(number) for number in range(len(values))], values)


def _row(names: list[str], values: Sequence[object]) -> tuple[list[str], list[Value]] | None:
    if not 0 < len(names) <= MOST_COLUMNS:
        return None
    return names, [_value(one) for one in values]


def _value(given: object) -> Value:
    if given is None:
        return None
    if isinstance(given, int | float):
        try:
            number = float(given)
        except OverflowError:
            return "inf"
        return number if math.isfinite(number) else str(number)
    return _text(given)


def _names(given: Iterable[object]) -> list[str]:
    return [_text(name) for name in given]


def _text(given: object) -> str:
    return replace_surrogates(str(given)[:LONGEST])


def _field(text: str) -> object:
    text = text.strip().strip('"')
    try:
        return float(text)
    except ValueError:
        return text or None
