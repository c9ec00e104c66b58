"""Keep the model data of versions for undo: record its digests in the history, and remove what is no longer needed.

A version's data is kept as soon as a fleet of it is complete, so it is there when the file that it came from is
overwritten or deleted.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from tidegate.domain.errors import ArtifactError
from tidegate.domain.fleet import FleetId, VariantSpec
from tidegate.domain.history import History, HistoryEntry
from tidegate.ports.artifacts import Artifacts
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store
from tidegate.rollout.history import choose_kept, needs_artifacts
from tidegate.service import history

log = logging.getLogger(__name__)


@dataclass
class ArtifactKeeper:
    """``versions``: of each endpoint, beyond those that run. ``limit``: bytes of all together, those that run
    included."""

    store: Store
    artifacts: Artifacts
    clock: Clock
    versions: int
    limit: int
    _changed: set[str] | None = None
    """Endpoints whose records have changed; None: all are read, as at the start."""
    _histories: dict[str, History] = field(default_factory=dict)
    """As they were read last, so that a change of one endpoint reads one."""
    _troubles: dict[FleetId, str] = field(default_factory=dict)
    """Fleets whose data cannot be kept, and why; logged once."""

    def wake(self, name: str) -> None:
        """The record of an endpoint has changed."""
        if self._changed is not None:
            self._changed.add(name)

    async def turn(self) -> None:
        """Keep what is not kept yet, then remove what is not needed. Does nothing unless something has changed."""
        changed = self._changed
        if changed is not None and not changed:
            return
        self._changed = set()
        try:
            await self._read(changed)
        except BaseException:
            self._changed = None if changed is None else changed | self._changed
            raise
        # What could not be kept before is tried again: its data or some space may be there now.
        for name in [name for name, kept in self._histories.items() if any(_find_lacking(kept))]:
            await self._record(name, self._histories[name])
        await self._remove_old()

    async def _read(self, changed: set[str] | None) -> None:
        if changed is None:
            self._histories = await self.store.run(history.read_all)
            return
        names = sorted(changed)
        for name, found in (await self.store.run(lambda tx: history.read_some(tx, names))).items():
            if found is None:
                self._histories.pop(name, None)
            else:
                self._histories[name] = found

    async def _record(self, name: str, kept: History) -> None:
        found: dict[tuple[int, str], dict[str, tuple[str, ...]]] = {}
        for entry, variant in _find_lacking(kept):
            digests = await self._keep(FleetId(name, entry.version.generation, variant.name), variant)
            if digests is not None:
                found.setdefault((entry.number, entry.rollout), {})[variant.name] = digests
        if found:
            now = self.clock.now()
            await self.store.run(lambda tx: history.record_artifacts(tx, name, found, now))
            await self._read({name})

    async def _keep(self, fleet: FleetId, variant: VariantSpec) -> tuple[str, ...] | None:
        try:
            return await asyncio.to_thread(self.artifacts.keep, fleet, len(variant.model.containers))
        except (OSError, ArtifactError) as error:
            if self._troubles.get(fleet) != str(error):
                self._troubles[fleet] = str(error)
                log.warning("the model data of %s is not kept for undo: %s", fleet, error)
            return None

    async def _remove_old(self) -> None:
        """Before anything is removed all histories are read again: a version may have begun meanwhile to run from
        what is kept. Nothing is removed while a history cannot be read."""
        sizes = await asyncio.to_thread(self.artifacts.sizes)
        if not sizes.keys() - choose_kept(self._histories, sizes, self.versions, self.limit):
            return
        await self._read(None)
        if not await self.store.run(history.all_known):
            return
        needed = choose_kept(self._histories, sizes, self.versions, self.limit)
        if sizes.keys() - needed:
            await asyncio.to_thread(self.artifacts.retain, needed)


def _find_lacking(kept: History) -> Iterator[tuple[HistoryEntry, VariantSpec]]:
    for entry in kept.entries:
        for variant in entry.version.variants:
            if entry.outcome.live and needs_artifacts(variant) and variant.name not in entry.artifacts:
                yield entry, variant
