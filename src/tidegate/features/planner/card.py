"""A plan on one screen: the six rows, what to mind, what was not taken and why, in forty lines at most. Pure."""

import textwrap
from collections.abc import Iterable, Iterator
from datetime import date

from tidegate.features.planner.planning import Plan
from tidegate.features.planner.units import format_money

MOST_LINES = 40
NARROWEST, WIDEST = 60, 100
_LABEL = 21
_FOOT = 2
"""Lines of the last section: a blank one and what --why shows."""


def card(plan: Plan, width: int, today: date) -> list[str]:
    """Lines of at most ``width`` characters (60 to 100)."""
    width = max(NARROWEST, min(WIDEST, width))
    made = [*_wrap(f"{plan.answers.name}: {plan.place.title}", width, ""), ""]
    for row in plan.rows:
        made += _row(row.name, row.value, width)
    made += _row("Prices", plan.prices.describe(today), width)
    for text in plan.overrides:
        made += _wrap(f"OVERRIDE: {text}", width, "  ")
    left = 0
    for title, items in _sections(plan):
        wrapped = [_wrap(f"- {text}", width, "  ") for text in items]
        room = MOST_LINES - _FOOT - len(made) - 2
        fitting = _fitting(wrapped, room)
        left += len(wrapped) - len(fitting)
        if fitting:
            made += ["", title, *(line for lines in fitting for line in lines)]
    more = f" and {left} more notes" if left else ""
    return [*made, "", f"--why shows the reasons, what changes them, all prices{more}."]


def _sections(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    notes = [note.say + (f" ({note.change})" if note.about in ("budget", "prices") else "") for note in plan.notes]
    yield "Mind:", [*notes, *plan.rollout.says]
    yield "Not taken:", [_choice(one.name, one.month, one.because) for one in plan.choices]
    yield "Assumed:", list(plan.assumptions)


def _choice(name: str, month: float | None, because: str) -> str:
    price = "" if month is None else f", {format_money(month)} a month"
    return f"{_NAMES.get(name, name)}{price}: {because}"


_NAMES = {
    "savings_1y": "Savings Plan of a year",
    "savings_3y": "Savings Plan of three years",
    "compute_savings": "Compute Savings Plan",
    "without_autoscaling": "no autoscaling",
    "other_type": "next type",
    "on_cpu": "processors",
    "on_gpu": "GPUs",
    "on_inferentia": "AWS Inferentia",
    "real_time": "real-time endpoint",
    "dedicated": "an endpoint for each model",
}


def _fitting(wrapped: list[list[str]], room: int) -> list[list[str]]:
    """Those from the first on that fit into so many lines."""
    found: list[list[str]] = []
    for lines in wrapped:
        if sum(map(len, found)) + len(lines) > room:
            break
        found.append(lines)
    return found


def _row(name: str, value: str, width: int) -> Iterable[str]:
    return textwrap.wrap(value, width, initial_indent=f"{name:<{_LABEL}}", subsequent_indent=" " * _LABEL)


def _wrap(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent[:-2] if indent else "", subsequent_indent=indent)
