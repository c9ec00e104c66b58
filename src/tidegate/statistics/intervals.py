"""The measure by which versions are set beside one another, with its bounds. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tidegate.statistics.measures import Z95


@dataclass(frozen=True)
class MeasuredInterval:
    """``measure``: its name for people; ``low`` to ``high``: 95 % interval."""

    measure: str
    value: float
    low: float
    high: float


def main_interval(quality: Mapping[str, Any] | None) -> MeasuredInterval | None:
    """Return the main measure of a described quality with its interval: the AUC of classes, the mean absolute error
    of amounts (normal approximation), or the share of those who approve (Wilson's); None if it is not known."""
    if quality is None:
        return None
    auc, low, high = (quality.get(name) for name in ("auc", "auc_low", "auc_high"))
    if auc is not None and low is not None and high is not None:
        return MeasuredInterval("AUC", auc, low, high)
    mean, square, pairs, share = (
        quality.get(name) for name in ("mean_absolute_error", "root_mean_square_error", "pairs", "approval")
    )
    if share is not None and pairs:
        worth = pairs + Z95 * Z95
        middle = (share * pairs + Z95 * Z95 / 2) / worth
        error = Z95 / worth * math.sqrt(pairs * share * (1 - share) + Z95 * Z95 / 4)
        return MeasuredInterval("approval", share, max(0.0, middle - error), min(1.0, middle + error))
    if mean is None or square is None or not pairs or pairs < 2:
        return None
    ratio = mean / square if square else 1.0
    error = Z95 * square * math.sqrt(max(0.0, 1 - ratio * ratio) / (pairs - 1))
    return MeasuredInterval("mean absolute error", mean, max(0.0, mean - error), mean + error)


def format_delay(seconds: float) -> str:
    """Format a delay, such as ``1 min``, ``6 h`` or ``14 d``."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def delay_parts(versions: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[float]]]:
    """Return the names of the steps of delay from the first to the last that some label has, and the percent of each
    version's labels in each of them. ``versions``: described ones that have counts."""
    counts = [[count["labels"] for count in one["delay_counts"]] for one in versions]
    used = [place for place in range(max(map(len, counts), default=0)) if any(each[place] for each in counts)]
    kept = range(used[0], used[-1] + 1) if used else range(0)
    names = [_step_name(versions[0]["delay_counts"], place) for place in kept]
    return names, [[100 * each[place] / sum(each) for place in kept] for each in counts]


def _step_name(counts: Sequence[Mapping[str, Any]], place: int) -> str:
    seconds = counts[place]["seconds"]
    return f"> {format_delay(counts[place - 1]['seconds'])}" if seconds is None else f"≤ {format_delay(seconds)}"


def version_name(version: Mapping[str, Any]) -> str:
    """Return the name of a described version. For an earlier life of a config it includes the time at which that
    ended."""
    name = f"{version['config'] or '(unknown)'}, {version['variant']}"
    until = version.get("until")
    if version.get("current", True) or until is None:
        return name
    return f"{name} (until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M})"
