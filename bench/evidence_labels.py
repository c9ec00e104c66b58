"""How many late labels of amounts tell a worse version: python -m bench.evidence --labels.

Both versions answer half of the requests each, and every error is drawn by itself."""

import math
from random import Random
from statistics import median

from bench import tables
from tidegate.statistics.label_quality import TimedLabel, compare_amounts

RUNS, EQUAL_RUNS = 7, 100
MOST = 10_000
"""Labels of both versions together."""
STEP = 100
WORSE = (1.28, 1.45, 1.54, 2.0)
"""Times the mean error."""
TAILS = {"normal": 0.0, "log-normal, sigma 1": 1.0, "log-normal, sigma 1.5": 1.5, "log-normal, sigma 2": 2.0}


def draw_labels(chance: Random, count: int, worse: float, tail: float) -> list[TimedLabel]:
    """``tail``: sigma of log-normal errors; 0: normal ones."""
    found = []
    for number in range(count):
        new = chance.random() < 0.5
        error = chance.lognormvariate(0, tail) if tail else abs(chance.gauss(0, 1))
        found.append(TimedLabel(new, str(number), error * (worse if new else 1), 0.0))
    return found


def count_needed(labels: list[TimedLabel]) -> float:
    """Labels of the new version until it is found; infinity if these are not enough."""
    if compare_amounts(labels).evidence < 1:
        return math.inf
    low, high = 0, len(labels)
    while high - low > STEP:
        middle = (low + high) // 2
        low, high = (low, middle) if compare_amounts(labels[:middle]).evidence >= 1 else (middle, high)
    return sum(one.new for one in labels[:high])


def show_labels(*, keep: bool) -> None:
    chance, rows = Random(1), []
    for name, tail in TAILS.items():
        needed = [[count_needed(draw_labels(chance, MOST, worse, tail)) for _ in range(RUNS)] for worse in WORSE]
        equal = (compare_amounts(draw_labels(chance, MOST // 10, 1.0, tail)) for _ in range(EQUAL_RUNS))
        false = sum(one.evidence >= 1 for one in equal)
        rows.append([name, *map(_render, needed), f"{false} of {EQUAL_RUNS}"])
    header = ["errors", *(f"+{worse - 1:.0%}" for worse in WORSE), "equal versions called worse"]
    title = f"Late labels of the new version until a larger mean error is found: median (most) of {RUNS} runs"
    tables.show("evidence-labels", title, header, rows, keep=keep, command="evidence --labels")


def _render(needed: list[float]) -> str:
    middle, most = (f"{value:,.0f}" if value < math.inf else "-" for value in (median(needed), max(needed)))
    return f"{middle} ({most})"
