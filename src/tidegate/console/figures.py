"""Figures as the pages show them: rates, times, shares, and the points of small drawings. Pure."""

from collections.abc import Sequence
from datetime import datetime

UNKNOWN = "–"
"""What is not known, such as the latency of no requests."""
SPARK_HEIGHT = 20.0


def format_rate(rate: float) -> str:
    """Requests per second."""
    if rate <= 0:
        return "0/s"
    if rate < 0.1:
        return f"{rate:.2g}/s"
    return f"{rate:.1f}/s" if rate < 10 else f"{rate:,.0f}/s"


def format_milliseconds(value: float | None) -> str:
    """Format a time in milliseconds. A value that is not zero is never shown as zero."""
    if value is None:
        return UNKNOWN
    if value >= 10_000:
        return f"{value / 1000:,.0f} s"
    if value >= 1_000:
        return f"{value / 1000:.1f} s"
    if 0 < value < 0.1:
        return "< 0.1 ms"
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def format_percent(part: float | None, least: float = 0.001) -> str:
    """A fraction in percent, with three digits at most that count; what is not zero never reads as zero. ``least``: a
    smaller fraction is only said to be smaller."""
    if part is None:
        return UNKNOWN
    if part <= 0:
        return "0 %"
    return f"< {100 * least:g} %" if part < least else f"{float(f'{100 * part:.3g}'):g} %"


def format_age(then: str | None, now: datetime) -> str:
    """Format how long ago an ISO time was, as coarsely as a person would say it."""
    if then is None:
        return ""
    seconds = (now - datetime.fromisoformat(then)).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 2 * 86_400:
        return f"{seconds // 3600:.0f} h ago"
    return f"{seconds // 86_400:.0f} days ago"


def format_clock(seconds: float) -> str:
    whole = int(seconds)
    minutes, second = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{second:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"


def spark_points(values: Sequence[float]) -> str:
    """Points of a polyline as wide as there are values; empty without any traffic."""
    top = max(values, default=0.0)
    if top <= 0:
        return ""
    height = SPARK_HEIGHT - 2
    return " ".join(f"{x},{SPARK_HEIGHT - 1 - height * value / top:.1f}" for x, value in enumerate(values))


# --- formats amounts of money ---


def format_dollars(amount: float) -> str:
    """$1,153, $74.46, $0.012."""
    if amount >= 1000:
        return f"${amount:,.0f}"
    if amount >= 0.1 or amount == 0:
        return f"${amount:,.2f}"
    return f"${amount:.3g}"
