"""The supervisor of one fleet: makes the processes that run equal to the wish, and says what it sees.

One turn looks at every replica, then does the next small thing for each; it runs again when a process ends, when
the wish changes and a few times a second while something is under way. A replica gets requests only once it has
answered its ping, and is told to stop only once the router has nothing left in its hands (or the drain timeout
has passed).
"""

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tidegate.model.errors import TidegateError
from tidegate.model.fleet import FleetId, FleetSpec, ReplicaState
from tidegate.model.observe import FleetSeen
from tidegate.ports.router import Router
from tidegate.targets.local import ping
from tidegate.targets.local.folders import Folders, write_whole
from tidegate.targets.local.process import Process

log = logging.getLogger(__name__)

START_FAILURES = 3
"""Failed starts in a row after which the fleet is reported as failing (it goes on trying, slower)."""
BUSY_TURN = 0.05
"""Seconds between turns while replicas start or drain: bounds how late a ready replica is noticed."""
IDLE_TURN = 1.0
LONGEST_BACKOFF = 30.0
_READY = "ready"
"""Marker file in a replica's folder: it has taken requests."""
KILL_GRACE = 5.0
"""Seconds past the drain timeout before a worker that was told to stop is killed."""


@dataclass(frozen=True)
class Wish:
    """What lies on disk for a fleet; read again by a restarted controller."""

    spec: FleetSpec
    fence: int
    deleted: bool = False


@dataclass
class Member:
    """One replica as this controller follows it. Times are the event loop's, seconds."""

    id: str
    process: Process
    state: ReplicaState
    since: float
    terminated: float | None = None
    watch: int | None = None


@dataclass(frozen=True)
class Surroundings:
    """What every supervisor of a machine shares."""

    folders: Folders
    router: Router
    environment: dict[str, str]
    describe: Callable[[FleetSpec, str], bytes]
    """The worker's own start file for one replica of a fleet."""
    new_id: Callable[[str], str]
    changed: Callable[[str], None]
    """Called with the endpoint's name when what ``seen`` says has changed."""
    harvest: Callable[[FleetSpec, str, bytes], None]
    """Takes the last counts that a replica left when it went."""
    drain_timeout: float


