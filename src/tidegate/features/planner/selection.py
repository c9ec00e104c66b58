"""The cheapest of the types that fit: each is priced for the whole year, and the least bill wins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar

from tidegate.domain.errors import Invalid
from tidegate.features.cost.bill import Bill, Tariff
from tidegate.features.planner.candidates import candidates, hourly
from tidegate.features.planner.sizing import capacity
from tidegate.prices import InstanceType

Facts = Mapping[str, Any]
_CENT = 0.01


class _HasBill(Protocol):
    @property
    def bill(self) -> Bill: ...


Priced = TypeVar("Priced", bound=_HasBill)


@dataclass(frozen=True)
class AlternativeType:
    """A type that fits and was not chosen, with the dollars of a month."""

    name: str
    month: float


def cheapest(
    facts: Facts,
    tariff: Tariff,
    price: Callable[[InstanceType], Priced],
    bound: Callable[[InstanceType], float] = lambda _: 0.0,
) -> tuple[Priced, Callable[[], AlternativeType | None]]:
    """Return the size with the least bill, and a function that finds the second by its. Of equal ones it is the least
    dear instance, as it scales in finer steps; then more vCPU, then the name. ``bound``: dollars a month that a type
    costs at the least. Raises Invalid where no type carries the load, and what ``candidates`` raises."""
    types, price = candidates(facts, tariff), cache(price)
    (_, _, _, first), chosen = _find_cheapest(facts, tariff, price, bound, types)

    def find_second() -> AlternativeType | None:
        # What the chosen type dominated is second only among the rest.
        rest = [one for one in types if one.name != first]
        try:
            (month, _, _, name), _ = _find_cheapest(facts, tariff, price, bound, rest)
        except Invalid:
            return None
        return AlternativeType(name, month)

    return chosen, find_second


def _find_cheapest(
    facts: Facts,
    tariff: Tariff,
    price: Callable[[InstanceType], Priced],
    bound: Callable[[InstanceType], float],
    types: Sequence[InstanceType],
) -> tuple[tuple[float, float, int, str], Priced]:
    """Price the types that no other dominates, until the others cannot be cheaper. Raises Invalid where none carries
    the load."""
    bounds, found, refused = list[tuple[float, InstanceType]](), None, Invalid("there is no type")
    for type in _undominated(facts, tariff, types):
        try:
            bounds.append((bound(type), type))
        except Invalid as error:
            refused = error
    for least, type in sorted(bounds, key=lambda one: one[0]):
        if found is not None and least > found[0][0] + _CENT:
            break
        try:
            made = price(type)
        except Invalid as error:
            refused = error
            continue
        here = (round(made.bill.month, 6), hourly(facts, type, tariff), -type.vcpus, type.name), made
        found = here if found is None else min(found, here, key=lambda one: one[0])
    if found is None:
        raise refused
    return found


def _undominated(facts: Facts, tariff: Tariff, types: Sequence[InstanceType]) -> list[InstanceType]:
    """Leave out the types that another type beats: it costs no more an hour, answers as much, and holds as much where
    many models share it. A bill never falls when an instance costs more, answers less or holds less, so none of these
    is the cheapest; leaving them out saves the replay of a year for each."""

    def figures(type: InstanceType) -> tuple[float, float, float, int, str]:
        room = (type.accelerator_gib or type.memory_gib) if facts["many_models"] else 0.0
        return hourly(facts, type, tariff), -capacity(facts, type)[0], -room, -type.vcpus, type.name

    kept: list[tuple[tuple[float, float, float, int, str], InstanceType]] = []
    for here, type in sorted(((figures(type), type) for type in types), key=lambda one: one[0]):
        if not any(before[1] <= here[1] and before[2] <= here[2] for before, _ in kept):
            kept.append((here, type))
    return [type for _, type in kept]
