"""The number in an answer. Pure.

Whatever is not one finite number of now is no number: several series, none, NaN, an infinity, an old time. Each
raises Transient with the reason, in words that stay the same while the reason does.
"""

import json
import math
from typing import Any

from tidegate.domain.errors import Transient
from tidegate.domain.prediction_path import parse_path

STALE = 60.0
"""Seconds by which the time of an answer may differ from this machine's."""
LAST = 200
"""Characters of a server's own error."""


def parse_prometheus(status: int, body: bytes, now: float) -> float:
    """Read the answer of ``/api/v1/query`` (Prometheus's HTTP API). ``now``: epoch seconds. Raises Transient."""
    document = _parse_json(status, body)
    if isinstance(document, dict) and document.get("status") == "error":
        kind, why = document.get("errorType"), " ".join(str(document.get("error")).split())
        raise Transient(f"Prometheus refused the query ({kind}): {why[:LAST]}")
    _require_ok(status)
    try:
        data = document["data"]
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            at, text = result
        elif kind != "vector":
            raise Transient(f"the query gives a {kind}, and an alarm needs one number: aggregate over time, too")
        elif not result:
            raise Transient("the query gives no series")
        elif len(result) > 1:
            raise Transient(
                "the query gives several series, and an alarm needs one: aggregate them, as sum() does"
            )
        else:
            at, text = result[0]["value"]
        age, value = now - float(at), float(text)
    except (KeyError, IndexError, TypeError, ValueError):
        raise Transient("the answer is not one of Prometheus's query API") from None
    if not abs(age) <= STALE:
        raise Transient(
            f"the answer is of more than {STALE:g} s {'ago' if age > 0 else 'ahead'}: look at the clocks"
        )
    return _require_finite(value)


def parse_value(status: int, body: bytes, path: str) -> float:
    """Read the number at a path of a JSON document. Raises Transient."""
    document = _parse_json(status, body)
    _require_ok(status)
    found = parse_path(path).find(document)
    if not found:
        raise Transient(f"the document has nothing at {path}")
    value = found[0]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Transient(f"what is at {path} is not a number")
    try:
        return _require_finite(float(value))
    except OverflowError:
        return _require_finite(math.inf)


def _parse_json(status: int, body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        _require_ok(status)
        raise Transient("the answer is not JSON") from None


def _require_ok(status: int) -> None:
    if not 200 <= status < 300:
        redirects = ", and redirects are not followed" if 300 <= status < 400 else ""
        raise Transient(f"it was answered with {status}{redirects}")


def _require_finite(value: float) -> float:
    if not math.isfinite(value):
        raise Transient(f"the value is {'not a number' if math.isnan(value) else 'infinite'}")
    return value