@dataclass
class Fleet:
    wish: Wish
    around: Surroundings
    members: dict[str, Member] = field(default_factory=dict)
    failures: int = 0
    failure: str | None = None
    _not_before: float = 0.0
    _backend_stale: bool = True
    _routed: frozenset[str] = frozenset()
    """Replicas that the router has; only these count as ready."""
    _kicked: asyncio.Event = field(default_factory=asyncio.Event)
    _last_seen: FleetSeen | None = None

    @property
    def id(self) -> FleetId:
        return self.wish.spec.id

    # -- what others ask -------------------------------------------------------------------------------------

    def want(self, wish: Wish) -> None:
        """Takes a newer wish, on disk first. An equal one changes nothing."""
        if wish != self.wish or not self.around.folders.wish(self.id).exists():
            write_whole(self.around.folders.wish(self.id), msgspec.json.encode(wish))
            self.wish = wish
        self.kick()

    def kick(self) -> None:
        self._kicked.set()

    def seen(self) -> FleetSeen:
        count = {state: sum(m.state is state for m in self.members.values()) for state in ReplicaState}
        routed = sum(m.state is ReplicaState.READY and m.id in self._routed for m in self.members.values())
        return FleetSeen(
            id=self.id,
            desired=0 if self.wish.deleted else self.wish.spec.count,
            ready=routed,
            starting=count[ReplicaState.STARTING] + count[ReplicaState.READY] - routed,
            draining=count[ReplicaState.DRAINING],
            failure=self.failure,
        )

    def adopt(self) -> None:
        """Finds the processes that an earlier controller started; those that are gone are replaced later. One
        that served goes on serving without having to prove itself again: it may be busy with a request."""
        folder = self.around.folders.fleet(self.id) / "replicas"
        for replica in sorted(folder.iterdir()) if folder.is_dir() else []:
            process = Process.adopt(replica)
            if process is not None and process.alive:
                served = (replica / _READY).exists()
                state = ReplicaState.READY if served else ReplicaState.STARTING
                self._follow(Member(replica.name, process, state, self._now()))
            else:
                shutil.rmtree(replica, ignore_errors=True)

    # -- the loop --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Turns until the fleet is deleted and gone."""
        while not await self._safe_turn():
            busy = any(m.state is not ReplicaState.READY for m in self.members.values())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BUSY_TURN if busy or self._backend_stale else IDLE_TURN):
                    await self._kicked.wait()
            self._kicked.clear()

    async def _safe_turn(self) -> bool:
        try:
            done = await self._turn()
        except (TidegateError, OSError) as error:
            log.warning("fleet %s: %s", self.id, error)
            done = False
        seen = self.seen()
        if seen != self._last_seen or done:
            self._last_seen = seen
            self.around.changed(self.id.endpoint)
        return done

    async def _turn(self) -> bool:
        self._bury()
        await self._welcome()
        self._resize()
        await self._tell_router()
        await self._drain()
        if self.wish.deleted and not self.members:
            await self.around.router.drop_fleet(self.id)
            shutil.rmtree(self.around.folders.fleet(self.id), ignore_errors=True)
            return True
        return False

    def _bury(self) -> None:
        """Drops the dead; a death while starting counts against the fleet."""
        for member in [m for m in self.members.values() if not m.process.alive]:
            self._unfollow(member)
            self._backend_stale = True
            if member.state is ReplicaState.STARTING and not self.wish.deleted:
                self._count_failure(member, self._cause_of_death(member))
            elif member.state is ReplicaState.READY:
                log.warning("fleet %s: replica %s died (%s); replacing it", self.id, member.id, _exit(member))
            folder = self.around.folders.replica(self.id, member.id)
            with contextlib.suppress(OSError):
                self.around.harvest(self.wish.spec, member.id, (folder / "stats.json").read_bytes())
            self.around.folders.socket(member.id).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)

    async def _welcome(self) -> None:
        """Starting replicas that answer their ping become ready; those that take too long are ended."""
        starting = [m for m in self.members.values() if m.state is ReplicaState.STARTING]
        sockets = [self.around.folders.socket(m.id) for m in starting]
        answers = await asyncio.gather(*(ping.ready(s) for s in sockets))
        limit = self.wish.spec.variant.startup_timeout + self.wish.spec.variant.download_timeout
        for member, is_ready in zip(starting, answers, strict=True):
            if is_ready:
                member.state, member.since = ReplicaState.READY, self._now()
                (self.around.folders.replica(self.id, member.id) / _READY).touch()
                self.failures, self.failure, self._not_before = 0, None, 0.0
                self._backend_stale = True
            elif self._now() - member.since > limit:
                self._count_failure(member, f"no answer to /ping within {limit:g} seconds")
                member.state = ReplicaState.GONE
                member.process.kill()

    def _resize(self) -> None:
        wanted = 0 if self.wish.deleted else self.wish.spec.count
        active = [m for m in self.members.values() if m.state in (ReplicaState.STARTING, ReplicaState.READY)]
        if len(active) < wanted and self._now() >= self._not_before:
            for _ in range(wanted - len(active)):
                self._start()
        # The youngest go first, those not yet ready before those that serve.
        spare = sorted(active, key=lambda m: (m.state is ReplicaState.READY, -m.since))[: len(active) - wanted]
        for member in spare if len(active) > wanted else []:
            member.state, member.since = ReplicaState.DRAINING, self._now()
            self._backend_stale = True

    async def _tell_router(self) -> None:
        if not self._backend_stale:
            return
        ready = sorted(m.id for m in self.members.values() if m.state is ReplicaState.READY)
        servers = {replica: self.around.folders.socket(replica) for replica in ready}
        await self.around.router.set_fleet(self.id, self.wish.spec.variant.routing, servers)
        self._backend_stale, self._routed = False, frozenset(ready)

    async def _drain(self) -> None:
        draining = [m for m in self.members.values() if m.state is ReplicaState.DRAINING]
        if not draining:
            return
        in_flight = await self.around.router.in_flight(self.id)
        for member in draining:
            waited = self._now() - member.since
            if member.terminated is None:
                if in_flight.get(member.id, 0) == 0 or waited > self.around.drain_timeout:
                    member.process.terminate()
                    member.terminated = self._now()
            elif self._now() - member.terminated > self.around.drain_timeout + KILL_GRACE:
                log.warning("fleet %s: replica %s did not stop when asked; killing it", self.id, member.id)
                member.process.kill()

    # -- small things ----------------------------------------------------------------------------------------

    def _start(self) -> None:
        replica = self.around.new_id("r")
        spec = self.around.folders.replica(self.id, replica) / "replica.json"
        try:
            write_whole(spec, self.around.describe(self.wish.spec, replica))
        except TidegateError as error:
            self.failure, self._not_before = str(error), self._now() + LONGEST_BACKOFF
            return
        process = Process.start(spec, self.around.folders.log(self.id, replica), self.around.environment)
        self._follow(Member(replica, process, ReplicaState.STARTING, self._now()))

    def _follow(self, member: Member) -> None:
        self.members[member.id] = member
        member.watch = member.process.watch()
        if member.watch is not None:
            asyncio.get_running_loop().add_reader(member.watch, self._ended, member)

    def _ended(self, member: Member) -> None:
        self._unwatch(member)
        self.kick()

    def _unfollow(self, member: Member) -> None:
        self._unwatch(member)
        del self.members[member.id]

    def _unwatch(self, member: Member) -> None:
        if member.watch is not None:
            asyncio.get_running_loop().remove_reader(member.watch)
            with contextlib.suppress(OSError):
                os.close(member.watch)
            member.watch = None

    def _count_failure(self, member: Member, cause: tuple[str, bool] | str) -> None:
        message, permanent = (cause, False) if isinstance(cause, str) else cause
        self.failures += 1
        self._not_before = self._now() + min(LONGEST_BACKOFF, 0.5 * 2 ** (self.failures - 1))
        where = self.around.folders.log(self.id, member.id)
        log.warning("fleet %s: replica %s did not start: %s (log: %s)", self.id, member.id, message, where)
        if permanent:
            self._not_before = self._now() + LONGEST_BACKOFF
        if permanent or self.failures >= START_FAILURES:
            self.failure = message

    def _cause_of_death(self, member: Member) -> tuple[str, bool]:
        """What the worker left behind says, else its exit code and the end of its log."""
        path = self.around.folders.replica(self.id, member.id) / "failure.json"
        with contextlib.suppress(OSError, msgspec.DecodeError):
            left = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
            return str(left.get("message", "")), bool(left.get("permanent"))
        last = _last_line(self.around.folders.log(self.id, member.id))
        return f"the process ended with {_exit(member)} before its first good ping{last}", False

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _exit(member: Member) -> str:
    code = member.process.exit_code
    if code is None:
        return "an unknown exit code"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last_line(path: Path) -> str:
    try:
        lines = [line for line in path.read_text(errors="replace")[-4000:].splitlines() if line.strip()]
    except OSError:
        return ""
    return f"; its last words: {lines[-1].strip()[:300]}" if lines else ""
