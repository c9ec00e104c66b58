"""The supervisor of one fleet: makes what runs equal to what is desired, and reports what it sees.

One turn looks at every replica, then does the next small thing for each; it runs again when a process ends, when
the desired state changes, and a few times a second while something is under way. A replica gets requests only once it
has answered its ping, and is asked to stop only once the router has no request left for it (or the drain timeout
has passed).
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from tidegate.domain.errors import TidegateError
from tidegate.domain.fleet import FleetId, ReplicaState, RoutingStrategy, Serverless
from tidegate.domain.observation import FleetStatus
from tidegate.targets.local import on_demand, replica_processes, rest_watch, worker_client
from tidegate.targets.local import replica as files
from tidegate.targets.local.fleet_files import FleetFiles
from tidegate.targets.local.health import Health
from tidegate.targets.local.on_demand import ServerlessState
from tidegate.targets.local.replica import Replica
from tidegate.targets.local.rest_watch import part_of
from tidegate.targets.local.start_queue import Urgency, urgency
from tidegate.targets.local.supervisor_context import DesiredFleet, SupervisorContext, save_desired

# Failed starts of a fleet's replicas: how long it waits before the next, and when it is reported as failing.


START_FAILURES = 3
"""Failed starts in a row after which the fleet is reported as failing (it goes on trying, slower)."""
LONGEST_BACKOFF = 30.0
"""Seconds between tries to start what does not start."""
EARLY_BACKOFF = 2.0
"""The same for what starts well and then dies soon: it may do so by what it is asked, and is missed."""


@dataclass
class StartFailures:
    """Times are the event loop's, seconds. ``reason`` is reported; None while there is hope."""

    count: int = 0
    reason: str | None = None
    not_before: float = 0.0

    def add(
        self,
        message: str,
        now: float,
        *,
        conclusive: bool = False,
        has_served: bool = False,
        longest: float = LONGEST_BACKOFF,
    ) -> None:
        """``conclusive``: another try would fail like this one, unless the fleet ``has_served``: then what it lacks
        may be back soon, and requests miss it."""
        self.count += 1
        backoff = min(longest, 0.5 * 2 ** min(self.count - 1, 10))
        self.not_before = now + (LONGEST_BACKOFF if conclusive and not has_served else backoff)
        if conclusive or self.count >= START_FAILURES:
            self.reason = message

    def started(self) -> None:
        """A replica is ready; whether it stays so is open."""
        self.reason, self.not_before = None, 0.0

    def settled(self) -> None:
        """A replica has stayed ready."""
        self.count = 0


# --- compute the status of a fleet that is not serverless, for its supervisor ---


def describe_fleet(
    desired: DesiredFleet,
    replicas: Collection[Replica],
    routed: frozenset[str],
    ready: int,
    failure: str | None,
    was_ready: bool,
) -> FleetStatus:
    """``routed``: replicas that the router has; one that is ready and not among them still starts."""
    spec, count = desired.spec, Counter(one.state for one in replicas)
    coming = sum(one.state is ReplicaState.READY and one.id not in routed for one in replicas)
    return FleetStatus(
        id=spec.id,
        desired=0 if desired.deleted else spec.count,
        ready=ready,
        starting=count[ReplicaState.STARTING] + coming,
        draining=count[ReplicaState.DRAINING],
        failure=failure,
        mirror=None if desired.deleted else spec.mirror,
        paired=None if desired.deleted else spec.paired,
        was_ready=was_ready,
        devices=tuple((one.id, one.devices) for one in replicas if one.devices),
        problem=next(filter(None, (one.waits_for for one in replicas)), None),
    )


log = logging.getLogger(__name__)


