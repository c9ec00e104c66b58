"""The cheapest of the types that fit: each is priced for the whole year, and the least bill wins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tidegate.domain.errors import Invalid
from tidegate.features.cost.bill import Bill, Tariff
from tidegate.features.planner.candidates import candidates, hourly
from tidegate.features.planner.sizing import capacity
from tidegate.prices import InstanceType

Facts = Mapping[str, Any]


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
    facts: Facts, tariff: Tariff, price: Callable[[InstanceType], Priced]
) -> tuple[Priced, tuple[AlternativeType, ...]]:
    """Return the size with the least bill, and the others by theirs. Of equal ones it is the least dear instance, as
    it scales in finer steps; then more vCPU, then the name. Raises Invalid where no type carries the load, and what
    ``candidates`` raises."""
    types = candidates(facts, tariff)
    first = _price_all(facts, tariff, price, types)
    chosen = first[0][1]
    rest = [one for one in types if one.name != first[0][0][3]]
    # What the chosen type dominated is second only among the rest.
    try:
        second = _price_all(facts, tariff, price, rest) if rest else []
    except Invalid:
        second = []
    return chosen, tuple(AlternativeType(name, month) for (month, _, _, name), _ in second)


def _price_all(
    facts: Facts, tariff: Tariff, price: Callable[[InstanceType], Priced], types: Sequence[InstanceType]
) -> list[tuple[tuple[float, float, int, str], Priced]]:
    """The types that no other dominates, the cheapest first. Raises Invalid where none carries the load."""
    found: list[tuple[tuple[float, float, int, str], Priced]] = []
    refused: Invalid | None = None
    for type in _undominated(facts, tariff, types):
        try:
            made = price(type)
        except Invalid as error:
            refused = error
            continue
        month = round(made.bill.month, 6)
        found.append(((month, hourly(facts, type, tariff), -type.vcpus, type.name), made))
    if not found:
        assert refused is not None
        raise refused
    return sorted(found, key=lambda one: one[0])


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
