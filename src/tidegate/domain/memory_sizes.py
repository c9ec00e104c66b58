"""Parse and format amounts of memory."""

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
    """Bytes of ``512MiB``, ``1.5GiB``, ``2GB`` or a plain number of bytes. Raises ValueError."""
    found = _TEXT.fullmatch(text.strip())
    if found is None or found[2] not in _UNITS:
        raise ValueError("expected an amount such as 512MiB or 2GiB")
    return round(float(found[1]) * _UNITS[found[2]])


def format_bytes(size: int) -> str:
    """Format as ``512 MiB``, with one decimal unless it is 0."""
    for unit in ("GiB", "MiB", "KiB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size} bytes"


def format_size(count: float) -> str:
    """Format as ``12.3 MiB`` or ``820 B``, for columns of sizes: always with one decimal from a KiB on."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
