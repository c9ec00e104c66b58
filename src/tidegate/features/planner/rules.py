"""Conditions of the data files. A mapping holds when all its keys do, a list when one of its members does.

``{latency: {at_most: 1s}}`` compares, ``{payload: {above: $batch_payload}}`` with a limit of ``data/limits.yaml``,
``{pattern: [sustained, variable]}`` is one of, anything else is equal. Names are answers, facts derived from
them, and conditions that a file gives a name.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tidegate.features.planner.tables import table
from tidegate.features.planner.units import amount

Facts = Mapping[str, Any]
"""What is known: answers and what follows from them, by name."""

_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "at_least": lambda value, limit: value >= limit,
    "at_most": lambda value, limit: value <= limit,
    "above": lambda value, limit: value > limit,
    "below": lambda value, limit: value < limit,
}
_OTHER: dict[str, Callable[[Any, Any], bool]] = {
    "less_than": lambda value, other: value is not None and other is not None and value < other,
    "more_than": lambda value, other: value is not None and other is not None and value > other,
    "differs_from": lambda value, other: bool(value != other),
}
"""Comparisons with another fact, named by the condition."""


def holds(condition: Any, facts: Facts) -> bool:
    """An empty condition holds. Raises KeyError for a name that is unknown: a mistake in a data file."""
    if isinstance(condition, list):
        return any(holds(one, facts) for one in condition)
    return all(_fits(facts[name], wanted, facts) for name, wanted in condition.items())


def add_conditions(facts: Facts, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """``facts`` and the truth of each named condition, in the order of the file."""
    known = dict(facts)
    for name, condition in conditions.items():
        known[name] = holds(condition, known)
    return known


def first(rules: list[dict[str, Any]], facts: Facts) -> dict[str, Any]:
    """The first rule whose ``when`` holds; a table ends with one that has none."""
    return next(rule for rule in rules if holds(rule.get("when", {}), facts))


def limit(name: str) -> float:
    """A limit of ``data/limits.yaml``, in bytes, seconds or whatever it counts."""
    found = amount(table("limits")[name]["value"])
    assert found is not None, name
    return found


def _fits(value: Any, wanted: Any, facts: Facts) -> bool:
    if isinstance(wanted, list):
        return value in wanted
    if isinstance(wanted, dict):
        return all(_compares(word, value, bound, facts) for word, bound in wanted.items())
    return bool(value == wanted)


def _compares(word: str, value: Any, wanted: Any, facts: Facts) -> bool:
    if word in _OTHER:
        return _OTHER[word](value, facts[wanted])
    named = isinstance(wanted, str) and wanted.startswith("$")
    number, bound = amount(value), limit(wanted[1:]) if named else amount(wanted)
    return number is not None and bound is not None and _COMPARED[word](number, bound)
