"""The loop of replays of labelled rows, and the loops of features."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from tidegate.compose.background import BackgroundWork, Services, join_background
from tidegate.domain.targets import TargetTable
from tidegate.features.evidence.replay_loop import Replays
from tidegate.features.evidence.replay_process import ReplayProcess
from tidegate.ports.clock import Clock, Ids
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store
from tidegate.reconcile.engine import Engine
from tidegate.reconcile.guards import GuardedRollout
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots

REPLAYS_EVERY = 0.5
"""Seconds between two looks for rollouts that want a replay."""


@dataclass
class EvidenceLoops:
    """``guarded`` lists the rollouts under way."""

    replays: Replays
    background: BackgroundWork
    guarded: Callable[[], Iterable[GuardedRollout]]

    @property
    def loops(self) -> tuple[tuple[float, Callable[[], Awaitable[None]]], ...]:
        """Seconds between two turns, and what one does."""
        return ((REPLAYS_EVERY, self._look), *self.background.turns)

    async def stop(self) -> None:
        await self.replays.stop()
        await self.background.stop()

    async def _look(self) -> None:
        found = (one.versions for one in self.guarded())
        await self.replays.turn([one for one in found if one is not None])


def join_evidence(
    settings: Settings,
    store: Store,
    metrics: Metrics,
    clock: Clock,
    ids: Ids,
    targets: TargetTable,
    engine: Callable[[], Engine],
) -> EvidenceLoops:
    """``settings.state`` is where model data is kept; ``engine`` comes later, since it needs these parts."""
    artifacts = str(settings.state / "artifacts")
    run = ReplayProcess(settings).run

    def kick(name: str) -> None:
        engine().kick(name)

    replays = Replays(store, clock, run, kick, artifacts, file_roots(settings))
    background = join_background(Services(settings, store, metrics, clock, ids, targets, kick))
    return EvidenceLoops(replays, background, lambda: engine().guarded())
