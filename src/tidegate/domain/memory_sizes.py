"""Amounts of memory as people write them."""

import re

_UNITS = {
    "": 1,
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}
_TEXT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]i?B|B|)")


def parse_bytes(text: str) -> int:
    """Bytes of ``512MiB``, ``1.5GiB``, ``2GB`` or a plain number of them. Raises ValueError."""
    found = _TEXT.fullmatch(text.strip())
    if found is None or found[2] not in _UNITS:
        raise ValueError("expected an amount such as 512MiB or 2GiB")
    return round(float(found[1]) * _UNITS[found[2]])


def format_bytes(size: int) -> str:
    """``512 MiB``, with one digit after the point where it is not 0."""
    for unit in ("GiB", "MiB", "KiB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size} bytes"
