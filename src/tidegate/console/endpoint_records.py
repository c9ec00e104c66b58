"""The records that the list of endpoints is made of, kept in memory: after a write, those alone are read whose
version is another."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tidegate.console.list_query import describe_modes
from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import UnreadableRecord
from tidegate.domain.usage import Usage
from tidegate.ports.store import Kind, Store, StoredRecord, Tx, Unreadable
from tidegate.service import usage
from tidegate.service.alarms import stand_in
from tidegate.service.record_kinds import ALARM, ENDPOINT, TAGS, USAGE
from tidegate.service.views import named_alarms, of_present_versions

T = TypeVar("T")
FEW = 20
"""Changed records up to which each is read for itself."""
_TAGGED = f"{ENDPOINT.name}/"


@dataclass(frozen=True)
class EndpointRecords:
    """Content of the store on one endpoint, for its row."""

    endpoint: Endpoint
    alarms: list[Alarm]
    used: Usage
    tags: tuple[tuple[str, str], ...]
    modes: tuple[str, ...]


Kept = Mapping[str, Mapping[str, "StoredRecord[Any] | Unreadable"]]
"""By kind and name."""


@dataclass
class RecordReader:
    """Reader of the records of all endpoints, shared by all readers of the page."""

    store: Store
    _written: int | None = None
    """Line of the journal up to which the records are; None: they were not read yet."""
    _kept: Kept = field(default_factory=dict)
    _found: list[EndpointRecords] = field(default_factory=list)
    unreadable: tuple[Unreadable, ...] = ()
    """Endpoints of which nothing else is known."""

    async def read(self) -> list[EndpointRecords]:
        """Return the records of all endpoints by name. The list is the same object until something is written."""
        known, before = self._written, self._kept

        def work(tx: Tx) -> tuple[int, Kept | None]:
            latest = tx.journal(limit=1, newest_first=True, bodies=False)
            written = latest[0].seq if latest else 0
            return written, None if written == known else _read_changed(tx, before)

        written, kept = await self.store.read(work)
        if kept is not None:
            self._written, self._kept, self._found = written, kept, _join(kept, self._found)
            self.unreadable = tuple(one for one in kept[ENDPOINT.name].values() if isinstance(one, Unreadable))
        return self._found


def _read_changed(tx: Tx, before: Kept) -> Kept:
    found: dict[str, Mapping[str, StoredRecord[Any] | Unreadable]] = {}
    found[ENDPOINT.name] = refresh(tx, ENDPOINT, before.get(ENDPOINT.name, {}), lambda name: True)
    found[USAGE.name] = refresh(tx, USAGE, before.get(USAGE.name, {}), lambda name: True)
    readable = [saved for saved in found[ENDPOINT.name].values() if isinstance(saved, StoredRecord)]
    named = {alarm for saved in readable for alarm in named_alarms(saved.body)}
    found[ALARM.name] = refresh(tx, ALARM, before.get(ALARM.name, {}), named.__contains__)
    found[TAGS.name] = refresh(tx, TAGS, before.get(TAGS.name, {}), lambda name: name.startswith(_TAGGED))
    return found


def refresh(
    tx: Tx, kind: Kind[T], before: Mapping[str, StoredRecord[T] | Unreadable], wanted: Callable[[str], bool]
) -> dict[str, StoredRecord[T] | Unreadable]:
    """The wanted records of a kind as they are now; those of ``before`` whose version is the same are not read."""
    found: dict[str, StoredRecord[T] | Unreadable] = {}
    changed = set[str]()
    for name, version in tx.versions(kind).items():
        if wanted(name):
            kept = before.get(name)
            if isinstance(kept, StoredRecord) and kept.version == version:
                found[name] = kept
            else:
                changed.add(name)
    if len(changed) <= FEW:
        try:
            return found | {name: saved for name in changed if (saved := tx.get(kind, name)) is not None}
        except UnreadableRecord:
            pass  # a list says of each which one it is
    page = tx.find(kind)
    every: list[StoredRecord[T] | Unreadable] = [*page.items, *page.unreadable]
    return found | {one.name: one for one in every if one.name in changed}


def _join(kept: Kept, before: list[EndpointRecords]) -> list[EndpointRecords]:
    """Modes are worked out again for changed endpoints alone."""
    modes = {id(one.endpoint): one.modes for one in before}
    return [
        EndpointRecords(
            saved.body,
            of_present_versions(saved.body, _named_alarms(kept, saved.body)),
            usage.find_usage(saved, _find(kept, USAGE, saved.name)),
            tuple(tags.body.tags.items()) if (tags := _find(kept, TAGS, _TAGGED + saved.name)) else (),
            modes.get(id(saved.body)) or describe_modes(saved.body),
        )
        for _, saved in sorted(kept[ENDPOINT.name].items())
        if isinstance(saved, StoredRecord)
    ]


def _find(kept: Kept, kind: Kind[T], name: str) -> StoredRecord[T] | None:
    """Return a record; None if there is none, or if it cannot be read: its row then has less."""
    found = kept[kind.name].get(name)
    return found if isinstance(found, StoredRecord) else None


def _named_alarms(kept: Kept, endpoint: Endpoint) -> Iterator[Alarm]:
    found = (_find_alarm(kept, name) for name in named_alarms(endpoint))
    return (alarm for alarm in found if alarm is not None)


def _find_alarm(kept: Kept, name: str) -> Alarm | None:
    found = kept[ALARM.name].get(name)
    if isinstance(found, Unreadable):
        return stand_in(name, found.why)
    return None if found is None else found.body
