"""Work in the background that features add with ``loops`` in their manifests, and observers of rollouts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidegate.domain.errors import TidegateError
from tidegate.domain.feature import Loop
from tidegate.domain.observation import Observation
from tidegate.domain.targets import TargetTable
from tidegate.gateway.dependencies import Gateway
from tidegate.host.features import LoadedFeature, features
from tidegate.host.shared_parts import SharedParts
from tidegate.host.state_folder import StateFolder
from tidegate.ports.clock import Clock, Ids
from tidegate.ports.metrics import Metrics
from tidegate.ports.queue import Queue
from tidegate.ports.store import Kind, Store, Tx
from tidegate.ports.target import Provider
from tidegate.reconcile.guards import GuardedRollout
from tidegate.reconcile.reads import ReadCache
from tidegate.reconcile.rollout_observers import RolloutObservers
from tidegate.serving.contract.images import ImageTable
from tidegate.serving.contract.replica_spec import TracingSpec
from tidegate.settings import Settings

log = logging.getLogger(__name__)

OBSERVER = "rollout_observer"
"""The extension point of observers of rollouts."""


@dataclass(frozen=True)
class Services(SharedParts):
    """Services that background work may use. Nothing runs yet when they are made: callbacks are for later."""

    settings: Settings
    folder: StateFolder
    store: Store
    metrics: Metrics
    clock: Clock
    ids: Ids
    queue: Queue
    """The queue of asynchronous requests."""
    targets: TargetTable
    provider: Provider
    """Access to everything that the targets provide."""
    images: ImageTable
    queue_socket: Path
    """The proxy's, for requests from the queue."""
    kick: Callable[[str], None]
    """Wakes an endpoint's engine."""
    written: Callable[[], None]
    """To be called after each write of a record, to wake those who wait for news."""
    observed: Callable[[str], Observation | None]
    """Returns the last observation of an endpoint."""
    guarded: Callable[[], Iterable[GuardedRollout]]
    """Lists the rollouts under way."""
    stopping: asyncio.Event
    """Set when the controller stops."""

    def observe_now(self, endpoint: str) -> Observation | None:
        """The last observation of an endpoint, with the requests that the router holds for it now."""
        seen = self.observed(endpoint)
        return seen and self.provider.evidence.refresh(seen)


class Worker:
    """Work of one loop of a feature. Each method has a default: a feature overrides those that it needs.

    ``start``, then ``turn`` again and again, ``stop``, ``drain`` if the platform ends as well, and ``close``."""

    async def start(self) -> None:
        """Take up what an earlier controller left. Endpoints are followed already, and no request is answered yet.
        What it raises ends the controller."""

    async def turn(self) -> None:
        """Do what is due. What it raises is logged."""

    def wake(self, name: str) -> None:
        """There is news of something. ``name``: without the loop's prefix."""

    async def stop(self) -> None:
        """End; what outlives a controller goes on for the next one."""

    async def drain(self) -> None:
        """End what outlives a controller. The proxy and all instances still serve."""

    async def close(self) -> None:
        """End what the proxy and the instances used: they have ended, if they end with the controller."""

    def followed(self) -> frozenset[tuple[str, str]]:
        """Endpoints and variants whose load it follows: their idle seconds are measured, too."""
        return frozenset()

    def tracing(self) -> TracingSpec | None:
        """Return how instances on this machine trace predictions; None if this loop does not decide it."""
        return None

    def metric_lines(self) -> str:
        """Further lines of the Prometheus page."""
        return ""

    def extend(self, gateway: Gateway) -> Gateway:
        """The gateway with what it supplies to handlers of requests."""
        return gateway


