"""JSON for answers, with non-finite numbers: NaN is ``null``, and infinity has its name in protocol buffers' JSON.

Does not import numpy, for runtimes that do not need it.
"""

import math
from collections.abc import Callable
from typing import Any

import msgspec


def encode_json(value: Any, plain: Callable[[Any], Any] | None = None) -> bytes:
    """Encode a value with its infinities. ``plain`` converts values that JSON does not support."""
    body = msgspec.json.encode(value, enc_hook=plain)
    if b"null" not in body:
        return body
    # A null may be an infinite number.
    hook = None if plain is None else lambda one: named_infinities(plain(one))
    return msgspec.json.encode(named_infinities(value), enc_hook=hook)


def named_infinities(value: Any) -> Any:
    """Replace infinite numbers by text."""
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list | tuple):
        return [named_infinities(one) for one in value]
    if isinstance(value, dict):
        return {name: named_infinities(one) for name, one in value.items()}
    return value
