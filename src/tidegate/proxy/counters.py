"""Counts, per slot, the requests since the last reading and those that the proxy could not serve.

HAProxy counts from its start or its last reload. The counts of the last reading are kept in a file, so that a
restarted controller continues from there and requests that failed while there was no controller are not lost.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetId
from tidegate.host.background_file import BackgroundFile
from tidegate.ports.router import PassedRequests
from tidegate.proxy.runtime import Runtime
from tidegate.proxy.slot_counts import SlotCounts

log = logging.getLogger(__name__)

FILE = "counts.json"


NOTHING = SlotCounts()


class _SavedCounts(msgspec.Struct):
    """``pid``: the process that counted; ``slots``: slot -> its fleet and the counts."""

    pid: int
    slots: dict[str, tuple[str, int, int, int]]


class Counters:
    def __init__(self, runtime: Runtime, folder: Path) -> None:
        self._runtime = runtime
        self._file = BackgroundFile(folder / FILE)
        self._pid = 0
        """Pid of the counting process; 0: unknown."""
        self._process = 0
        """Number of counting processes before it."""
        self._looking = asyncio.Lock()
        self._counted: dict[str, SlotCounts] = {}
        self._read: dict[str, SlotCounts] = {}
        """The last reading of the counting process, as it was."""
        self._unsaved = True
        """A count may be another one than in the file."""
        self._saved: tuple[int, dict[str, FleetId]] | None = None
        """Which process and slots the file is of."""
        self._looked = 0.0
        self._more: dict[str, PassedRequests] = {}
        """Slot -> counts to add to the next reading."""
        self._unserved: set[FleetId] = set()
        """Fleets without a replica since HAProxy was started."""

    def restart(self, fleets: Iterable[FleetId]) -> None:
        """HAProxy was restarted with these fleets, whose replicas may be gone as well."""
        self.reset()
        self._more, self._unserved = {}, set(fleets)

    def reset(self) -> None:
        """The counting process is a new one."""
        self._pid, self._counted, self._read = 0, {}, {}
        self._process += 1

    async def resume(self, fleets: Mapping[str, FleetId]) -> None:
        """HAProxy was adopted with these fleets by slot: what it counted since the last reading is still to be
        reported."""
        self._pid = await self._runtime.pid()
        now = await self._runtime.counts(sorted(fleets))
        kept = self._load()
        for slot, fleet in fleets.items():
            known = kept.slots.get(slot) if kept is not None and kept.pid == self._pid else None
            if known is not None and known[0] == str(fleet):
                unanswered, refused, throttled = known[1:]
                self._counted[slot] = replace(
                    now[slot], unanswered=unanswered, refused=refused, throttled=throttled
                )
            else:
                self._counted[slot] = now[slot]

    def _load(self) -> _SavedCounts | None:
        try:
            return msgspec.json.decode(self._file.path.read_bytes(), type=prepare_type(_SavedCounts))
        except (OSError, msgspec.DecodeError):
            return None

    async def begin(self, slots: Iterable[str]) -> None:
        """Do not report what these slots counted so far."""
        self._counted |= await self._runtime.counts(sorted(slots))
        self._unsaved = True

    async def save_before_reload(self, fleets: Mapping[str, FleetId]) -> None:
        """Read the counts before a reload, which resets them."""
        try:
            found = await self._read_slots(sorted(fleets))
        except Transient as error:
            log.warning("not counting requests that the proxy answered itself in the last second: %s", error)
        else:
            self._more |= {slot: _add(self._more.get(slot), load) for slot, load in found.items()}

    async def serve(self, fleet: FleetId, slot: str | None, servers: Collection[str]) -> None:
        """The fleet is about to get these replicas. Failures up to now are the platform's, not the fleet's."""
        if fleet not in self._unserved or not servers:
            return
        self._unserved.discard(fleet)
        if slot is None:
            return
        try:
            found = await self._read_slots([slot])
        except Transient:
            return  # at most a fraction of a second then counts against the fleet
        self._more[slot] = _add(self._more.get(slot), _count_as_platform(found[slot]))

    async def passed(self, fleets: Mapping[str, FleetId]) -> dict[FleetId, PassedRequests]:
        """Counts since the last call; ``fleets`` by slot."""
        if not self._pid:
            self._pid = await self._runtime.pid()
        at = time.monotonic()
        found = await self._read_slots(sorted(fleets), at - self._looked)
        self._looked = at
        whole = {}
        for slot, load in found.items():
            fleet, unserved = fleets[slot], fleets[slot] in self._unserved
            load = replace(_count_as_platform(load), unserved=True) if unserved else load
            whole[fleet] = _add(self._more.pop(slot, None), load)
        self._unserved &= whole.keys()
        self._save(fleets)
        return whole

    async def _read_slots(self, slots: list[str], seconds: float = 0.0) -> dict[str, PassedRequests]:
        async with self._looking:
            process = self._process
            now = await self._runtime.counts(slots, self._read)
            if process != self._process:
                raise Transient("haproxy was reloaded while its counters were read; try again")
            self._read |= now
            before = {slot: self._counted.get(slot, NOTHING) for slot in now}
            after = {slot: count.at_least(before[slot]) for slot, count in now.items()}
            self._unsaved = self._unsaved or any(count is not before[slot] for slot, count in after.items())
            self._counted |= after
            return {slot: count.since(before[slot], seconds) for slot, count in now.items()}

    def _save(self, fleets: Mapping[str, FleetId]) -> None:
        """Write the counts to the file, unless the file has all of them already."""
        place = self._pid, dict(fleets)
        if not self._unsaved and self._saved == place and not self._file.is_behind:
            return
        self._unsaved, self._saved = False, place
        slots = {
            slot: (str(fleet), count.unanswered, count.refused, count.throttled)
            for slot, fleet in fleets.items()
            if (count := self._counted.get(slot)) is not None
        }
        self._file.write(msgspec.json.encode(_SavedCounts(self._pid, slots)))


def _count_as_platform(load: PassedRequests) -> PassedRequests:
    return replace(load, unavailable=load.unavailable + load.unanswered, unanswered=0, refused=0)


def _add(before: PassedRequests | None, load: PassedRequests) -> PassedRequests:
    """Sum of both counts, with the in-flight count of the later one."""
    if before is None:
        return load
    return replace(
        load,
        unanswered=before.unanswered + load.unanswered,
        refused=before.refused + load.refused,
        throttled=before.throttled + load.throttled,
        unavailable=before.unavailable + load.unavailable,
    )
