"""The supervisor of one fleet: makes the processes that run equal to the wish, and says what it sees.

One turn looks at every replica, then does the next small thing for each; it runs again when a process ends, when
the wish changes and a few times a second while something is under way. A replica gets requests only once it has
answered its ping, and is told to stop only once the router has nothing left in its hands (or the drain timeout
has passed).
"""

import asyncio
import contextlib
import logging
import math
import time
from dataclasses import dataclass, field

from tidegate.domain.errors import TidegateError
from tidegate.domain.fleet import FleetId, ReplicaState, RoutingStrategy, Serverless
from tidegate.domain.observation import FleetStatus
from tidegate.targets.local import on_demand, replica_processes, worker_client
from tidegate.targets.local import replica as files
from tidegate.targets.local.health import Health
from tidegate.targets.local.on_demand import OnDemand
from tidegate.targets.local.poll_interval import BUSY_TURN, IDLE_TURN, TROUBLE_TURN, UNWELL_TURN, measured_turn
from tidegate.targets.local.replica import Member
from tidegate.targets.local.start_failures import EARLY_BACKOFF, LONGEST_BACKOFF, Failures
from tidegate.targets.local.start_queue import Urgency, urgency
from tidegate.targets.local.supervision import Surroundings, Wish, keep

log = logging.getLogger(__name__)


