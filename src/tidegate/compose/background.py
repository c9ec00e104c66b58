"""Work in the background that features add with ``loops`` in their manifests."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tidegate.domain.errors import TidegateError
from tidegate.domain.targets import TargetTable
from tidegate.host.features import features
from tidegate.ports.clock import Clock, Ids
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Kind, Store, Tx
from tidegate.reconcile.last_read import LastRead
from tidegate.settings import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """What a loop may use. ``kick`` wakes an endpoint's engine."""

    settings: Settings
    store: Store
    metrics: Metrics
    clock: Clock
    ids: Ids
    targets: TargetTable
    kick: Callable[[str], None]
    _shared: dict[str, Any] = field(default_factory=dict)

    def share(self, name: str, make: Callable[[], T]) -> T:
        """What several loops have in common, made by the first that asks for it."""
        if name not in self._shared:
            self._shared[name] = make()
        found: T = self._shared[name]
        return found


class Worker(Protocol):
    async def turn(self) -> None: ...


@dataclass(frozen=True)
class BackgroundLoop:
    worker: Worker
    seconds: float
    kind: Kind[Any] | None = None


@dataclass
class BackgroundWork:
    """The loops of all features. Most servers have no records of most kinds: loops that need some share one read."""

    loops: tuple[BackgroundLoop, ...]
    store: Store
    _present: LastRead[frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        kinds = tuple(one.kind for one in self.loops if one.kind is not None)
        self._present = LastRead(lambda tx: _find_present(tx, kinds))

    @property
    def turns(self) -> tuple[tuple[float, Callable[[], Awaitable[None]]], ...]:
        """Seconds between two turns, and what one does."""
        groups: dict[float, list[BackgroundLoop]] = {}
        for one in self.loops:
            if one.kind is not None:
                groups.setdefault(one.seconds, []).append(one)
        alone = ((one.seconds, one.worker.turn) for one in self.loops if one.kind is None)
        return (*alone, *((seconds, _Group(self, found).turn) for seconds, found in groups.items()))

    async def is_present(self, kind: Kind[Any]) -> bool:
        """True also if that cannot be read: the loop then says so itself."""
        try:
            return kind.name in await self._present.get(self.store)
        except TidegateError:
            return True

    async def stop(self) -> None:
        for one in self.loops:
            stop = getattr(one.worker, "stop", None)
            if stop is not None:
                try:
                    await stop()
                except Exception:
                    log.exception("a loop cannot be stopped")


@dataclass(frozen=True)
class _Group:
    work: BackgroundWork
    loops: list[BackgroundLoop]

    async def turn(self) -> None:
        for one in self.loops:
            assert one.kind is not None
            if await self.work.is_present(one.kind):
                try:
                    await one.worker.turn()
                except Exception:  # the loops of other features have their turns
                    log.exception("a turn of a loop failed; the next one tries again")


def _find_present(tx: Tx, kinds: Iterable[Kind[Any]]) -> frozenset[str]:
    return frozenset(kind.name for kind in kinds if tx.versions(kind))


def join_background(services: Services) -> BackgroundWork:
    """Nothing runs yet."""
    found = [
        BackgroundLoop(one.load(loop.make)(services), loop.seconds, one.load(loop.kind) if loop.kind else None)
        for one in features()
        for loop in one.feature.loops
    ]
    return BackgroundWork(tuple(found), services.store)
