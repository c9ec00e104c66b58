"""Several targets as one: what is measured, logged and supervised on all of them."""

import asyncio
import logging
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tidegate.domain.errors import StartupError, TidegateError
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.metric import CollectionRound
from tidegate.domain.observation import Observation
from tidegate.domain.targets import LOCAL
from tidegate.ports.logs import LogLines, Logs, LogStream, ReplicaLog
from tidegate.ports.target import Chore, EvidenceSource, Lifecycle, Provider

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 0.3
"""Seconds of a collection round that a target may take; what comes later goes into the next round."""


def join_providers(providers: Mapping[str, Provider], default: str) -> Provider:
    """Combine providers into one. Transform jobs are the default target's if it runs any; other jobs and kept model
    data are the local target's. A single target stays as it is. Raises StartupError if endpoints are declared as
    resources of two."""
    if len(providers) == 1:
        return next(iter(providers.values()))
    declared = {name: one.resources for name, one in providers.items() if one.resources is not None}
    if len(declared) > 1:
        raise StartupError(f"endpoint_resources: targets {', '.join(declared)} have it: keep it on one of them")
    jobs = providers[default if providers[default].runs_transforms else LOCAL]
    return replace(
        providers[LOCAL],
        fleets=jobs.fleets,
        runners=jobs.runners,
        lifecycle=_SeveralLifecycles(tuple(one.lifecycle for one in providers.values())),
        evidence=SeveralEvidence({name: one.evidence for name, one in providers.items()}),
        logs=SeveralLogs(tuple(one.logs for one in providers.values())),
        resources=next(iter(declared.values()), None),
        cut_off=lambda: next((found for one in providers.values() if (found := one.cut_off())), None),
        trouble=lambda: next((found for one in providers.values() if (found := one.trouble())), None),
    )


@dataclass
class SeveralEvidence:
    """An ``EvidenceSource`` of all targets. One that is slow or fails delays no other: its endpoints are missing from
    that round, so nothing is known about them."""

    sources: Mapping[str, EvidenceSource]
    _running: dict[str, asyncio.Task[CollectionRound]] = field(default_factory=dict)
    _troubles: dict[str, str] = field(default_factory=dict)
    """What goes wrong now, logged once."""

    async def collect(self, now: int) -> CollectionRound:
        for name, source in self.sources.items():
            if name not in self._running:
                self._running[name] = asyncio.ensure_future(source.collect(now))
        local = self._running.get(LOCAL)
        if local is not None:
            await asyncio.wait({local})
        others = set(self._running.values())
        done, _ = await asyncio.wait(others, timeout=PATIENCE)
        joined = CollectionRound([])
        for name, task in list(self._running.items()):
            if task in done:
                del self._running[name]
                if (found := self._result(name, task)) is not None:
                    joined.seconds.extend(found.seconds)
                    joined.coverage.update(found.coverage)
                    joined.periods.update(found.periods)
                    joined.failures.update(found.failures)
        return joined

    def _result(self, name: str, task: asyncio.Task[CollectionRound]) -> CollectionRound | None:
        try:
            found = task.result()
        except TidegateError as error:
            if self._troubles.get(name) != str(error):
                self._troubles[name] = str(error)
                log.warning("target %s was not measured: %s", name, error)
            return None
        except Exception:
            log.exception("target %s was not measured", name)
            return None
        self._troubles.pop(name, None)
        return found

    def refresh(self, look: Observation) -> Observation:
        for source in self.sources.values():
            look = source.refresh(look)
        return look

    async def list_models(self, endpoint: str, most: int) -> Sequence[Mapping[str, object]]:
        return [one for source in self.sources.values() for one in await source.list_models(endpoint, most)]


@dataclass(frozen=True)
class _SeveralLifecycles:
    """A ``ports.target.Lifecycle``."""

    parts: tuple[Lifecycle, ...]

    @property
    def chores(self) -> Sequence[Chore]:
        return [chore for part in self.parts for chore in part.chores]

    def prepare(self) -> None:
        for part in self.parts:
            part.prepare()

    def start(self) -> None:
        for part in self.parts:
            part.start()

    async def retire_unknown(self, owners: Collection[str]) -> None:
        for part in self.parts:
            try:
                await part.retire_unknown(owners)
            except TidegateError as error:
                log.warning("fleets without a record are not looked for: %s", error)

    def serves(self) -> bool:
        return any(part.serves() for part in self.parts)

    def desired(self) -> list[FleetSpec]:
        return [spec for part in self.parts for spec in part.desired()]

    def wake(self, fleet: FleetId, since: float) -> None:
        for part in self.parts:
            part.wake(fleet, since)

    def kick(self, fleet: FleetId) -> None:
        for part in self.parts:
            part.kick(fleet)

    async def stop(self, drain: bool) -> None:
        await asyncio.gather(*(part.stop(drain) for part in self.parts))


@dataclass(frozen=True)
class SeveralLogs:
    """A ``ports.logs.Logs``. What one target has is shown although another cannot be asked; where nothing is found,
    the error of the one that may have it is raised."""

    parts: tuple[Logs, ...]

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        return await _join(part.tail(endpoint, lines) for part in self.parts)

    async def groups(self) -> Sequence[str]:
        return sorted(set(await _join(part.groups() for part in self.parts)))

    async def streams(self, group: str) -> Sequence[LogStream]:
        return await _join(part.streams(group) for part in self.parts)

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        trouble: TidegateError | None = None
        for part in self.parts:
            try:
                if (found := await part.read(group, stream, offset, limit)) is not None:
                    return found
            except TidegateError as error:
                trouble = trouble or error
        if trouble is not None:
            raise trouble
        return None


async def _join(asked: Iterable[Awaitable[Sequence[T]]]) -> list[T]:
    found: list[T] = []
    trouble: TidegateError | None = None
    for one in asked:
        try:
            found += await one
        except TidegateError as error:
            trouble = trouble or error
    if trouble is not None and not found:
        raise trouble
    return found
