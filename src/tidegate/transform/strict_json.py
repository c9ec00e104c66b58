"""JSON whose objects have no duplicate keys: a reader that takes the last one would silently drop data."""

import json
from typing import Any

import msgspec


class RepeatedKey(ValueError):
    """An object has two members with one name."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key[:100]!r} is given twice in one object")
        self.key = key


def decode(text: bytes) -> Any:
    """One JSON value. Raises msgspec.DecodeError, RecursionError, or RepeatedKey."""
    value = msgspec.json.decode(text)
    check_keys(text, count_keys(value))
    return value


def count_keys(value: Any) -> int:
    """Keys of all objects within a decoded value."""
    if isinstance(value, dict):
        return len(value) + sum(map(count_keys, value.values()))
    if isinstance(value, list):
        return sum(count_keys(one) for one in value if isinstance(one, list | dict))
    return 0


def check_keys(text: bytes, decoded: int) -> None:
    """``text``: valid JSON, of which ``decoded`` keys were kept. Each key has a colon, and a lost one leaves a colon
    too many, so the text is parsed again only where it has more colons than keys. Raises RepeatedKey."""
    if text.count(b":") != decoded:
        json.loads(text, object_pairs_hook=_distinct, parse_int=str, parse_float=str)


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise RepeatedKey(next(name for at, name in enumerate(names) if name in names[:at]))
