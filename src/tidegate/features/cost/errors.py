"""Figures that cannot be: said in one line with the name of the figure and what it may be."""

import math

from tidegate.domain.errors import Invalid


def in_range(name: str, value: float, least: float, most: float) -> None:
    """Raises Invalid unless ``least <= value <= most``."""
    if not (math.isfinite(value) and least <= value <= most):
        raise Invalid(f"{name} is {value:g}; it must be from {least:g} to {most:g}")


def at_least(name: str, value: float, least: float) -> None:
    """Raises Invalid unless ``value`` is finite and at least ``least``."""
    if not (math.isfinite(value) and value >= least):
        raise Invalid(f"{name} is {value:g}; it must be at least {least:g}")


def above(name: str, value: float, bound: float) -> None:
    """Raises Invalid unless ``value`` is finite and above ``bound``."""
    if not (math.isfinite(value) and value > bound):
        raise Invalid(f"{name} is {value:g}; it must be above {bound:g}")
