"""The loops and the observer of evidence: the comparison of versions, the replay of labelled rows before a rollout,
and the removal of judged pairs."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tidegate.compose.background import Services, Worker
from tidegate.compose.environments import child_environment, server_environment
from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import StartTimeout, Unavailable
from tidegate.domain.replay import ReplayJob, ReplayResult
from tidegate.features.evidence.judge_questions import make_asking
from tidegate.features.evidence.kept_pairs import KeptPairs
from tidegate.features.evidence.labelling import find_labels
from tidegate.features.evidence.loop import Comparisons
from tidegate.features.evidence.replay_loop import Replays
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store, Tx
from tidegate.reconcile.guards import GuardedRollout
from tidegate.service.record_kinds import ENDPOINT
from tidegate.settings import Settings
from tidegate.targets.containers import file_roots

log = logging.getLogger(__name__)

EXTRA = 300.0
"""Seconds beyond those that the versions may take: for the rows, and to start."""
LAST = 500
"""Characters of what a process that failed said last."""


@dataclass(frozen=True)
class _ReplayProcess:
    settings: Settings

    async def run(self, job: ReplayJob) -> Mapping[str, ReplayResult]:
        """Raises StartTimeout or Unavailable. The process ends with this call, however that ends."""
        environment = child_environment(self.settings.state) | server_environment(self.settings)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tidegate.features.evidence.replay_main", str(os.getpid())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        longest = 2 * job.config.within * len(job.variants) + EXTRA
        try:
            async with asyncio.timeout(longest):
                said, complaint = await child.communicate(msgspec.json.encode(job))
        except TimeoutError:
            raise StartTimeout(f"the replay did not end within {longest:g} s") from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode:
            log.error("the process of a replay failed: %s", complaint.decode(errors="replace"))
            last = complaint.decode(errors="replace").strip().rpartition("\n")[2][-LAST:]
            raise Unavailable(f"the process of the replay ended with status {child.returncode}: {last}")
        return msgspec.json.decode(said, type=prepare_type(dict[str, ReplayResult]))


@dataclass(frozen=True)
class ReplayLoop(Worker):
    replays: Replays
    guarded: Callable[[], Iterable[GuardedRollout]]

    async def turn(self) -> None:
        found = (one.versions for one in self.guarded())
        await self.replays.turn([one for one in found if one is not None])

    async def stop(self) -> None:
        await self.replays.stop()


@dataclass(frozen=True)
class PairCleaner(Worker):
    """Removes judged pairs that nobody has labelled for too long, and what a process that was killed left: pairs that
    have a label, and those of rollouts that have ended."""

    state: Path
    store: Store
    clock: Clock

    async def turn(self) -> None:
        # Folders first: that of a rollout which begins meanwhile is not among them.
        found = await asyncio.to_thread(KeptPairs.find_all, self.state)
        if not found:
            return
        names = {one.endpoint for one in found}
        present = await self.store.read(lambda tx: {name: _find_labelled(tx, name) for name in names})
        for one in found:
            rollout, labelled = present[one.endpoint]
            if one.rollout != rollout:
                await asyncio.to_thread(one.clear)
                continue
            await asyncio.to_thread(one.remove, labelled)
            await asyncio.to_thread(one.clear_old, self.clock.now().timestamp())


def _find_labelled(tx: Tx, endpoint: str) -> tuple[str | None, set[str]]:
    """Return the id of an endpoint's rollout and those of its pairs that have a label; None: it has no rollout."""
    saved = tx.get(ENDPOINT, endpoint)
    if saved is None or saved.body.rollout is None:
        return None, set()
    return saved.body.rollout.id, {one.id for one in find_labels(tx, endpoint, saved.body.rollout.id)}


def _find_replays(services: Services) -> Replays:
    """Return the replays that the loop and the observer share. Model data is kept below ``settings.state``."""

    def make() -> Replays:
        settings, store, clock = services.settings, services.store, services.clock
        artifacts, run = str(settings.state / "artifacts"), _ReplayProcess(settings).run
        return Replays(store, clock, run, services.kick, artifacts, file_roots(settings))

    return services.share("replays", make)


def make_loop(services: Services) -> ReplayLoop:
    return ReplayLoop(_find_replays(services), services.guarded)


def make_pair_cleaner(services: Services) -> PairCleaner:
    return PairCleaner(services.settings.state, services.store, services.clock)


def make_observer(services: Services) -> Comparisons:
    replayed = _find_replays(services).results
    return Comparisons(services.store, replayed, make_asking(services.settings), state=services.settings.state)
