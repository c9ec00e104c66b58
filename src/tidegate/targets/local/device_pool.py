"""The devices of this machine as its supervisors share them: assigned when a replica starts, free again when its
process has ended, and known again after a restart from the start file that lies with each replica."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from tidegate.domain.decoding import prepare_type
from tidegate.domain.devices import VARIABLE, Assignments, Device, Holder, check_room, count_asked
from tidegate.domain.fleet import FleetId, FleetSpec

log = logging.getLogger(__name__)


class _Start(msgspec.Struct):
    devices: tuple[str, ...] = ()


@dataclass
class DevicePool:
    """One for all fleets of a machine. ``by_type``: instance types with GPUs ask for as many devices."""

    assigned: Assignments = field(default_factory=lambda: Assignments(()))
    by_type: bool = False
    _waiting: dict[FleetId, Callable[[], None]] = field(default_factory=dict)
    """Fleets whose next replica waits for a device, and how to wake them."""

    @classmethod
    def of(cls, devices: Iterable[Device], *, follows_types: bool) -> "DevicePool":
        """``follows_types``: instance types count, on a machine that has devices. Where there are none a type with
        GPUs is a name, as any other is, so that an endpoint for GPUs can be rehearsed on a laptop."""
        assigned = Assignments(devices)
        return cls(assigned, by_type=follows_types and bool(assigned.devices))

    def count(self, spec: FleetSpec) -> int:
        """Devices of one replica of the fleet."""
        return count_asked(spec.variant, self.by_type)

    def check_room(self, spec: FleetSpec, desired: Iterable[FleetSpec]) -> None:
        """Check that there are devices for a fleet. Raises TargetRefused if its replicas would need devices that
        other fleets' replicas should have."""
        check_room(spec, desired, len(self.assigned.devices), self.by_type)

    def must_wait(self, spec: FleetSpec, kick: Callable[[], None]) -> bool:
        """Whether the fleet's next replica has to wait for the end of others, which have its devices; then ``kick``
        is called when one of them has ended. A machine that has too few at all refuses the start instead."""
        count = self.count(spec)
        waits = len(self.assigned.free) < count <= len(self.assigned.devices)
        if waits and spec.id not in self._waiting:
            has = ", ".join(f"{name}: {holder.replica}" for name, holder in sorted(self.assigned.held.items()))
            log.info("fleet %s: a replica waits for %d of the devices (%s)", spec.id, count, has)
        if waits:
            self._waiting[spec.id] = kick
        else:
            self._waiting.pop(spec.id, None)
        return waits

    def take(self, spec: FleetSpec, replica: str) -> tuple[str, ...]:
        """Assign devices to a replica. Raises TargetRefused, with nothing assigned."""
        return self.assigned.take(Holder(spec.id, replica), self.count(spec))

    def release(self, replica: str) -> None:
        """The replica's process, and all that it started, has ended. Idempotent."""
        if self.assigned.of(replica):
            self.assigned.release(replica)
            self._wake()

    def adopt(self, fleet: FleetId, replica: str, devices: Iterable[str]) -> bool:
        """Note the devices of a running replica. False if another one has some of them."""
        return self.assigned.adopt(Holder(fleet, replica), devices)

    def keeps(self, replica: str, devices: tuple[str, ...]) -> bool:
        """Whether a running replica has to itself what it was started with."""
        return set(self.assigned.of(replica)) == set(devices)

    def forget_fleet(self, fleet: FleetId) -> None:
        """Before its running replicas are adopted: what an earlier supervisor noted may have ended since."""
        self.assigned.release_fleet(fleet)

    def hold(self, process: int, devices: Iterable[str]) -> None:
        """Keep the devices of a process that is being ended and belongs to no fleet; ``release_process`` frees
        them."""
        self.assigned.adopt(Holder(FleetId("ending", 0, "process"), str(process)), devices)

    def release_process(self, process: int) -> None:
        self.release(str(process))

    def _wake(self) -> None:
        """Wake all waiting fleets. Those that still have to wait say so in their next turn."""
        waiting, self._waiting = self._waiting, {}
        for kick in waiting.values():
            kick()


def visible_devices(process: int) -> tuple[str, ...]:
    """The devices that a running process was started with; empty where its environment cannot be read."""
    try:
        given = psutil.Process(process).environ().get(VARIABLE, "")
    except (psutil.Error, OSError):
        return ()
    return tuple(name for name in given.split(",") if name)


def devices_of(folder: Path, process: int) -> tuple[str, ...]:
    """The devices that the running replica of this folder was started with, by its start file; where that cannot be
    read, by its ``process``."""
    try:
        return msgspec.json.decode((folder / "replica.json").read_bytes(), type=prepare_type(_Start)).devices
    except (OSError, msgspec.DecodeError):
        return visible_devices(process)
