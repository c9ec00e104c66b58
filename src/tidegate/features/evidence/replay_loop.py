"""Replay labelled rows for each rollout that asks for it, before any of its traffic is shifted, and keep the results.

A replay begins once the model data of both versions is kept, and always ends with a result: what goes wrong is
NO_DATA with its reason, never a pass. A controller that is started anew finds the result in the store, or replays
again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from tidegate.domain.errors import TidegateError, UnreadableRecord
from tidegate.domain.finding import Finding
from tidegate.domain.history import HistoryEntry
from tidegate.domain.registry import Model
from tidegate.domain.replay import ReplayConfig, ReplayJob, ReplayRecord, ReplayResult
from tidegate.features.evidence.judge import replay_rate
from tidegate.features.evidence.replay_service import find_replay, keep_replay
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store, Tx
from tidegate.reconcile.rollout_observers import ComparedVersions
from tidegate.service import history

log = logging.getLogger(__name__)

Run = Callable[[ReplayJob], Awaitable[Mapping[str, ReplayResult]]]
MAX_RUNNING = 2
"""Replays at a time: each loads two models and answers up to 200,000 rows. The others wait their turn."""
PAUSE = 1.0
"""Seconds between two looks whether model data is kept, and between two tries of a store that is away."""
PATIENCE = 7200.0
"""Seconds that a rollout waits for its model data to be kept. A version that does not start has a deadline of its
own."""


@dataclass
class Replays:
    """The replays of all rollouts. ``run`` replays in a process of its own; ``kick`` wakes an endpoint.
    ``artifacts``: folder of kept model data; ``file_roots``: folders that ``file://`` may lead into."""

    store: Store
    clock: Clock
    run: Run
    kick: Callable[[str], None]
    artifacts: str
    file_roots: tuple[str, ...] | None
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """By rollout."""
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))
    _results: dict[str, dict[str, ReplayResult]] = field(default_factory=dict)

    def results(self, rollout: str) -> Mapping[str, ReplayResult] | None:
        """Return the results by variant; None: the replay has not ended."""
        return self._results.get(rollout)

    async def turn(self, versions: Iterable[ComparedVersions]) -> None:
        """Begin with rollouts that are new and in their first stage, and leave those that have ended. An assurance
        rests on labelled rows in each stage, also for a controller that was started anew."""
        present = {one.rollout: one for one in versions if one.config.replay is not None}
        for rollout in self._tasks.keys() - present.keys():
            self._tasks.pop(rollout).cancel()
            self._results.pop(rollout, None)
        for rollout, one in present.items():
            wanted = one.stage == 0 or (one.config.assure is not None and one.config.assure.harm.of_labels)
            if rollout not in self._tasks and one.config.replay is not None and wanted:
                work = self._follow(one, one.config.replay)
                self._tasks[rollout] = asyncio.create_task(work, name=f"replay for {one.endpoint}")

    async def stop(self) -> None:
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, one: ComparedVersions, config: ReplayConfig) -> None:
        found = await self._load(one)
        if found is None:
            found = await self._replay(one, config)
            rate = replay_rate(one.config, len(one.variants))
            await self._keep(
                ReplayRecord(
                    *(one.endpoint, one.rollout, one.old[1], one.new[1], config, rate, found),
                    self.clock.now().timestamp(),
                )
            )
        self._results[one.rollout] = found
        self.kick(one.endpoint)

    async def _load(self, one: ComparedVersions) -> dict[str, ReplayResult] | None:
        """Load the results that an earlier controller kept for this rollout; None if there are none."""
        while True:
            try:
                kept = await self.store.run(lambda tx: find_replay(tx, one.endpoint))
            except UnreadableRecord:
                return None  # of whichever rollout it is: it is found anew, and kept in its place
            except TidegateError:
                await asyncio.sleep(PAUSE)
                continue
            same = kept is not None and (kept.rollout, kept.config) == (one.rollout, one.config.replay)
            return kept.results if kept is not None and same else None

    async def _replay(self, one: ComparedVersions, config: ReplayConfig) -> dict[str, ReplayResult]:
        try:
            models = await self._await_models(one)
            rate = replay_rate(one.config, len(one.variants))
            job = ReplayJob(config, rate, models, self.artifacts, self.file_roots)
            async with self._turn:
                found = dict(await self.run(job))
            if found.keys() != set(one.variants):
                raise TidegateError("the process of the replay did not say what was found")
        except Exception as error:
            if not isinstance(error, TidegateError):
                log.exception("the replay for endpoint %s failed", one.endpoint)
            lack = ReplayResult(Finding.NO_DATA, str(error) or type(error).__name__)
            return dict.fromkeys(one.variants, lack)
        return found

    async def _await_models(self, one: ComparedVersions) -> tuple[tuple[str, Model, Model], ...]:
        """Return the models of each variant with the digests of the data that runs. Raises TidegateError."""
        began = self.clock.now()
        while True:
            entries = await self._entries(one)
            found = [_pin(one, name, entries) for name in one.variants]
            if all(each is not None for each in found):
                return tuple(each for each in found if each is not None)
            if _is_over(began, self.clock.now()):
                raise TidegateError("the model data of both versions is not kept, so that nothing can be replayed")
            await asyncio.sleep(PAUSE)

    async def _entries(self, one: ComparedVersions) -> tuple[HistoryEntry, ...]:
        def work(tx: Tx) -> tuple[HistoryEntry, ...]:
            return history.read(tx, one.endpoint).entries

        try:
            return await self.store.run(work)
        except TidegateError:  # the store is away, or the endpoint was removed, which ends this task
            return ()

    async def _keep(self, record: ReplayRecord) -> None:
        """Keep the results in the store before anything follows from them. Waits for the store: without it nothing
        else goes on either."""
        while True:
            try:
                await self.store.run(lambda tx: keep_replay(tx, record, self.clock.now()))
                return
            except TidegateError as error:
                log.warning("endpoint %s: what its replay found cannot be kept now: %s", record.endpoint, error)
                await asyncio.sleep(PAUSE)


def _is_over(began: datetime, now: datetime) -> bool:
    return (now - began).total_seconds() > PATIENCE


def _pin(one: ComparedVersions, variant: str, entries: Iterable[HistoryEntry]) -> tuple[str, Model, Model] | None:
    """Return a variant with its old and its new model, with the digests of their data. None: the model data of a
    version is not known yet."""
    models = []
    for generation in (one.old[0], one.new[0]):
        entry = next((each for each in entries if each.version.generation == generation), None)
        if entry is None:
            return None
        spec = next(each for each in entry.version.variants if each.name == variant)
        digests = entry.artifacts.get(variant)
        if digests is None:
            if any(container.data_url for container in spec.model.containers):
                return None
            digests = ("",) * len(spec.model.containers)
        containers = zip(spec.model.containers, digests, strict=True)
        pinned = tuple(replace(container, artifact=digest or None) for container, digest in containers)
        models.append(replace(spec.model, containers=pinned))
    return variant, models[0], models[1]
