"""The loops beside the comparison of versions: replays of labelled rows, and late labels."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from tidegate.compose.label_loop import LABELS_EVERY, LabelLoop
from tidegate.compose.replay_process import ReplayProcess
from tidegate.ports.clock import Clock
from tidegate.ports.metrics import Metrics
from tidegate.ports.store import Store
from tidegate.reconcile.engine import Engine
from tidegate.reconcile.guards import GuardedRollout
from tidegate.reconcile.replays import Replays
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots

REPLAYS_EVERY = 0.5
"""Seconds between two looks for rollouts that want a replay."""


@dataclass
class EvidenceLoops:
    """``guarded`` lists the rollouts under way."""

    replays: Replays
    labels: LabelLoop
    guarded: Callable[[], Iterable[GuardedRollout]]

    @property
    def loops(self) -> tuple[tuple[float, Callable[[], Awaitable[None]]], ...]:
        """Seconds between two turns, and what one does."""
        return (REPLAYS_EVERY, self._look), (LABELS_EVERY, self.labels.turn)

    async def _look(self) -> None:
        found = (one.versions for one in self.guarded())
        await self.replays.turn([one for one in found if one is not None])


def join_evidence(
    settings: Settings, store: Store, metrics: Metrics, clock: Clock, engine: Callable[[], Engine]
) -> EvidenceLoops:
    """``settings.state`` is where model data is kept; ``engine`` comes later, since it needs these parts."""
    artifacts = str(settings.state / "artifacts")
    run = ReplayProcess(settings).run
    replays = Replays(store, clock, run, lambda name: engine().kick(name), artifacts, file_roots(settings))
    return EvidenceLoops(replays, LabelLoop(settings, store, metrics, clock), lambda: engine().guarded())
