"""The records that the list of endpoints is made of, kept in memory: after a write, those alone are read whose
version is another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tidegate.console.list_query import describe_modes
from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.usage import Usage
from tidegate.ports.store import Kind, Saved, Store, Tx
from tidegate.service import usage
from tidegate.service.record_kinds import ALARM, ENDPOINT, TAGS, USAGE
from tidegate.service.views import named_alarms

T = TypeVar("T")
FEW = 20
"""Changed records up to which each is read for itself."""
_TAGGED = f"{ENDPOINT.name}/"


@dataclass(frozen=True)
class EndpointRecords:
    """What the store has of an endpoint, for its row."""

    endpoint: Endpoint
    alarms: list[Alarm]
    used: Usage
    tags: tuple[tuple[str, str], ...]
    modes: tuple[str, ...]


Kept = Mapping[str, Mapping[str, Saved[Any]]]
"""By kind and name."""


@dataclass
class RecordReader:
    """Of all readers together."""

    store: Store
    _written: int | None = None
    """Line of the journal up to which the records are; None: they were not read yet."""
    _kept: Kept = field(default_factory=dict)
    _found: list[EndpointRecords] = field(default_factory=list)

    async def read(self) -> list[EndpointRecords]:
        """By name; the same list until something is written."""
        known, before = self._written, self._kept

        def work(tx: Tx) -> tuple[int, Kept | None]:
            latest = tx.journal(limit=1, newest_first=True, bodies=False)
            written = latest[0].seq if latest else 0
            return written, None if written == known else _read_changed(tx, before)

        written, kept = await self.store.run(work)
        if kept is not None:
            self._written, self._kept, self._found = written, kept, _join(kept, self._found)
        return self._found


def _read_changed(tx: Tx, before: Kept) -> Kept:
    found: dict[str, Mapping[str, Saved[Any]]] = {}
    found[ENDPOINT.name] = refresh(tx, ENDPOINT, before.get(ENDPOINT.name, {}), lambda name: True)
    found[USAGE.name] = refresh(tx, USAGE, before.get(USAGE.name, {}), lambda name: True)
    named = {alarm for saved in found[ENDPOINT.name].values() for alarm in named_alarms(saved.body)}
    found[ALARM.name] = refresh(tx, ALARM, before.get(ALARM.name, {}), named.__contains__)
    found[TAGS.name] = refresh(tx, TAGS, before.get(TAGS.name, {}), lambda name: name.startswith(_TAGGED))
    return found


def refresh(
    tx: Tx, kind: Kind[T], before: Mapping[str, Saved[T]], wanted: Callable[[str], bool]
) -> dict[str, Saved[T]]:
    """The wanted records of a kind as they are now; those of ``before`` whose version is the same are not read."""
    versions = {name: version for name, version in tx.versions(kind).items() if wanted(name)}
    found = {
        name: before[name]
        for name, version in versions.items()
        if name in before and before[name].version == version
    }
    changed = versions.keys() - found.keys()
    if len(changed) > FEW:
        return found | {saved.name: saved for saved in tx.find(kind).items if saved.name in changed}
    return found | {name: saved for name in changed if (saved := tx.get(kind, name)) is not None}


def _join(kept: Kept, before: list[EndpointRecords]) -> list[EndpointRecords]:
    """Modes are worked out again for changed endpoints alone."""
    alarms, tags, used = kept[ALARM.name], kept[TAGS.name], kept[USAGE.name]
    modes = {id(one.endpoint): one.modes for one in before}
    return [
        EndpointRecords(
            saved.body,
            [alarms[alarm].body for alarm in named_alarms(saved.body) if alarm in alarms],
            usage.find_usage(saved, used.get(name)),
            tuple(tags[_TAGGED + name].body.tags.items()) if _TAGGED + name in tags else (),
            modes.get(id(saved.body)) or describe_modes(saved.body),
        )
        for name, saved in sorted(kept[ENDPOINT.name].items())
    ]