class NamedTasks:
    """Tasks that a loop has begun, at most one of each name."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, name: str) -> bool:
        """Whether there is a task of this name that had not ended at the last ``forget_ended``."""
        return name in self._tasks

    def forget_ended(self) -> None:
        self._tasks = {name: task for name, task in self._tasks.items() if not task.done()}

    def begin(self, name: str, work: Coroutine[Any, Any, None], title: str) -> None:
        """Begin work in a task with a title, in place of an earlier one of this name."""
        self._tasks[name] = asyncio.create_task(work, name=title)

    async def cancel(self, name: str) -> None:
        """Cancel the task of this name, if there is one, and wait until it has ended."""
        if (task := self._tasks.pop(name, None)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def finish(self) -> None:
        """Wait until all tasks have ended. Raises what one of them raised."""
        await asyncio.gather(*self._tasks.values())

    async def stop(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


@dataclass(frozen=True)
class BackgroundLoop:
    """``loop.kind`` is loaded as ``kind``."""

    worker: Worker
    loop: Loop
    kind: Kind[Any] | None = None


@dataclass
class BackgroundWork:
    """The loops of all features. Most servers have no records of most kinds: loops that need some share one read."""

    loops: tuple[BackgroundLoop, ...]
    store: Store
    _present: ReadCache[frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        kinds = tuple(one.kind for one in self.loops if one.kind is not None and one.loop.seconds)
        self._present = ReadCache(lambda tx: _find_present(tx, kinds))

    @property
    def turns(self) -> tuple[tuple[float, Callable[[], Awaitable[None]]], ...]:
        """Seconds between two turns, and what one does, of loops that have no place in the second."""
        groups: dict[float, list[BackgroundLoop]] = {}
        alone = []
        for one in self.loops:
            if not one.loop.seconds or one.loop.offset is not None:
                continue
            if one.kind is None:
                alone.append((one.loop.seconds, one.worker.turn))
            else:
                groups.setdefault(one.loop.seconds, []).append(one)
        return (*alone, *((seconds, _Group(self, found).turn) for seconds, found in groups.items()))

    @property
    def each_second(self) -> tuple[tuple[Callable[[], Awaitable[None]], float], ...]:
        """Turns of the loops that have a place in the second, each with its offset into the second."""
        placed = ((one, one.loop.offset) for one in self.loops)
        return tuple((_Group(self, [one]).turn, offset) for one, offset in placed if offset is not None)

    async def is_present(self, kind: Kind[Any]) -> bool:
        """Return whether there is a record of this kind, or the records cannot be read: the loop then reports that
        itself."""
        try:
            return kind.name in await self._present.get(self.store)
        except TidegateError:
            return True

    def wake(self, owner: str, kick_endpoint: Callable[[str], None]) -> None:
        """Wake the loop to whose prefix a name belongs, or else the engine of the endpoint with this name."""
        for one in self.loops:
            if one.loop.prefix and owner.startswith(one.loop.prefix):
                return one.worker.wake(owner.removeprefix(one.loop.prefix))
        kick_endpoint(owner)

    def followed(self) -> frozenset[tuple[str, str]]:
        return frozenset[tuple[str, str]]().union(*(one.worker.followed() for one in self.loops))

    def tracing(self) -> TracingSpec | None:
        return next((found for one in self.loops if (found := one.worker.tracing()) is not None), None)

    def metric_lines(self) -> str:
        return "".join(one.worker.metric_lines() for one in self.loops)

    def extend(self, gateway: Gateway) -> Gateway:
        for one in self.loops:
            gateway = one.worker.extend(gateway)
        return gateway

    async def start(self) -> None:
        for one in self.loops:
            await one.worker.start()

    async def stop(self) -> None:
        await self._end(lambda worker: worker.stop())

    async def drain(self) -> None:
        await self._end(lambda worker: worker.drain())

    async def close(self) -> None:
        await self._end(lambda worker: worker.close())

    async def _end(self, end: Callable[[Worker], Awaitable[None]]) -> None:
        for one in self.loops:
            try:
                await end(one.worker)
            except Exception:
                log.exception("a loop cannot be stopped")


@dataclass(frozen=True)
class _Group:
    work: BackgroundWork
    loops: list[BackgroundLoop]

    async def turn(self) -> None:
        for one in self.loops:
            if one.kind is None or await self.work.is_present(one.kind):
                try:
                    await one.worker.turn()
                except Exception:  # the loops of other features have their turns
                    log.exception("a turn of a loop failed; the next one tries again")


def _find_present(tx: Tx, kinds: Iterable[Kind[Any]]) -> frozenset[str]:
    return frozenset(kind.name for kind in kinds if tx.versions(kind))


def join_background(services: Services) -> BackgroundWork:
    """The loops of the features that are on; nothing runs yet."""
    found = [
        BackgroundLoop(one.load(loop.make)(services), loop, _load_kind(one, loop))
        for one in features()
        for loop in one.feature.loops
        if not loop.setting or getattr(services.settings, loop.setting)
    ]
    return BackgroundWork(tuple(found), services.store)


def join_observers(services: Services) -> RolloutObservers:
    """The observers of the features that are on."""
    found = tuple(make(services) for _, make in features().hooks(OBSERVER))
    return RolloutObservers(found, features().explain_absence(OBSERVER))


def find_owners(tx: Tx) -> set[str]:
    """Names of what loops work on, with their prefixes, such as of the fleets of jobs. Those of features that are off
    are among them, and of records that cannot be read."""
    found = set[str]()
    for one in features().installed.values():
        for loop in one.feature.loops:
            kind = _load_kind(one, loop) if loop.prefix else None
            found |= {loop.prefix + name for name in tx.versions(kind)} if kind is not None else set()
    return found


def _load_kind(one: LoadedFeature, loop: Loop) -> Kind[Any] | None:
    return one.load(loop.kind) if loop.kind else None
