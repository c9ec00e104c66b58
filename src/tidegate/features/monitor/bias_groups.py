"""Which values are of a group, and which outcomes are good: some categories, or numbers beyond a threshold. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.features.monitor.bias_config import Facet, Scalar, name_value
from tidegate.rows.label_lines import read_number

MOST_VALUES = 20
"""Different numbers of a column up to which they are categories, if all are whole."""
Values = Sequence[Scalar | None]
Holds = Callable[[Scalar | None], bool]


def read_scalar(value: Any) -> Scalar | None:
    """A number, a text, or nothing."""
    if isinstance(value, bool):
        return float(value)
    number = read_number(value)
    if number is not None:
        return number
    return value.strip() or None if isinstance(value, str) else None


def choose_groups(facet: Facet, values: Values) -> Iterator[tuple[str, Holds]]:
    """How analysis.json names each group, and whether a value is of it. Raises Invalid for too many."""
    if facet.values:
        yield make_test(facet.values, values)
        return
    found = sorted({value for value in values if value is not None}, key=name_value)
    if len(found) > MOST_VALUES:
        raise Invalid(f"facet {facet.name} has {len(found)} values: give value_or_threshold")
    for value in found:
        yield _of_values((value,))


def make_test(wanted: Sequence[Scalar], among: Values) -> tuple[str, Holds]:
    """The same of the ``wanted`` values, or of one threshold, in a column."""
    if len(wanted) == 1 and isinstance(wanted[0], float) and _is_measured(among):
        return _beyond(wanted[0], max(one for one in among if isinstance(one, float)))
    return _of_values(tuple(wanted))


def _is_measured(among: Values) -> bool:
    """Numbers are measured, unless they are a few whole ones, which are categories."""
    numbers = {one for one in among if isinstance(one, float)}
    if any(isinstance(one, str) for one in among) or not numbers:
        return False
    return len(numbers) > MOST_VALUES or any(one != int(one) for one in numbers)


def _beyond(threshold: float, top: float) -> tuple[str, Holds]:
    name = f"({name_value(threshold)}, {name_value(top)}]"
    return name, lambda value: isinstance(value, float) and value > threshold


def _of_values(wanted: tuple[Scalar, ...]) -> tuple[str, Holds]:
    names = frozenset(map(name_value, wanted))
    return ",".join(map(name_value, wanted)), lambda value: value is not None and name_value(value) in names
