"""Formats the quantities of a rehearsal: latencies, rises, thresholds and probabilities."""

from tidegate.features.rehearse.promise import Quantity


def format_millis(microseconds: float) -> str:
    """``50ms``, ``1.2s``."""
    if microseconds >= 1e6:
        return f"{microseconds / 1e6:.3g}s"
    return f"{microseconds / 1e3:.3g}ms"


def format_rise(quantity: Quantity, size: float | None) -> str:
    """Format as ``+1 %``, ``+50ms`` or ``0.2``; a dash for None."""
    if size is None:
        return "-"
    match quantity:
        case Quantity.ERRORS | Quantity.REFUSALS:
            return f"+{size * 100:.3g} %"
        case Quantity.LATENCY:
            return f"+{format_millis(size)}"
        case Quantity.PREDICTIONS:
            return f"{size:.3g}"


def format_threshold(quantity: Quantity | None, value: float) -> str:
    """Format a threshold as in a spec: ``2%``, ``300ms``."""
    match quantity:
        case Quantity.ERRORS | Quantity.REFUSALS:
            return f"{value * 100:.4g}%"
        case Quantity.LATENCY:
            return format_millis(value)
        case _:
            return f"{value:g}"


def format_probability(part: float) -> str:
    """Format as ``95 %``, ``0.03 %`` or ``<0.001 %``."""
    percent = part * 100
    if 0 < percent < 0.001:
        return "<0.001 %"
    return f"{percent:.2g} %" if percent < 10 else f"{percent:.3g} %"