@dataclass
class LocalFleet:
    desired: DesiredFleet
    context: SupervisorContext
    replicas: dict[str, Replica] = field(default_factory=dict)
    failures: StartFailures = field(default_factory=StartFailures)
    part: int = field(init=False)
    _files: FleetFiles = field(init=False)
    _backend_stale: bool = True
    adopting: bool = False
    """Taken up from an earlier controller, and not yet compared with the router."""
    routed: frozenset[str] = frozenset()
    """Replicas that the router has; only these count as ready."""
    _down: frozenset[str] = frozenset()
    """Replicas that the router takes for dead."""
    resting: bool = False
    """It needs no turn until something else is seen of a replica, or it is kicked."""
    _trouble: str = ""
    """What went wrong in the last turn; logged once."""
    _kicked: asyncio.Event = field(default_factory=asyncio.Event)
    _last_seen: FleetStatus | None = None
    _was_ready: bool = False
    """A replica of it was ready since this controller follows it."""
    _in_router: bool = False
    """The router knows the fleet, with or without a replica."""
    _on_demand: ServerlessState = field(default_factory=ServerlessState)
    """Used where the fleet is serverless."""

    def __post_init__(self) -> None:
        self._files = FleetFiles(self.context.folders, self.id)
        self.part = part_of(self.id)

    @property
    def id(self) -> FleetId:
        return self.desired.spec.id

    def set_desired(self, desired: DesiredFleet) -> None:
        """Take a newer desired state, on disk first. An equal one changes nothing."""
        if desired != self.desired or not self.context.folders.desired_file(self.id).exists():
            save_desired(self.context.folders, desired)
            self._backend_stale |= desired.spec.variant.serverless != self.bounds
            self.desired = desired
        self.kick()

    def kick(self) -> None:
        self.resting = False
        self._kicked.set()

    def glance(self, now: float) -> None:
        mine = self.replicas.values()
        seen = [replica.glance(now, self.context.patience) for replica in mine]
        if not (all(seen) and self._files.are_there(mine, now)):
            self.kick()

    def wake(self, asked: float) -> None:
        """A request has waited for a replica since then (epoch seconds). One that was served meanwhile is ignored."""
        if self.bounds is not None and not self.running:
            self._on_demand.wake(asked, time.time(), self._now())
            self.kick()

    @property
    def bounds(self) -> Serverless | None:
        return self.desired.spec.variant.serverless

    @property
    def running(self) -> int:
        """Replicas that take requests."""
        return sum(self._serves(replica) for replica in self.replicas.values())

    def set_down(self, down: frozenset[str], lost: bool = False) -> None:
        """The router marks these replicas as down; ``lost``: it does not know all that it was given."""
        if lost:
            self._backend_stale = True
            self.kick()
        if (down := down & self.routed) != self._down:
            self._down = down
            self.context.changed(self.id.endpoint)

    def _serves(self, replica: Replica) -> bool:
        ready = replica.state is ReplicaState.READY and replica.id in self.routed
        return ready and replica.id not in self._down and replica.health.takes_requests

    def _with_state(self, *states: ReplicaState) -> list[Replica]:
        return [replica for replica in self.replicas.values() if replica.state in states]

    def seen(self) -> FleetStatus:
        ready, spec = self.running, self.desired.spec
        if self.bounds is not None and not self.desired.deleted:
            return self._on_demand.seen(spec, self.bounds, self._in_router, ready, self.failures.reason)
        shown = self.replicas.values(), self.routed, ready, self.failures.reason, self._was_ready
        return describe_fleet(self.desired, *shown)

    def adopt(self) -> None:
        """Find the processes that an earlier controller started. Those that are gone are replaced later."""
        self.adopting = self.context.folders.replicas(self.id).is_dir()
        for replica in replica_processes.adopt(self.context, self.desired.spec, self._now()):
            self._follow(replica)
            if not replica_processes.fits(self.context, self.desired.spec, replica):
                log.warning("fleet %s: replica %s has other keys or devices; replacing it", self.id, replica.id)
                self._retire(replica)
        self._on_demand.adopt(self.context.folders.fleet(self.id), len(self.replicas), self._now())

    async def run(self) -> None:
        """Run turns until the fleet is deleted and gone."""
        try:
            while not await self._safe_turn():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._kicked.wait()
                self._kicked.clear()
        finally:
            self.context.measured.discard(self.id)
            for replica in self.replicas.values():
                replica.detach()
            self.context.starts.forget(self.id, self._now())

    def _pause(self) -> float:
        if self.resting:
            return rest_watch.REST_TURN
        if self._trouble:
            return rest_watch.TROUBLE_TURN
        if self._backend_stale or any(m.state is not ReplicaState.READY for m in self.replicas.values()):
            return rest_watch.BUSY_TURN
        if not all(m.health.takes_requests for m in self.replicas.values()):
            return rest_watch.UNWELL_TURN
        return rest_watch.measured_turn(len(self.context.measured)) if self._measured else rest_watch.IDLE_TURN

    @property
    def _measured(self) -> bool:
        return self.bounds is not None and bool(self.replicas)

    def _rests(self) -> bool:
        if self._trouble or self._backend_stale or self.adopting or self.desired.deleted:
            return False
        if self._measured or self._on_demand.waking is not None or len(self.replicas) != self._target_count:
            return False
        return all(one.rests and one.id in self.routed for one in self.replicas.values())

    async def _safe_turn(self) -> bool:
        done, trouble, self.resting = False, "", False
        try:
            done = await self._turn()
        except (TidegateError, OSError) as error:
            trouble = str(error)
        except Exception as error:
            trouble = f"{type(error).__name__}: {error}"
            if trouble != self._trouble:
                log.exception("fleet %s: a turn failed; trying again", self.id)
                self._trouble = trouble
        if trouble and trouble != self._trouble:
            log.warning("fleet %s: %s", self.id, trouble)
        self._trouble = trouble
        self._was_ready = self._was_ready or self.running > 0
        seen = self.seen()
        if seen != self._last_seen or done:
            self._last_seen = seen
            self.context.changed(self.id.endpoint)
        self.resting = not done and not self._kicked.is_set() and self._rests()
        return done

    async def _turn(self) -> bool:
        self._reap()
        (self.context.measured.add if self._measured else self.context.measured.discard)(self.id)
        self._restore_files()
        await self._mark_ready()
        self._check_health()
        if self.bounds is not None:
            running = (bool(self.replicas) or self.desired.deleted) and self._in_router
            await self._on_demand.measure(
                self.desired.spec, self.bounds, self.context.router, running, self._now()
            )
        self._resize()
        await self._update_router()
        await self._drain()
        if self.desired.deleted and not self.replicas and not self._target_count:
            if self.desired.spec.detached is None:
                await self.context.router.drop_fleet(self.id)
            await asyncio.to_thread(self.context.folders.discard, self.id)
            return True
        return False

    def _reap(self) -> None:
        """Drop dead replicas. A death while starting, or soon after, counts as a failure of the fleet."""
        for replica in [m for m in self.replicas.values() if not m.process.alive]:
            replica.detach()
            del self.replicas[replica.id]
            self.context.starts.end(replica.id, self._now())
            self._backend_stale = True
            if replica.state is ReplicaState.STARTING and not self.desired.deleted:
                self._count_failure(replica.id, *replica.cause_of_death("before its first good ping"))
            elif replica.state is ReplicaState.READY and not replica.has_settled(self._now()):
                cause, _ = replica.cause_of_death("soon after its first good ping")
                self._count_failure(replica.id, cause, longest=EARLY_BACKOFF)
            elif replica.state is ReplicaState.READY:
                cause, _ = replica.cause_of_death("while it served")
                log.warning("fleet %s: replica %s died (%s); replacing it", self.id, replica.id, cause)
            replica.process.sweep()
            replica_processes.clear(self.context, self.desired.spec, replica.id, replica.socket)

    def _restore_files(self) -> None:
        if self.desired.deleted:
            return
        alive = self._with_state(ReplicaState.STARTING, ReplicaState.READY)
        for replica in self._files.restore(self.desired, alive, self._now()):
            if replica.state is ReplicaState.STARTING:
                self._give_up(replica, "its folder was removed")
            elif not replica.leaving:
                replica.leaving = True  # it serves until another has taken its place

    async def _mark_ready(self) -> None:
        """Mark starting replicas that answer their ping as ready. End those that take too long; their fleet has
        failed, since others would take as long."""
        starting = self._with_state(ReplicaState.STARTING)
        answers = await asyncio.gather(*(worker_client.ready(m.socket) for m in starting))
        for replica, is_ready in zip(starting, answers, strict=True):
            if is_ready:
                self._on_demand.mark_proven(self.context.folders.fleet(self.id), self._now())
                replica.state, replica.since, replica.asked = ReplicaState.READY, self._now(), self._now()
                replica.health = Health()
                self.failures.started()
                self._backend_stale = True
                replica.mark(files.SERVED)
                self.context.starts.end(replica.id, self._now())
            elif late := replica.find_lateness(self._now(), self.desired.spec.variant):
                self._give_up(replica, late, conclusive=True)
            elif self.context.starts.holds(replica.id) and replica.is_calm(self._now()):
                self.context.starts.end(replica.id, self._now())

    def _check_health(self) -> None:
        """Replace a replica that hangs; count one that has lived long enough as a good start."""
        for replica in self._with_state(ReplicaState.STARTING, ReplicaState.READY):
            replica.look(self._now(), self.context.patience)
            failing = replica.health.failing(self.context.patience)
            if replica.state is ReplicaState.STARTING:
                if failing is not None:
                    self._give_up(replica, failing.reason)
                continue
            if not replica.settled and replica.has_settled(self._now()):
                replica.settled = True
                self.failures.settled()
            if failing is not None:
                log.warning("fleet %s: replica %s: %s; replacing it", self.id, replica.id, failing.reason)
                self._count_early(replica, failing.reason)
                replica.hopeless = failing.hopeless
                self._retire(replica)
            elif why := replica.check_outgrown():
                log.warning("fleet %s: replica %s is to be replaced: %s", self.id, replica.id, why)
                self._count_early(replica, why)

    def _count_early(self, replica: Replica, why: str) -> None:
        if not replica.has_settled(self._now()):
            self._count_failure(replica.id, why, longest=EARLY_BACKOFF)

    def _give_up(self, replica: Replica, why: str, conclusive: bool = False) -> None:
        """End a replica that is starting."""
        self._count_failure(replica.id, why, conclusive)
        replica.state = ReplicaState.GONE
        replica.process.kill()

    @property
    def _target_count(self) -> int:
        """How many replicas there should be."""
        spec = self.desired.spec
        if self.desired.deleted:
            patience = self.context.drain_timeout if self.bounds is not None and not self.failures.reason else 0.0
            return self._on_demand.drain_replicas(self._now(), patience)
        return spec.count if self.bounds is None else self._on_demand.wanted(spec)

    def _resize(self) -> None:
        wanted = self._target_count
        active = self._with_state(ReplicaState.STARTING, ReplicaState.READY)
        leaving, active = [m for m in active if m.leaving], [m for m in active if not m.leaving]
        if sum(self._serves(m) for m in active) >= wanted:
            for replica in leaving:
                self._retire(replica)
        self._start_more(wanted - len(active))
        # The youngest go first, those not yet ready before those that serve.
        active.sort(key=lambda m: (m.state is ReplicaState.READY, -m.process.identity.order))
        for replica in active[: max(0, len(active) - wanted)]:
            self._retire(replica)

    def _start_more(self, count: int) -> None:
        """Start as many as the start queue admits now, until one fails."""
        starts, now = self.context.starts, self._now()
        for _ in range(count):
            if now < self.failures.not_before or self.context.devices.must_wait(self.desired.spec, self.kick):
                break
            if not starts.admits(self.id, self._urgency(), self.kick, now):
                return  # it waits, and is kicked
            self._start()
        starts.forget(self.id, now)

    def _urgency(self) -> Urgency:
        return urgency(
            routed=self.context.router.is_routed(self.id),
            waits=self._on_demand.waking is not None,
            running=self.running > 0,
            on_demand=self.bounds is not None,
            proven=self._on_demand.proven,
            job=self.desired.spec.detached is not None,
            failed=self.failures.count > 0,
        )

    async def _update_router(self) -> None:
        if not self._backend_stale:
            return
        ready = sorted(self._with_state(ReplicaState.READY), key=lambda m: m.id)
        servers = {replica.id: replica.socket for replica in ready}
        if self.desired.spec.detached is None:
            variant = self.desired.spec.variant
            limits = on_demand.limits(self.bounds, servers)
            if variant.effective_routing not in (RoutingStrategy.QUEUED, RoutingStrategy.ON_DEMAND):
                limits = dict.fromkeys(servers, variant.admission.max_in_flight)
            await self.context.router.set_fleet(
                self.id, variant.effective_routing, servers, limits, variant.admission
            )
        self._backend_stale, self.routed, self.adopting = False, frozenset(servers), False
        self._in_router = True
        if servers:
            self._on_demand.clear_wake()

    async def _drain(self) -> None:
        if draining := self._with_state(ReplicaState.DRAINING):
            routed = self.desired.spec.detached is None
            in_flight = await self.context.router.in_flight(self.id) if routed else {}
            enough = self.running >= self._target_count
            for replica in draining:
                replica_processes.drain(
                    replica, in_flight.get(replica.id, 0), enough, self.context.drain_timeout, self._now()
                )

    def _start(self) -> None:
        id = self.context.new_id("r")
        try:
            replica = replica_processes.start(
                self.context, self.desired.spec, id, self._on_demand.waking, self._now()
            )
        except TidegateError as error:
            self._count_failure(id, str(error), conclusive=True)
        except OSError as error:
            folder = self.context.folders.replica(self.id, id)
            self._count_failure(id, f"it cannot be started: {error.strerror or error} ({folder})")
        else:
            self._follow(replica)
            self.context.starts.begin(self.id, id, self._now())

    def _follow(self, replica: Replica) -> None:
        self.replicas[replica.id] = replica
        replica.watch(self.kick)

    def _retire(self, replica: Replica) -> None:
        """Marked on disk before the router and the worker know: a later controller must not send requests to a worker
        that was told to stop."""
        replica.state, replica.since = ReplicaState.DRAINING, self._now()
        replica.stop_asking()
        replica.mark(files.RETIRED)
        self._backend_stale = True

    def _count_failure(
        self, replica: str, message: str, conclusive: bool = False, longest: float = LONGEST_BACKOFF
    ) -> None:
        self.failures.add(message, self._now(), conclusive=conclusive, has_served=self._was_ready, longest=longest)
        where = self.context.folders.log(self.id, replica)
        log.warning("fleet %s: replica %s failed: %s (log: %s)", self.id, replica, message, where)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
