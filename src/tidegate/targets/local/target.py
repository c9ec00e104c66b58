"""The local target: the port's four calls over supervisors and the router."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from tidegate.model.errors import TargetError, Transient
from tidegate.model.fleet import FleetId, FleetSpec, ReplicaState
from tidegate.model.traffic import RouteTable
from tidegate.ports.target import Capabilities, Look
from tidegate.targets.local.fleet import Fleet, Surroundings, Wish

log = logging.getLogger(__name__)


class LocalTarget:
    """Fleets as processes of this machine. ``start`` adopts what an earlier controller left running."""

    name = "local"
    can = Capabilities()

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._fleets: dict[FleetId, Fleet] = {}
        self._tasks: dict[FleetId, asyncio.Task[None]] = {}

    def start(self) -> None:
        self._around.folders.prepare()
        for path in sorted(self._around.folders.fleets.glob("*/*/*/fleet.json")):
            try:
                wish = msgspec.json.decode(path.read_bytes(), type=Wish)
            except (OSError, msgspec.DecodeError) as error:
                log.error("%s cannot be read (%s); its workers are left alone", path, error)
                continue
            self._supervise(wish).adopt()

    async def observe(self, endpoint: str) -> Look:
        fleets = {id: fleet.seen() for id, fleet in self._fleets.items() if id.endpoint == endpoint}
        try:
            routes = await self._around.router.routes(endpoint)
        except TargetError as error:
            log.warning("routes of %s cannot be read: %s", endpoint, error)
            return Look(fleets, None)
        return Look(fleets, routes)

    async def ensure_fleet(self, fleet: FleetSpec, fence: int) -> None:
        known = self._fleets.get(fleet.id)
        if known is None:
            self._supervise(Wish(fleet, fence)).want(Wish(fleet, fence))
        elif known.wish.deleted:
            raise Transient(f"fleet {fleet.id} is still going away")
        elif fence >= known.wish.fence:
            known.want(Wish(fleet, fence))

    async def delete_fleet(self, fleet: FleetId, fence: int) -> None:
        known = self._fleets.get(fleet)
        if known is not None and fence >= known.wish.fence:
            known.want(replace(known.wish, fence=fence, deleted=True))

    async def set_traffic(self, table: RouteTable) -> None:
        await self._around.router.set_routes(table)

    def serving(self) -> Iterator[tuple[FleetSpec, str, int, Path]]:
        """Every replica that takes requests or finishes some: its fleet, its id, its pid, its socket."""
        for fleet in self._fleets.values():
            for member in fleet.members.values():
                if member.state in (ReplicaState.READY, ReplicaState.DRAINING):
                    socket = self._around.folders.socket(member.id)
                    yield fleet.wish.spec, member.id, member.process.identity.pid, socket

    def ready_count(self, fleet: FleetId) -> int:
        known = self._fleets.get(fleet)
        return known.seen().ready if known else 0

    async def drain_all(self) -> None:
        """Ends every replica gently and waits for it; wishes stay on disk for a later start."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        members = [m for fleet in self._fleets.values() for m in fleet.members.values()]
        for member in members:
            member.process.terminate()
        deadline = asyncio.get_running_loop().time() + self._around.drain_timeout
        while any(m.process.alive for m in members) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        for member in members:
            member.process.kill()

    async def let_go(self) -> None:
        """Stops supervising and leaves everything running, for the next controller to adopt."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _supervise(self, wish: Wish) -> Fleet:
        fleet = self._fleets[wish.spec.id] = Fleet(wish, self._around)
        task = self._tasks[fleet.id] = asyncio.create_task(fleet.run(), name=f"fleet {fleet.id}")
        task.add_done_callback(lambda done: self._ended(fleet, done))
        return fleet

    def _ended(self, fleet: Fleet, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("the supervisor of %s failed; starting it again", fleet.id, exc_info=error)
            self._supervise(fleet.wish).adopt()
            return
        del self._fleets[fleet.id], self._tasks[fleet.id]
        self._around.changed(fleet.id.endpoint)
