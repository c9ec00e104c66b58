"""Values of the types of MLflow's signatures, as JSON has them."""

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tidegate.serving.formats.column_values import EXACT

_RANGES = {"integer": 2**31, "long": 2**63}


def _whole(limit: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, float) and abs(value) < EXACT and value.is_integer():
            value = int(value)
        good = isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
        return value if good else None

    return check


def _real(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _moment(value: Any) -> Any:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _binary(value: Any) -> Any:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except ValueError:
        return None


CHECKS: dict[str, Callable[[Any], Any]] = {
    "boolean": lambda value: value if isinstance(value, bool) else None,
    "integer": _whole(_RANGES["integer"]),
    "long": _whole(_RANGES["long"]),
    "float": _real,
    "double": _real,
    "string": lambda value: value if isinstance(value, str) else None,
    "binary": _binary,
    "datetime": _moment,
}
"""MLflow's type -> function that converts a value, or returns None for another type."""
TOLD = {
    "boolean": "true or false",
    "integer": "a whole number of 32 bits",
    "long": "a whole number",
    "float": "a number",
    "double": "a number",
    "string": "a text",
    "binary": "base64",
    "datetime": "a date and time such as 2026-01-31T12:00:00",
}
"""MLflow's type -> what a message says that it expects."""
