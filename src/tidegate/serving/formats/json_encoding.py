"""JSON for answers, in which no number is lost: ``null`` is NaN, infinity has the name that protocol buffers give it.

Without numpy, for runtimes that need none.
"""

import math
from collections.abc import Callable
from typing import Any

import msgspec


def encode_json(value: Any, plain: Callable[[Any], Any] | None = None) -> bytes:
    """JSON in which infinity is not lost. ``plain``: what JSON has no form for -> what it has one for."""
    body = msgspec.json.encode(value, enc_hook=plain)
    if b"null" not in body:
        return body
    # A null may stand for an infinite number.
    hook = None if plain is None else lambda one: named_infinities(plain(one))
    return msgspec.json.encode(named_infinities(value), enc_hook=hook)


def named_infinities(value: Any) -> Any:
    """The same with text for infinite numbers."""
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list | tuple):
        return [named_infinities(one) for one in value]
    if isinstance(value, dict):
        return {name: named_infinities(one) for name, one in value.items()}
    return value
