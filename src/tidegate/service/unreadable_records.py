"""Finds the records that this version cannot read, of all kinds, so that somebody is told before they are missed."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tidegate.ports.store import Filter, Kind, RecordPage, Store, Tx, Unreadable
from tidegate.service.record_kinds import all_kinds

log = logging.getLogger(__name__)

EVERY = timedelta(seconds=60)
FEW = 20
"""Records of a kind up to which each is read for itself."""
PAGE = 100
"""Records of one transaction: nobody else waits for all of them."""


@dataclass
class UnreadableRecords:
    """Each version of a record is read once, by whoever asks for what was found."""

    kinds: Sequence[Kind[Any]] = field(default_factory=all_kinds)
    _read: dict[str, dict[str, int]] = field(default_factory=dict)
    """Kind -> name -> the version that was read last."""
    _found: dict[tuple[str, str], Unreadable] = field(default_factory=dict)
    _looked: datetime | None = None

    async def find(self, store: Store, now: datetime) -> list[Unreadable]:
        """By kind and name; of the last ``EVERY``. Raises Unavailable."""
        if self._looked is None or not timedelta() <= now - self._looked < EVERY:
            for kind in self.kinds:
                await self._look(store, kind)
            self._looked = now
        return [self._found[key] for key in sorted(self._found)]

    async def _look(self, store: Store, kind: Kind[Any]) -> None:
        present = await store.read(lambda tx: tx.versions(kind))
        known = self._read.get(kind.name, {})
        new = {name for name, version in present.items() if known.get(name) != version}
        gone = {key for key in self._found if key[0] == kind.name and (key[1] in new or key[1] not in present)}
        found = [one for page in await _read(store, kind, new) for one in page.unreadable if one.name in new]
        for one in found:
            if (one.kind, one.name) not in self._found:
                log.warning("%s", one.why)
        self._found = {key: one for key, one in self._found.items() if key not in gone}
        self._found |= {(one.kind, one.name): one for one in found}
        self._read[kind.name] = present


async def _read(store: Store, kind: Kind[Any], names: Iterable[str]) -> list[RecordPage[Any]]:
    wanted = sorted(names)
    if len(wanted) > FEW:
        return await _read_whole(store, kind)

    def work(tx: Tx) -> list[RecordPage[Any]]:
        return [tx.find(kind, Filter(name_prefix=name, sort_by="name", descending=False), 1) for name in wanted]

    return await store.read(work) if wanted else []


async def _read_whole(store: Store, kind: Kind[Any]) -> list[RecordPage[Any]]:
    pages, after = list[RecordPage[Any]](), None
    where = Filter(sort_by="name", descending=False)
    while True:
        page = await store.read(lambda tx, after=after: tx.find(kind, where, PAGE, after))  # type: ignore[misc]
        pages.append(RecordPage([], None, page.unreadable))
        if page.next is None:
            return pages
        after = page.next
