"""A target with limited capacity for some instance types, to rehearse what happens when AWS has none left."""

from collections.abc import Callable, Iterable, Mapping

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.traffic import RouteTable
from tidegate.ports.target import Look, Target


class LimitedTarget:
    """A ``ports.target.Target``. ``desired`` gives the fleets that ``inner`` should have; ``capacity``: instance type
    -> the most instances that all fleets together may have. A request for more is refused whole, as SageMaker's
    is."""

    def __init__(
        self, inner: Target, desired: Callable[[], Iterable[FleetSpec]], capacity: Mapping[str, int]
    ) -> None:
        self.name, self.can = inner.name, inner.can
        self.inner, self.desired, self.capacity = inner, desired, capacity

    async def observe(self, endpoint: str) -> Look:
        return await self.inner.observe(endpoint)

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        most = self.capacity.get(fleet.variant.instance_type)
        if most is not None and fleet.variant.serverless is None:
            fleets = {spec.id: spec for spec in self.desired() if self._competes(spec, fleet)}
            before = fleets.pop(fleet.id, None)
            used = sum(spec.count for spec in fleets.values())
            if fleet.count > (before.count if before else 0) and used + fleet.count > most:
                # The first sentence is SageMaker's own FailureReason.
                raise TargetRefused(
                    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error."
                    " Please retry using a different ML instance type or after some time."
                    f" ({fleet.variant.instance_type}: {most} by TIDEGATE_CAPACITY, {used} in use,"
                    f" {fleet.count} asked for)"
                )
        await self.inner.ensure_fleet(fleet, fence)

    @staticmethod
    def _competes(other: FleetSpec, fleet: FleetSpec) -> bool:
        return other.variant.instance_type == fleet.variant.instance_type and other.variant.serverless is None

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None:
        await self.inner.delete_fleet(fleet, fence)

    async def set_traffic(self, table: RouteTable) -> None:
        await self.inner.set_traffic(table)
