"""Parse durations, sizes and thresholds: text with units to numbers."""

import math
import re

from tidegate.domain.memory_sizes import parse_bytes
from tidegate.domain.metric_units import LATENCIES, RATES
from tidegate.domain.rollout import CapacitySize, SizeType
from tidegate.spec.problem import KeyPath, SpecError, suggest

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST = 36_500 * 86_400.0
"""Seconds: a hundred years. The end of a much longer time is no date, and what waits for it could not go on."""
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")


def duration(value: str | int, path: KeyPath) -> float:
    """Seconds."""
    text = str(value).strip()
    if text == "0":
        return 0.0
    if not text or _PART.sub("", text):
        hint = f"add a unit, such as {text}s" if text.isdigit() else "expected a time such as 90s, 10m or 1h"
        raise SpecError(path, f"{text!r}: {hint}")
    found = math.fsum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if found > LONGEST:
        raise SpecError(path, f"{text!r}: must be at most {LONGEST / _SECONDS['d']:.0f}d")
    return found


_BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(?:([KMGT])(i?))?B")


def bytes_of(text: str, path: KeyPath) -> int:
    """Bytes of a text such as 4GiB, 512MB or 1000000B."""
    found = _BYTES.fullmatch(text.strip())
    if found is None:
        raise SpecError(path, f"{text!r}: expected a size such as 4GiB or 512MB")
    number, prefix, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** ("KMGT".index(prefix) + 1 if prefix else 0))


def seconds(value: str | int, path: KeyPath, *, least: int = 0) -> int:
    """Whole seconds, at least ``least``."""
    exact = duration(value, path)
    if exact != int(exact):
        raise SpecError(path, f"{value!r}: must be whole seconds")
    if exact < least:
        raise SpecError(path, f"{value!r}: must be at least {least}s")
    return int(exact)


def memory(value: str | int, path: KeyPath) -> int:
    """Bytes; 0 for no limit."""
    try:
        return parse_bytes(str(value))
    except ValueError as error:
        raise SpecError(path, f"{value!r}: {error}") from None


def size(value: str | int, path: KeyPath, *, least: int = 1, most: int) -> CapacitySize:
    """Percent of the instances from ``least`` to ``most``, or a number of instances."""
    text = str(value).strip()
    if text.endswith("%") and text[:-1].strip().isdigit():
        percent = int(text[:-1])
        if not least <= percent <= most:
            raise SpecError(path, f"{text}: must be from {least}% to {most}%")
        return CapacitySize(SizeType.CAPACITY_PERCENT, percent)
    if text.isdigit() and int(text) >= 1:
        return CapacitySize(SizeType.INSTANCE_COUNT, int(text))
    raise SpecError(path, f"{text!r}: expected a share such as 10% or a number of instances such as 1")


def percent(value: str, path: KeyPath) -> float:
    """0 to 100, of a text such as 20% or 0.5%."""
    text = value.strip()
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?%", text):
        raise SpecError(path, f"{text!r}: expected a share such as 20%")
    if float(text[:-1]) > 100:
        raise SpecError(path, f"{text}: must be from 0% to 100%")
    return float(text[:-1])


def threshold(value: float | str, metric: str, path: KeyPath) -> float:
    """In the metric's own unit: microseconds for latencies, 0 to 1 for rates."""
    if isinstance(value, str):
        text = value.strip()
        if metric in LATENCIES:
            return duration(text, path) * 1e6
        if text.endswith("%"):
            try:
                number = float(text[:-1])
            except ValueError:
                raise SpecError(path, f"{text!r}: expected a number before %") from None
            return number / 100 if metric in RATES else number
        raise SpecError(path, f"{text!r}: expected a number for {metric}")
    if metric in LATENCIES and value != 0:
        raise SpecError(path, f"{value:g}: add a unit, such as {value:g}ms")
    if not math.isfinite(value):
        raise SpecError(path, f"{value}: must be a finite number")
    return float(value)


def one_of(value: str, known: tuple[str, ...], path: KeyPath) -> str:
    if value not in known:
        raise SpecError(path, f"unknown {path[-1]} {value!r}{suggest(value, known)}")
    return value
