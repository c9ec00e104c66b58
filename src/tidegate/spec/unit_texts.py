"""Numbers as a spec writes them: the inverse of ``units``. Each text is parsed back to the same number."""

import math

from tidegate.domain.metric_units import LATENCIES, RATES
from tidegate.domain.rollout import CapacitySize, SizeType
from tidegate.spec.units import duration

_SPANS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_SIZES = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_PER = (("s", 1), ("m", 60), ("h", 3600))


def duration_text(seconds: float) -> str:
    """``1h30m``, ``50ms``, or ``0.0505s`` where nothing shorter is exact."""
    milliseconds = round(seconds * 1000)
    if not seconds or seconds != int(seconds):
        short = f"{milliseconds}ms"
        return "0" if not seconds else short if duration(short, ()) == seconds else f"{_format_plain(seconds)}s"
    left, text = int(seconds), ""
    for unit, length in _SPANS:
        if left >= length:
            text += f"{left // length}{unit}"
            left %= length
    return text


def size_text(size: CapacitySize) -> str:
    return f"{size.value}%" if size.type is SizeType.CAPACITY_PERCENT else str(size.value)


def bytes_text(size: int) -> str:
    """Format a size in the largest unit of which it is a whole number; ``0`` for no limit."""
    for unit, length in _SIZES:
        if size and size % length == 0:
            return f"{size // length}{unit}"
    return f"{size}B" if size else "0"


def percent_text(share: float) -> str:
    """Format a share from 0 to 1 as a percentage. A weight's rounding does not show."""
    return f"{_format_plain(round(share * 100, 9))}%"


def rate_text(per_second: float) -> str:
    """``50/s``, or a minute's or an hour's requests where those are a whole number."""
    for unit, length in _PER:
        number = round(per_second * length)
        if number and float(number) / length == per_second:
            return f"{number}/{unit}"
    return f"{_format_plain(per_second)}/s"


def threshold_text(value: float, metric: str) -> str | float:
    """Format a threshold, with a unit for latencies (kept in microseconds) and rates."""
    if metric in LATENCIES and value:
        for text in (duration_text(round(value / 1e6, 9)), f"{_format_plain(value / 1e6)}s"):
            if duration(text, ()) * 1e6 == value:
                break
        return text
    if metric in RATES:
        return f"{_format_plain(round(value * 100, 12))}%"
    return value


def number(value: float) -> float | int:
    """Return a number without a decimal point if it needs none."""
    return int(value) if math.isfinite(value) and value == int(value) else value


def _format_plain(value: float) -> str:
    """Digits without an exponent, as many as the number needs."""
    text = repr(value)
    return format(value, ".17f").rstrip("0").rstrip(".") if "e" in text else text.removesuffix(".0")
