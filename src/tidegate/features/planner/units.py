"""Times, sizes and shares: from the words of a person to numbers and back."""

import re
from fractions import Fraction
from functools import partial

from tidegate.console import figures
from tidegate.domain.memory_sizes import parse_bytes

_SECONDS: dict[str, Fraction | int] = {
    **{"us": Fraction(1, 10**6), "ms": Fraction(1, 1000)},
    **{"s": 1, "m": 60, "h": 3600, "d": 86_400},
}
"""Fractions, so that 200us and 0.2ms are the same time."""
_UNITS = {
    **dict.fromkeys(("us", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
_PART = re.compile(rf"([0-9]+(?:\.[0-9]+)?) ?({'|'.join(sorted(_UNITS, key=len, reverse=True))})(?![a-z])")
_THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_GROUPS = re.compile(r"[1-9][0-9]{0,2}\.[0-9]{2}0|[0-9]{1,3}(\.[0-9]{3}){2,}")
"""Points where some countries have commas: 1.000 is a thousand there."""


def number(text: str) -> float:
    """A number: a point before decimals, commas only before three digits. Raises ValueError for what people of two
    countries read as two numbers."""
    text = text.strip()
    if _GROUPS.fullmatch(text):
        whole, short = text.replace(".", ""), f"{float(text):g}" if text.count(".") == 1 else ""
        raise ValueError(f"it may mean two numbers: say {' or '.join(filter(None, (whole, short)))}")
    if _THOUSANDS.fullmatch(text):
        return float(text.replace(",", ""))
    if _PLAIN.fullmatch(text):
        return float(text)
    if re.fullmatch(r"[0-9]+,[0-9]+", text):
        raise ValueError(f"a comma stands before three digits of thousands only: say {text.replace(',', '.')}")
    raise ValueError("expected a number")


_DECIMAL = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3))


def seconds(text: str) -> float:
    """Seconds of ``100ms``, ``1h30m`` or ``0.5 s``. Raises ValueError."""
    found = _PART.findall(text)
    if not found or _PART.sub("", text).strip():
        raise ValueError("expected a time with its unit, such as 100ms, 2 seconds or 1h30m")
    return float(sum(Fraction(amount) * Fraction(_SECONDS[_UNITS[unit]]) for amount, unit in found))


_PERIODS = {
    **{"s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "m": 60.0},
    **{"h": 3600.0, "hour": 3600.0, "d": 86_400.0, "day": 86_400.0, "w": 604_800.0, "week": 604_800.0},
    **{"month": 30.4375 * 86_400.0, "y": 31_557_600.0, "year": 31_557_600.0},
}
_RATE = re.compile(r"([0-9][0-9,.]*) ?(?:requests? )?(?:/ ?|per |an? )([a-z]+)")


def rate(text: str) -> float:
    """Requests a second of ``3/day``, ``100/min`` or ``20 a second``. Raises ValueError."""
    found = _RATE.fullmatch(text.strip().lower())
    if found is None or found[2] not in _PERIODS:
        raise ValueError("expected requests a second, or a number and a period such as 3/day, 40/h or 100/min")
    return number(found[1]) / _PERIODS[found[2]]


def amount(value: object) -> float | None:
    """A number, or the number that a text such as ``25 MB`` or ``60s`` stands for; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if not isinstance(value, str):
        return float(value)
    for read in (seconds, parse_bytes):
        try:
            return float(read(value))
        except ValueError:
            continue
    return None


def format_spec_time(value: float) -> str:
    """``1h``, ``50m``, ``100ms``: as a spec has it."""
    if value != int(value):
        return f"{value * 1000:.3f}".rstrip("0").rstrip(".") + "ms"
    for unit, size in (("h", 3600), ("m", 60)):
        if value and value % size == 0:
            return f"{int(value) // size}{unit}"
    return f"{int(value)}s"


def format_seconds(value: float) -> str:
    """``100 ms``, ``2 s``, ``1 h``: three digits at most that count."""
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def format_size(value: float) -> str:
    """``25 MB``, in powers of ten as payloads are counted."""
    for unit, size in _DECIMAL:
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} bytes"


def format_rate(value: float) -> str:
    """``20 requests a second``, or by the hour, day or month where that is easier to imagine."""
    periods = ((1.0, "a second"), (3600.0, "an hour"), (86_400.0, "a day"), (2_629_800.0, "a month"))
    period, unit = next((one for one in periods if value * one[0] >= 1), periods[-1])
    number = float(f"{value * period:.3g}")
    return f"{number:,.10g} request{'' if number == 1 else 's'} {unit}"


def format_money(value: float) -> str:
    """Dollars without cents from 100 on."""
    return f"${value:,.0f}" if value >= 100 else f"${value:,.2f}"


format_percent = partial(figures.format_percent, least=0.0)
"""``25 %`` of 0.25, ``0.001 %`` of 0.00001: plans state small parts as they are."""
