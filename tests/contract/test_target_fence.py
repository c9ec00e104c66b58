"""A late change, of a controller whose lease went to another, changes nothing: on any target."""

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest

from tests.samples import version
from tidegate.domain.errors import TargetRefused, Transient
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import Capabilities
from tidegate.domain.traffic import RouteTable
from tidegate.ports.target import Look
from tidegate.targets.fence import FencedState, FencedTarget
from tidegate.targets.registry import MODULES

CHANGES = ("ensure_fleet", "delete_fleet", "set_traffic")
FLEET = FleetId("fraud", 1, "AllTraffic")


def target_classes(name: str) -> Iterator[type]:
    """The classes of a target's folder that take traffic."""
    package = importlib.import_module(MODULES[name].rpartition(".")[0])
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        for _, one in inspect.getmembers(module, inspect.isclass):
            if one.__module__ == module.__name__ and hasattr(one, "set_traffic"):
                yield one


@pytest.mark.parametrize("name", MODULES)
def test_every_target_is_behind_the_fence(name: str) -> None:
    targets = list(target_classes(name))
    assert targets
    for target in targets:
        assert issubclass(target, FencedTarget), target
        assert [getattr(target, change) for change in CHANGES] == [getattr(FencedTarget, one) for one in CHANGES]


class Place(FencedTarget[str, str]):
    """Keeps the fence of each fleet and table, as a place outside of the process does."""

    def __init__(self) -> None:
        super().__init__()
        self.name, self.can = "place", Capabilities()
        self.fleets: dict[FleetId, tuple[int, int]] = {}
        self.tables: dict[str, int] = {}
        self.trouble: Exception | None = None

    async def observe(self, endpoint: str) -> Look:
        return Look(None, None)

    async def find_fleet(self, fleet: FleetId) -> FencedState[str]:
        return FencedState(self.fleets.get(fleet, (0, 0))[1], "fleet")

    async def put_fleet(self, fleet: FleetSpec, fence: int, there: str) -> None:
        assert there == "fleet" and self.requested[fleet.id].fence == fence
        if self.trouble is not None:
            raise self.trouble
        self.fleets[fleet.id] = (fleet.count, fence)

    async def remove_fleet(self, fleet: FleetId, fence: int, there: str) -> None:
        assert there == "fleet" and fleet not in self.requested
        del self.fleets[fleet]

    async def find_traffic(self, endpoint: str) -> FencedState[str]:
        return FencedState(self.tables.get(endpoint, 0), "routes")

    async def put_traffic(self, table: RouteTable, there: str) -> None:
        assert there == "routes"
        self.tables[table.endpoint] = table.fence


def spec(count: int) -> FleetSpec:
    return FleetSpec(FLEET, "v1", version("v1").variants[0], count)


def test_what_a_former_controller_asks_late_is_dropped() -> None:
    """Also by a process that remembers nothing: the place knows."""

    async def play() -> None:
        place, former = Place(), Place()
        former.fleets, former.tables = place.fleets, place.tables
        await former.ensure_fleet(spec(1), 3)
        await former.set_traffic(RouteTable("fraud", 3))
        await place.ensure_fleet(spec(2), 4)
        await place.set_traffic(RouteTable("fraud", 5))
        await former.ensure_fleet(spec(9), 3)
        await former.delete_fleet(FLEET, 3)
        await former.set_traffic(RouteTable("fraud", 4))
        assert (place.fleets, place.tables) == ({FLEET: (2, 4)}, {"fraud": 5})
        await place.ensure_fleet(spec(3), 4)
        assert place.fleets == {FLEET: (3, 4)}, "the same again is not late"
        await place.delete_fleet(FLEET, 6)
        assert place.fleets == {} and place.desired() == []

    asyncio.run(play())


def test_a_change_that_is_under_way_is_not_undone_by_a_late_one() -> None:
    """The place does not show it yet: what this controller asked for counts too."""

    async def play() -> None:
        place = Place()
        place.trouble = Transient("later")
        with pytest.raises(Transient):
            await place.ensure_fleet(spec(2), 4)
        place.trouble = None
        await place.ensure_fleet(spec(1), 3)
        assert place.fleets == {} and place.desired() == [spec(2)]

    asyncio.run(play())


def test_a_fleet_that_is_refused_is_not_wanted() -> None:
    async def play() -> None:
        place = Place()
        place.trouble = TargetRefused("never")
        with pytest.raises(TargetRefused):
            await place.ensure_fleet(spec(2), 4)
        assert place.desired() == [] and place.seen(FLEET) is None
        place.trouble = None
        await place.ensure_fleet(spec(1), 4)
        place.trouble = TargetRefused("never")
        with pytest.raises(TargetRefused):
            await place.ensure_fleet(spec(5), 5)
        assert place.desired() == [spec(1)]

    asyncio.run(play())
