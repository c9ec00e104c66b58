"""Fleets and traffic of the local target, by supervisors and the router."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import TargetError, Transient
from tidegate.domain.fleet import FleetId, FleetSpec, ReplicaState
from tidegate.domain.observation import TIDEGATE_CAPABILITIES, Capabilities, FleetStatus, Observation
from tidegate.domain.traffic import RouteTable
from tidegate.ports.router import PassedRequests, ServerAddress, View
from tidegate.ports.target import Look
from tidegate.targets.collection import worker_http
from tidegate.targets.collection.sources import ServingReplica
from tidegate.targets.fence import FencedState, FencedTarget
from tidegate.targets.local import replica_processes, rest_watch
from tidegate.targets.local.device_pool import devices_of, visible_devices
from tidegate.targets.local.fleet_supervisor import LocalFleet
from tidegate.targets.local.process import Process
from tidegate.targets.local.replica import Replica
from tidegate.targets.local.supervisor_context import DesiredFleet, SupervisorContext, runs_the_same, save_desired

log = logging.getLogger(__name__)

SHARED_FROM = 8
"""Workers of one group from which on new ones are forked, with the libraries in memory once: so many take more memory
than the fork server."""
MOST_ASKING = 4
"""Looks at the router at one time: hundreds of endpoints at once are more than its command socket takes."""


class LocalTarget(FencedTarget[LocalFleet | None, None]):
    """Fleets as processes of this machine. ``start`` adopts what an earlier controller left running."""

    name = "local"

    def __init__(self, context: SupervisorContext, can: Capabilities = TIDEGATE_CAPABILITIES) -> None:
        super().__init__()
        self.can = can
        self._context = context
        self._fleets: dict[FleetId, LocalFleet] = {}
        self._by_endpoint: dict[str, dict[FleetId, LocalFleet]] = {}
        self._tasks: dict[FleetId, asyncio.Task[None]] = {}
        self._asking = asyncio.Semaphore(MOST_ASKING)
        self._blind: set[str] = set()
        """Endpoints whose routes could not be read the last time; logged once."""
        self._passed: dict[FleetId, PassedRequests] = {}
        self._ending: asyncio.Task[None] | None = None
        """Of workers that nobody knows."""
        self._known: dict[ServerAddress, Replica] = {}
        """Replicas that serve, as of the last time that all were listed."""
        self._watching: asyncio.Task[None] | None = None
        """Of fleets at rest."""
        self._answers: dict[FleetId, tuple[int, int]] = {}

    def start(self) -> None:
        folders = self._context.folders
        folders.prepare()
        folders.empty_trash()
        for path in sorted(folders.fleets.glob("*/*/*/fleet.json")):
            try:
                desired = msgspec.json.decode(path.read_bytes(), type=prepare_type(DesiredFleet))
            except (OSError, msgspec.DecodeError) as error:
                log.error("%s cannot be read (%s); its workers go on until the fleet is asked for", path, error)
                self._keep_devices(path.parent)
                continue
            # No request of an earlier controller is on its way any more; a record from a backup has an older fence.
            self._supervise(replace(desired, fence=0))
        self._start_fork_servers()
        self._watch()
        known = {m.process.identity.pid for fleet in self._fleets.values() for m in fleet.replicas.values()}
        orphans = replica_processes.orphans(folders, known)
        if orphans:
            log.warning("ending %d workers whose folders are gone", len(orphans))
            for one in orphans:  # before any fleet starts a replica
                self._context.devices.hold(one.identity.pid, visible_devices(one.identity.pid))
            self._ending = asyncio.create_task(self._end(orphans))

    def _watch(self) -> None:
        """Never without: fleets at rest have no other looks."""
        self._watching = asyncio.create_task(rest_watch.watch(self._fleets.values), name="fleets at rest")
        self._watching.add_done_callback(self._on_watch_end)

    def _on_watch_end(self, ended: asyncio.Task[None]) -> None:
        if not ended.cancelled():
            log.error("looks at fleets at rest failed; they go on", exc_info=ended.exception())
            self._watch()

    def _keep_devices(self, folder: Path) -> None:
        """Keep the devices of the running replicas of a fleet whose record cannot be read: nobody else may have
        them."""
        generation = folder.parent.name
        fleet = FleetId(folder.parent.parent.name, int(generation) if generation.isdecimal() else 0, folder.name)
        for one in sorted(folder.glob("replicas/*")):
            process = Process.adopt(one, self._context.folders.installation)
            if process is not None:
                self._context.devices.adopt(fleet, one.name, devices_of(one, process.identity.pid))

    async def _end(self, orphans: Sequence[Process]) -> None:
        """Their devices stay theirs until they have ended."""
        await replica_processes.end(orphans, self._context.drain_timeout)
        for one in orphans:
            self._context.devices.release_process(one.identity.pid)

    async def observe(self, endpoint: str) -> Look:
        """Observe an endpoint. Only replicas that the router considers alive are ready, so it is asked together with
        the routes. While fleets of an earlier controller are being adopted, none are shown: what is ready of them is
        unknown, and an endpoint that seemed dead in mid-rollout would be rolled back."""
        routes: RouteTable | None = None
        try:
            async with self._asking:
                given = {fleet.id: fleet.routed for fleet in self._of(endpoint)}
                view = await self._context.router.view(endpoint)
        except TargetError as error:
            if endpoint not in self._blind:
                log.warning("routes of %s cannot be read: %s", endpoint, error)
            self._blind.add(endpoint)
        else:
            self._blind.discard(endpoint)
            routes = view.routes
            self._compare(given, view)
        return self._show(endpoint, routes)

    async def observe_all(self, endpoints: Collection[str]) -> dict[str, Look]:
        """Endpoints whose routes cannot be read are absent."""
        given = {name: {fleet.id: fleet.routed for fleet in self._of(name)} for name in endpoints}
        views = await self._context.router.views(endpoints)
        for name, view in views.items():
            self._compare(given[name], view)
        return {name: self._show(name, view.routes) for name, view in views.items()}

    def _show(self, endpoint: str, routes: RouteTable | None) -> Look:
        mine = self._of(endpoint)
        if any(fleet.adopting for fleet in mine):
            return Look(None, routes)
        return Look({fleet.id: self._add_load(fleet.seen()) for fleet in mine}, routes)

    def _of(self, endpoint: str) -> list[LocalFleet]:
        return list(self._by_endpoint.get(endpoint, {}).values())

    def _compare(self, given: Mapping[FleetId, frozenset[str]], view: View) -> None:
        """Compare what the router has with what it had been given."""
        for id, before in given.items():
            fleet = self._fleets.get(id)
            if fleet is None or fleet.desired.spec.detached is not None:
                continue
            alive, servers = view.alive.get(id, {}), before & fleet.routed
            down = frozenset(name for name in servers if not alive.get(name, False))
            fleet.set_down(down, lost=not servers <= alive.keys())

    async def find_fleet(self, fleet: FleetId) -> FencedState[LocalFleet | None]:
        known = self._fleets.get(fleet)
        return FencedState(known.desired.fence if known is not None else 0, known)

    async def put_fleet(self, fleet: FleetSpec, fence: int, there: LocalFleet | None) -> None:
        known, desired = there, DesiredFleet(fleet, fence)
        if known is not None and not known.desired.deleted and not runs_the_same(known.desired.spec, fleet):
            log.warning("fleet %s is there from another time and runs something else; stopping it first", fleet.id)
            self._retire(known)
        if known is not None and known.desired.deleted:
            raise Transient(f"fleet {fleet.id} is still going away")
        try:
            self._context.devices.check_room(fleet, self._desired())
            if known is None:
                if not self._context.folders.desired_file(fleet.id).exists():
                    self._context.folders.discard(fleet.id)  # what a fleet that is gone may have left
                save_desired(self._context.folders, desired)
                self._supervise(desired)
            else:
                known.set_desired(desired)
        except OSError as error:
            raise _not_written(fleet.id, error) from None
        servers = self._context.fork_servers
        if servers is not None and not servers[self._context.fork_group(fleet)].wanted:
            self._start_fork_servers()

    def _start_fork_servers(self) -> None:
        """Each as soon as something needs it: a serverless endpoint, or many workers whose libraries would each take
        as much memory again."""
        servers = self._context.fork_servers
        if servers is None:
            return
        waits, workers = set[str](), Counter[str]()
        for spec in self.desired():
            group = self._context.fork_group(spec)
            workers[group] += spec.count
            if spec.variant.serverless is not None:
                waits.add(group)
        for group, count in workers.items():
            if not servers[group].wanted and (group in waits or count >= SHARED_FROM):
                servers[group].ensure()

    def _retire(self, fleet: LocalFleet) -> None:
        try:
            fleet.set_desired(replace(fleet.desired, deleted=True))
        except OSError as error:
            raise _not_written(fleet.id, error) from None

    async def retire_unknown(self, endpoints: Collection[str]) -> None:
        """Stop the fleets and remove the routes of endpoints (and jobs) without a record, at the start: the store was
        restored or changed. ``endpoints`` must be complete."""
        for endpoint in sorted(self._context.router.endpoints() - set(endpoints)):
            log.warning("endpoint %s has routes and no record; taking it off the proxy", endpoint)
            try:
                fence = (await self._context.router.view(endpoint)).routes.fence
                await self._context.router.set_routes(RouteTable(endpoint, fence))
            except TargetError as error:
                log.warning("routes of %s cannot be taken off: %s", endpoint, error)
        for fleet in list(self._fleets.values()):
            if fleet.id.endpoint not in endpoints and not fleet.desired.deleted:
                log.warning("fleet %s has no record; stopping it", fleet.id)
                with contextlib.suppress(Transient):
                    self._retire(fleet)

    async def remove_fleet(self, fleet: FleetId, fence: int, there: LocalFleet | None) -> None:
        # Asked again at the very end, its desired state must not be written into a folder that was just taken away.
        if there is not None and not there.desired.deleted:
            try:
                there.set_desired(replace(there.desired, fence=fence, deleted=True))
            except OSError as error:
                raise _not_written(fleet, error) from None

    async def find_traffic(self, endpoint: str) -> FencedState[None]:
        """The proxy outlives controllers, so it compares the fences of its tables itself."""
        return FencedState(0, None)

    async def put_traffic(self, table: RouteTable, there: None) -> None:
        await self._context.router.set_routes(table)

    def serving(self) -> Iterator[ServingReplica]:
        """Yield every replica of an endpoint that takes requests or finishes some."""
        known = dict[ServerAddress, Replica]()
        for fleet in self._fleets.values():
            if fleet.desired.spec.detached is not None:
                continue
            for replica in fleet.replicas.values():
                if replica.state in (ReplicaState.READY, ReplicaState.DRAINING):
                    known[replica.socket] = replica
                    pid = replica.process.identity.pid
                    yield ServingReplica(fleet.desired.spec, replica.id, pid, replica.socket, replica.devices)
        self._known = known

    def activity(self, replica: ServingReplica) -> int | None:
        """The number that its worker raises before it counts anything; None if there is none to read."""
        known = self._known.get(replica.socket)
        return None if known is None else known.read_activity()

    async def get(self, worker: ServerAddress, path: str, seconds: float) -> tuple[int, bytes] | None:
        """GET of a path from a worker, over the connection of its pings if there is one."""
        known = self._known.get(worker)
        return await (worker_http.get(worker, path, seconds) if known is None else known.get(path, seconds))

    def desired(self) -> list[FleetSpec]:
        """The fleets that should exist."""
        return list(self._desired())

    def _desired(self) -> Iterator[FleetSpec]:
        return (known.desired.spec for known in self._fleets.values() if not known.desired.deleted)

    def provisioned(self) -> list[FleetSpec]:
        """Serverless fleets that keep replicas for requests to come."""
        kept = [one for one in self._fleets.values() if (bounds := one.bounds) is not None and bounds.least]
        return [one.desired.spec for one in kept if one.desired.spec.count and not one.desired.deleted]

    def spec(self, fleet: FleetId) -> FleetSpec | None:
        """Return the specification of a fleet that exists, with or without replicas; None if it does not exist."""
        known = self._fleets.get(fleet)
        return known.desired.spec if known else None

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        """Return the status of a fleet. None: the fleet does not exist, and nothing is left of it."""
        known = self._fleets.get(fleet)
        return self._add_load(known.seen()) if known else None

    def set_load(self, passed: Mapping[FleetId, PassedRequests]) -> None:
        """The router's load for each fleet, once a second."""
        self._passed = dict(passed)
        for id, load in passed.items():
            if (fleet := self._fleets.get(id)) is not None:
                fleet.set_down(load.down)

    def set_answers(self, counts: Mapping[FleetId, tuple[int, int]]) -> None:
        """How many requests of each fleet were answered, and how many failed, since this controller follows it."""
        self._answers = dict(counts)

    def refresh(self, look: Observation) -> Observation:
        """An earlier look with the router's present load."""
        fleets = None if look.fleets is None else {id: self._add_load(seen) for id, seen in look.fleets.items()}
        return replace(look, fleets=fleets)

    def _add_load(self, seen: FleetStatus) -> FleetStatus:
        load, answers = self._passed.get(seen.id), self._answers.get(seen.id)
        if answers is not None:
            seen = replace(seen, answered=answers[0], failed=answers[1])
        if load is None:
            return seen
        return replace(seen, in_flight=load.in_flight, queued=load.queued, queue_time=load.queue_time)

    def ready_count(self, fleet: FleetId) -> int:
        known = self._fleets.get(fleet)
        return known.running if known else 0

    def wake(self, fleet: FleetId, asked: float) -> None:
        """A request for a fleet without a ready replica waits, since then (epoch seconds)."""
        if (known := self._fleets.get(fleet)) is not None:
            known.wake(asked)

    def kick(self, fleet: FleetId) -> None:
        """Wake the supervisor of a fleet: there is news of one of its replicas."""
        if (known := self._fleets.get(fleet)) is not None:
            known.kick()

    async def drain_all(self) -> None:
        """End every replica gently and wait for it; desired states stay on disk for a later start."""
        await self._stop()
        if self._ending is not None:
            await self._ending
        replicas = [m for fleet in self._fleets.values() for m in fleet.replicas.values()]
        for replica in replicas:
            replica.process.terminate()
        deadline = asyncio.get_running_loop().time() + self._context.drain_timeout
        while any(m.process.alive for m in replicas) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        for replica in replicas:
            replica.process.kill()

    async def detach(self) -> None:
        """Stop supervising, and leave everything running for the next controller to adopt."""
        if self._ending is not None:
            self._ending.cancel()
        await self._stop()

    async def _stop(self) -> None:
        tasks = [*self._tasks.values(), *([self._watching] if self._watching is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _supervise(self, desired: DesiredFleet) -> None:
        """Start a supervisor, which adopts what runs of the fleet."""
        fleet = self._fleets[desired.spec.id] = LocalFleet(desired, self._context)
        self._by_endpoint.setdefault(fleet.id.endpoint, {})[fleet.id] = fleet
        fleet.adopt()
        task = self._tasks[fleet.id] = asyncio.create_task(fleet.run(), name=f"fleet {fleet.id}")
        task.add_done_callback(lambda done: self._on_end(fleet, done))

    def _on_end(self, fleet: LocalFleet, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._tasks.get(fleet.id) is not task:
            return
        del self._fleets[fleet.id], self._tasks[fleet.id]
        siblings = self._by_endpoint[fleet.id.endpoint]
        del siblings[fleet.id]
        if not siblings:
            del self._by_endpoint[fleet.id.endpoint]
        if (error := task.exception()) is not None:
            log.error("the supervisor of %s failed; starting it again", fleet.id, exc_info=error)
            self._supervise(fleet.desired)
        self._context.changed(fleet.id.endpoint)


def _not_written(fleet: FleetId, error: OSError) -> Transient:
    return Transient(f"the desired state of fleet {fleet} cannot be written: {error.strerror or error}")