@dataclass
class Fleet:
    wish: Wish
    around: Surroundings
    members: dict[str, Member] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    _files_looked_at: float = -math.inf
    _backend_stale: bool = True
    adopting: bool = False
    """Taken up from an earlier controller, and not yet compared with the router."""
    routed: frozenset[str] = frozenset()
    """Replicas that the router has; only these count as ready."""
    _down: frozenset[str] = frozenset()
    """Replicas that the router takes for dead."""
    _trouble: str = ""
    """What went wrong in the last turn; told once."""
    _kicked: asyncio.Event = field(default_factory=asyncio.Event)
    _last_seen: FleetStatus | None = None
    _was_ready: bool = False
    """A replica of it was ready since this controller follows it."""
    _in_router: bool = False
    """The router has been told of it, be it without a replica."""
    _on_demand: OnDemand = field(default_factory=OnDemand)
    """Used where the fleet is serverless."""

    @property
    def id(self) -> FleetId:
        return self.wish.spec.id

    # -- what others ask -------------------------------------------------------------------------------------

    def want(self, wish: Wish) -> None:
        """Takes a newer wish, on disk first. An equal one changes nothing."""
        if wish != self.wish or not self.around.folders.wish(self.id).exists():
            keep(self.around.folders, wish)
            self._backend_stale |= wish.spec.variant.serverless != self._bounds
            self.wish = wish
        self.kick()

    def kick(self) -> None:
        self._kicked.set()

    def wake(self, asked: float) -> None:
        """A request waits for a replica, since then (epoch seconds). Late calls of those that were let in count for
        nothing."""
        if self._bounds is not None and not self.running:
            self._on_demand.wake(asked, time.time(), self._now())
            self.kick()

    @property
    def _bounds(self) -> Serverless | None:
        return self.wish.spec.variant.serverless

    @property
    def running(self) -> int:
        """Replicas that take requests."""
        return sum(self._serves(member) for member in self.members.values())

    def hear(self, down: frozenset[str], lost: bool = False) -> None:
        """The router takes these replicas for dead; ``lost``: it does not know all that it was given."""
        if lost:
            self._backend_stale = True
            self.kick()
        if (down := down & self.routed) != self._down:
            self._down = down
            self.around.changed(self.id.endpoint)

    def _serves(self, member: Member) -> bool:
        ready = member.state is ReplicaState.READY and member.id in self.routed
        return ready and member.id not in self._down and member.health.takes_requests

    def _in(self, *states: ReplicaState) -> list[Member]:
        return [member for member in self.members.values() if member.state in states]

    def seen(self) -> FleetStatus:
        count = {state: sum(m.state is state for m in self.members.values()) for state in ReplicaState}
        ready, spec = self.running, self.wish.spec
        if self._bounds is not None and not self.wish.deleted:
            return self._on_demand.seen(spec, self._bounds, self._in_router, ready, self.failures.reason)
        coming = [m for m in self._in(ReplicaState.READY) if m.id not in self.routed]
        return FleetStatus(
            id=self.id,
            desired=0 if self.wish.deleted else spec.count,
            ready=ready,
            starting=count[ReplicaState.STARTING] + len(coming),
            draining=count[ReplicaState.DRAINING],
            failure=self.failures.reason,
            mirror=None if self.wish.deleted else spec.mirror,
            was_ready=self._was_ready,
        )

    def adopt(self) -> None:
        """Finds the processes that an earlier controller started; those that are gone are replaced later."""
        within = self.around.folders.fleet(self.id) / "replicas"
        self.adopting = within.is_dir()
        for folder in sorted(within.iterdir()) if within.is_dir() else []:
            member = Member.adopt(self.id, folder, self.around.folders, self._now())
            if member is None:
                socket = files.written_socket(folder) or self.around.folders.socket(folder.name)
                replica_processes.clear(self.around, self.wish.spec, folder.name, socket)
                continue
            self._follow(member)
            if not replica_processes.fits(self.around, self.wish.spec, member):
                log.warning("fleet %s: replica %s has other access keys; replacing it", self.id, member.id)
                self._retire(member)
        self._on_demand.adopt(self.around.folders.fleet(self.id), len(self.members), self._now())

    # -- the loop --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Turns until the fleet is deleted and gone."""
        try:
            while not await self._safe_turn():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._kicked.wait()
                self._kicked.clear()
        finally:
            self.around.measured.discard(self.id)
            for member in self.members.values():
                member.let_go()
            self.around.starts.forget(self.id, self._now())

    def _pause(self) -> float:
        if self._trouble:
            return TROUBLE_TURN
        if self._backend_stale or any(m.state is not ReplicaState.READY for m in self.members.values()):
            return BUSY_TURN
        if not all(m.health.takes_requests for m in self.members.values()):
            return UNWELL_TURN
        return measured_turn(len(self.around.measured)) if self._measured else IDLE_TURN

    @property
    def _measured(self) -> bool:
        return self._bounds is not None and bool(self.members)

    async def _safe_turn(self) -> bool:
        done, trouble = False, ""
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
            self.around.changed(self.id.endpoint)
        return done

    async def _turn(self) -> bool:
        self._bury()
        if self._measured:
            self.around.measured.add(self.id)
        else:
            self.around.measured.discard(self.id)
        self._look_for_files()
        await self._welcome()
        self._check()
        if self._bounds is not None:
            running = (bool(self.members) or self.wish.deleted) and self._in_router
            await self._on_demand.measure(self.wish.spec, self._bounds, self.around.router, running, self._now())
        self._resize()
        await self._tell_router()
        await self._drain()
        if self.wish.deleted and not self.members and not self._wanted:
            if self.wish.spec.detached is None:
                await self.around.router.drop_fleet(self.id)
            await asyncio.to_thread(self.around.folders.discard, self.id)
            return True
        return False

    def _bury(self) -> None:
        """Drops the dead; a death while starting, or right after, counts against the fleet."""
        for member in [m for m in self.members.values() if not m.process.alive]:
            member.let_go()
            del self.members[member.id]
            self.around.starts.end(member.id, self._now())
            self._backend_stale = True
            if member.state is ReplicaState.STARTING and not self.wish.deleted:
                self._count_failure(member.id, *member.cause_of_death("before its first good ping"))
            elif member.state is ReplicaState.READY and not member.has_settled(self._now()):
                cause, _ = member.cause_of_death("soon after its first good ping")
                self._count_failure(member.id, cause, longest=EARLY_BACKOFF)
            elif member.state is ReplicaState.READY:
                cause, _ = member.cause_of_death("while it served")
                log.warning("fleet %s: replica %s died (%s); replacing it", self.id, member.id, cause)
            member.process.sweep()
            replica_processes.clear(self.around, self.wish.spec, member.id, member.socket)

    def _look_for_files(self) -> None:
        """What somebody removed by hand is made anew: the fleet's record, and replicas that could not be found again
        by a later controller."""
        if self._now() - self._files_looked_at < IDLE_TURN or self.wish.deleted:
            return
        self._files_looked_at = self._now()
        if not self.around.folders.wish(self.id).exists():
            log.warning("fleet %s: its folder was removed; making it anew", self.id)
            keep(self.around.folders, self.wish)
        for member in self._in(ReplicaState.STARTING, ReplicaState.READY):
            if (member.folder / files.START).exists():
                continue
            log.warning("fleet %s: the folder of replica %s was removed; replacing it", self.id, member.id)
            if member.state is ReplicaState.STARTING:
                self._give_up(member, "its folder was removed")
            elif not member.leaving:
                member.leaving = True  # it serves until another has taken its place

    async def _welcome(self) -> None:
        """Starting replicas that answer their ping become ready; those that take too long are ended, and their fleet
        has failed: others would take as long."""
        starting = self._in(ReplicaState.STARTING)
        answers = await asyncio.gather(*(worker_client.ready(m.socket) for m in starting))
        for member, is_ready in zip(starting, answers, strict=True):
            if is_ready:
                self._on_demand.prove(self.around.folders.fleet(self.id), self._now())
                member.state, member.since, member.asked = ReplicaState.READY, self._now(), self._now()
                member.health = Health()
                self.failures.started()
                self._backend_stale = True
                member.mark(files.SERVED)
                self.around.starts.end(member.id, self._now())
            elif late := member.late(self._now(), self.wish.spec.variant):
                self._give_up(member, late, conclusive=True)
            elif self.around.starts.holds(member.id) and member.calm(self._now()):
                self.around.starts.end(member.id, self._now())

    def _check(self) -> None:
        """A replica that lives on is a good start; one that hangs goes, and another takes its place."""
        for member in self._in(ReplicaState.STARTING, ReplicaState.READY):
            member.look(self._now(), self.around.patience)
            failing = member.health.failing(self.around.patience)
            if member.state is ReplicaState.STARTING:
                if failing is not None:
                    self._give_up(member, failing.reason)
                continue
            if not member.settled and member.has_settled(self._now()):
                member.settled = True
                self.failures.settled()
            if failing is not None:
                log.warning("fleet %s: replica %s: %s; replacing it", self.id, member.id, failing.reason)
                self._count_early(member, failing.reason)
                member.hopeless = failing.hopeless
                self._retire(member)
            elif why := member.outgrows():
                log.warning("fleet %s: replica %s is to be replaced: %s", self.id, member.id, why)
                self._count_early(member, why)

    def _count_early(self, member: Member, why: str) -> None:
        if not member.has_settled(self._now()):
            self._count_failure(member.id, why, longest=EARLY_BACKOFF)

    def _give_up(self, member: Member, why: str, conclusive: bool = False) -> None:
        """On one that starts."""
        self._count_failure(member.id, why, conclusive)
        member.state = ReplicaState.GONE
        member.process.kill()

    @property
    def _wanted(self) -> int:
        """Replicas."""
        spec = self.wish.spec
        if self.wish.deleted:
            patience = self.around.drain_timeout if self._bounds is not None and not self.failures.reason else 0.0
            return self._on_demand.owed(self._now(), patience)
        return spec.count if self._bounds is None else self._on_demand.wanted(spec)

    def _resize(self) -> None:
        wanted = self._wanted
        active = self._in(ReplicaState.STARTING, ReplicaState.READY)
        leaving, active = [m for m in active if m.leaving], [m for m in active if not m.leaving]
        if sum(self._serves(m) for m in active) >= wanted:
            for member in leaving:
                self._retire(member)
        self._start_more(wanted - len(active))
        # The youngest go first, those not yet ready before those that serve.
        active.sort(key=lambda m: (m.state is ReplicaState.READY, -m.process.identity.order))
        for member in active[: max(0, len(active) - wanted)]:
            self._retire(member)

    def _start_more(self, count: int) -> None:
        """As many as the queue of starts lets in now, until one fails."""
        starts, now = self.around.starts, self._now()
        for _ in range(count):
            if now < self.failures.not_before:
                break
            if not starts.admits(self.id, self._urgency(), self.kick, now):
                return  # it waits, and is kicked
            self._start()
        starts.forget(self.id, now)

    def _urgency(self) -> Urgency:
        return urgency(
            routed=self.id in self.around.router.routed(),
            waits=self._on_demand.waking is not None,
            running=self.running > 0,
            on_demand=self._bounds is not None,
            proven=self._on_demand.proven,
            job=self.wish.spec.detached is not None,
            failed=self.failures.count > 0,
        )

    async def _tell_router(self) -> None:
        if not self._backend_stale:
            return
        ready = sorted(self._in(ReplicaState.READY), key=lambda m: m.id)
        servers = {member.id: member.socket for member in ready}
        if self.wish.spec.detached is None:
            variant = self.wish.spec.variant
            limits = on_demand.limits(self._bounds, servers)
            if variant.effective_routing not in (RoutingStrategy.QUEUED, RoutingStrategy.ON_DEMAND):
                limits = dict.fromkeys(servers, variant.admission.max_in_flight)
            await self.around.router.set_fleet(
                self.id, variant.effective_routing, servers, limits, variant.admission
            )
        self._backend_stale, self.routed, self.adopting = False, frozenset(servers), False
        self._in_router = True
        if servers:
            self._on_demand.served()

    async def _drain(self) -> None:
        if draining := self._in(ReplicaState.DRAINING):
            routed = self.wish.spec.detached is None
            in_flight = await self.around.router.in_flight(self.id) if routed else {}
            enough = self.running >= self._wanted
            for member in draining:
                replica_processes.drain(
                    member, in_flight.get(member.id, 0), enough, self.around.drain_timeout, self._now()
                )

    # -- small things ----------------------------------------------------------------------------------------

    def _start(self) -> None:
        replica = self.around.new_id("r")
        try:
            member = replica_processes.start(
                self.around, self.wish.spec, replica, self._on_demand.waking, self._now()
            )
        except TidegateError as error:
            self._count_failure(replica, str(error), conclusive=True)
        except OSError as error:
            folder = self.around.folders.replica(self.id, replica)
            self._count_failure(replica, f"it cannot be started: {error.strerror or error} ({folder})")
        else:
            self._follow(member)
            self.around.starts.begin(self.id, replica, self._now())

    def _follow(self, member: Member) -> None:
        self.members[member.id] = member
        member.watch(self.kick)

    def _retire(self, member: Member) -> None:
        """On disk before the router and the worker hear of it: a controller that comes after this one must not
        give requests to a worker that was told to stop."""
        member.state, member.since = ReplicaState.DRAINING, self._now()
        member.mark(files.RETIRED)
        self._backend_stale = True

    def _count_failure(
        self, replica: str, message: str, conclusive: bool = False, longest: float = LONGEST_BACKOFF
    ) -> None:
        self.failures.add(message, self._now(), conclusive=conclusive, longest=longest)
        where = self.around.folders.log(self.id, replica)
        log.warning("fleet %s: replica %s failed: %s (log: %s)", self.id, replica, message, where)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
