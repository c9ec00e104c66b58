"""Many alike models: an endpoint for each against one endpoint of many models."""

import math
from dataclasses import dataclass, replace

from tidegate.features.cost.bill import Bill, Tariff
from tidegate.features.cost.breakeven import BillComparison
from tidegate.features.cost.errors import above, in_range
from tidegate.features.cost.extras import NOTHING, Extras
from tidegate.features.cost.fleet import ScalingBounds
from tidegate.features.cost.hosted import real_time
from tidegate.features.cost.traffic import Load

GIB = 1024.0**3


@dataclass(frozen=True)
class ModelPool:
    """The models to be served: ``count`` of ``model_bytes`` in memory each, as measured (``tidegate show models``
    shows it); ``hot`` is the part of them that is to be loaded at one time, and ``usable`` the part of an instance's
    memory that models get."""

    count: int
    model_bytes: float
    hot: float = 1.0
    usable: float = 0.8

    def __post_init__(self) -> None:
        in_range("models", self.count, 1, 10_000_000)
        above("bytes of a model", self.model_bytes, 0)
        in_range("part of the models that is loaded", self.hot, 0, 1)
        above("part of the memory that models get", self.usable, 0)
        in_range("part of the memory that models get", self.usable, 0, 1)

    def instances(self, memory_gib: float) -> int:
        """Return how many instances of ``memory_gib`` hold all the hot models, each of them once; at least 1."""
        return max(1, math.ceil(self.count * self.hot * self.model_bytes / (memory_gib * GIB * self.usable)))


def dedicated(
    tariff: Tariff,
    models: ModelPool,
    instance: str,
    scaling: ScalingBounds,
    load: Load,
    *,
    extras: Extras = NOTHING,
) -> Bill:
    """Price an endpoint for each model, with ``scaling`` of its own; the load is spread evenly over them."""
    alone = load.times(1.0 / models.count)
    return real_time(tariff, instance, scaling, alone, extras).times(models.count)


def shared(tariff: Tariff, models: ModelPool, instance: str, scaling: ScalingBounds) -> ScalingBounds:
    """Return the bounds of one endpoint of all models: it has at least as many instances as their memory needs."""
    least = max(scaling.least, models.instances(tariff.catalogue.instance(instance).memory_gib))
    return replace(scaling, least=least, most=max(least, scaling.most))


def dedicated_against_shared(
    tariff: Tariff, models: ModelPool, each: tuple[str, ScalingBounds], one: tuple[str, ScalingBounds], load: Load
) -> BillComparison:
    """Compare an endpoint for each model with one endpoint of all. ``each`` is the instance type and scaling of every
    dedicated endpoint, ``one`` that of the shared one; ``load`` is that of all models together."""
    scaling = shared(tariff, models, *one)
    return BillComparison(dedicated(tariff, models, *each, load), real_time(tariff, one[0], scaling, load))
