"""The fence in front of every target: a controller whose lease went to another changes nothing any more.

Each change carries the fence of the record that asked for it. What carries a lower one than the last change of the
same fleet, or of the same endpoint's routes, comes from a former holder, or too late, and is dropped.
"""

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar, final

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import Capabilities, FleetStatus
from tidegate.domain.traffic import RouteTable
from tidegate.ports.target import Look

log = logging.getLogger(__name__)

F = TypeVar("F")
T = TypeVar("T")


@dataclass(frozen=True)
class FencedState(Generic[T]):
    """The present state of a fleet or of an endpoint's routes, with the fence of its last change, whoever made it. 0:
    the target keeps no fence."""

    fence: int
    there: T


@dataclass(frozen=True)
class FleetRequest:
    """The last request of this controller for one fleet."""

    spec: FleetSpec
    fence: int


class FencedTarget(ABC, Generic[F, T]):
    """A ``ports.target.Target`` that compares fences and remembers what this controller asked for. A target says what
    it finds and how it changes that: ``find_...``, ``put_...`` and ``remove_fleet``."""

    name: str
    can: Capabilities

    def __init__(self) -> None:
        self.requested: dict[FleetId, FleetRequest] = {}

    @abstractmethod
    async def observe(self, endpoint: str) -> Look: ...

    @abstractmethod
    async def find_fleet(self, fleet: FleetId) -> FencedState[F]: ...

    @abstractmethod
    async def put_fleet(self, fleet: FleetSpec, fence: int, there: F) -> None:
        """``ensure_fleet`` of what was found. The fleet is in ``requested`` already."""

    @abstractmethod
    async def remove_fleet(self, fleet: FleetId, fence: int, there: F) -> None:
        """``delete_fleet`` of what was found. The fleet is in ``requested`` no longer."""

    @abstractmethod
    async def find_traffic(self, endpoint: str) -> FencedState[T]: ...

    @abstractmethod
    async def put_traffic(self, table: RouteTable, there: T) -> None:
        """``set_traffic`` over what was found."""

    @final
    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        found, before = await self.find_fleet(fleet.id), self.requested.get(fleet.id)
        if self._is_late(f"fleet {fleet.id}", fence, found.fence, before):
            return
        self.requested[fleet.id] = FleetRequest(fleet, fence)
        try:
            await self.put_fleet(fleet, fence, found.there)
        except TargetRefused:
            if before is None:
                self.requested.pop(fleet.id, None)
            else:
                self.requested[fleet.id] = before
            raise

    @final
    async def delete_fleet(self, fleet: FleetId, fence: int) -> None:
        found, before = await self.find_fleet(fleet), self.requested.get(fleet)
        if self._is_late(f"fleet {fleet}", fence, found.fence, before):
            return
        self.requested.pop(fleet, None)
        await self.remove_fleet(fleet, fence, found.there)

    @final
    async def set_traffic(self, table: RouteTable) -> None:
        found = await self.find_traffic(table.endpoint)
        if not self._is_late(f"routes of {table.endpoint}", table.fence, found.fence):
            await self.put_traffic(table, found.there)

    @staticmethod
    def _is_late(what: str, fence: int, found: int, request: FleetRequest | None = None) -> bool:
        last = max(found, request.fence if request is not None else 0)
        if fence < last:
            log.warning("%s: fence %d is older than %d", what, fence, last)
        return fence < last

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        """Return the status of a fleet as it was requested, without a ready replica. None: it was not requested, or
        is to be deleted."""
        known = self.requested.get(fleet)
        return None if known is None else FleetStatus(fleet, known.spec.count, 0, known.spec.count)

    def desired(self) -> list[FleetSpec]:
        """Return the fleets that should exist."""
        return [known.spec for known in self.requested.values()]
