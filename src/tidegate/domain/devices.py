"""Accelerators of a machine: what there is, who has which, and when more are asked for than are free. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tidegate.domain.errors import TargetRefused
from tidegate.domain.fleet import FleetId, FleetSpec, VariantSpec
from tidegate.domain.memory_sizes import format_bytes, parse_bytes

VARIABLE = "CUDA_VISIBLE_DEVICES"
"""Environment variable by which CUDA's libraries find the devices that a process may use; empty: none."""
NONE = "none"
"""Value of the setting that says that the machine has no devices for replicas."""
MOST_DEVICES = 16
"""Devices that one replica may ask for: no machine of today has more."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}")
_WHOLE_GPUS = re.compile(
    r"ml\.(?P<family>g4dn|g5|g6|g6e|gr6|p2|p3|p3dn|p4d|p4de|p5|p5e|p5en|p6-b200)\.(?P<size>\w+)"
)
_SEVERAL = {"24xlarge": 4, "48xlarge": 8, "metal": 8}
_BY_FAMILY: dict[str, dict[str, int]] = {
    "p2": {"8xlarge": 8, "16xlarge": 16},
    "p3": {"8xlarge": 4, "16xlarge": 8},
    "p3dn": {"24xlarge": 8},
    **{family: {"24xlarge": 8} for family in ("p4d", "p4de")},
    **{family: {"48xlarge": 8} for family in ("p5", "p5e", "p5en", "p6-b200")},
    **{family: {"12xlarge": 4, **_SEVERAL} for family in ("g4dn", "g5", "g6", "g6e")},
}
"""Sizes with several GPUs; all others have one. Source: AWS's pages of accelerated instance types."""


@dataclass(frozen=True)
class Device:
    """One accelerator. ``name`` is what ``CUDA_VISIBLE_DEVICES`` takes, such as ``GPU-8a56...``; ``memory`` is in
    bytes, 0 if unknown."""

    name: str
    memory: int = 0
    product: str = ""

    def __str__(self) -> str:
        known = [self.product, format_bytes(self.memory) if self.memory else ""]
        return f"{self.name} ({', '.join(filter(None, known))})" if any(known) else self.name


@dataclass(frozen=True)
class DeviceReading:
    """Use of one device. ``busy`` is the percentage of the last moments in which the device computed; ``memory`` is
    the percentage of its memory that is used."""

    busy: float
    memory: float


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of one device, or of several together, in bytes."""

    used: int
    total: int


@dataclass(frozen=True)
class Holder:
    """The replica that a device is assigned to."""

    fleet: FleetId
    replica: str


def parse_devices(text: str) -> tuple[Device, ...]:
    """Devices of ``NAME=MEMORY[,...]``, or of ``none``. Raises ValueError."""
    if text.strip() == NONE:
        return ()
    found: dict[str, Device] = {}
    for part in (part.strip() for part in text.split(",") if part.strip()):
        name, equals, memory = part.partition("=")
        if not (equals and _NAME.fullmatch(name)):
            raise ValueError("expected NAME=MEMORY[,NAME=MEMORY...], such as gpu0=24GiB, or none")
        if name in found:
            raise ValueError(f"{name} is named twice")
        found[name] = Device(name, parse_bytes(memory))
    if not found:
        raise ValueError("expected NAME=MEMORY[,NAME=MEMORY...], such as gpu0=24GiB, or none")
    return tuple(found.values())


def select_visible(devices: Iterable[Device], visible: str | None) -> tuple[Device, ...]:
    """Return the devices that the server's own ``CUDA_VISIBLE_DEVICES`` leaves. ``devices`` are in the order of their
    buses; ``visible`` None means all of them. As CUDA does, stop at the first word that names no device."""
    known = list(devices)
    if visible is None:
        return tuple(known)
    chosen: list[Device] = []
    for word in (word.strip() for word in visible.split(",")):
        alike = [one for one in known if word.startswith("GPU-") and one.name.startswith(word)]
        if word.isdecimal() and int(word) < len(known):
            alike = [known[int(word)]]
        if len(alike) != 1 or alike[0] in chosen:
            break
        chosen.append(alike[0])
    return tuple(chosen)


def count_of_type(instance_type: str) -> int:
    """GPUs of an instance type of SageMaker's; 0 for one that has none or that is not known to have some."""
    found = _WHOLE_GPUS.fullmatch(instance_type)
    return _BY_FAMILY.get(found["family"], {}).get(found["size"], 1) if found is not None else 0


def count_asked(variant: VariantSpec, by_type: bool) -> int:
    """Devices of one replica. ``by_type``: an instance type with GPUs asks for as many, where the variant itself says
    nothing."""
    return variant.devices or (count_of_type(variant.instance_type) if by_type else 0)


def check_room(fleet: FleetSpec, desired: Iterable[FleetSpec], there: int, by_type: bool) -> None:
    """Whether the machine has the devices for a fleet's replicas beside those of the other ``desired`` fleets. Raises
    TargetRefused. A fleet that does not grow is never refused."""
    each = count_asked(fleet.variant, by_type)
    if not each:
        return
    others = {one.id: one for one in desired}
    before = others.pop(fleet.id, None)
    if fleet.count <= (before.count if before is not None else 0):
        return
    used = {id: one.count * count for id, one in others.items() if (count := count_asked(one.variant, by_type))}
    wanted, free = each * fleet.count, there - sum(used.values())
    if wanted > free:
        raise TargetRefused(
            f"fleet {fleet.id} asks for {_count(wanted)}, {max(0, free)} of {there} are free"
            f"{_by(used)}: ask for fewer, or end what has them"
        )


def _by(used: Mapping[FleetId, int]) -> str:
    shown = sorted((id, count) for id, count in used.items() if count)
    return "" if not shown else " (" + ", ".join(f"{id} has {count}" for id, count in shown) + ")"


def _count(number: int) -> str:
    return "1 device" if number == 1 else f"{number} devices"


class Assignments:
    """Which replica has which device: no device has two, and a replica has all that it asked for or none."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self.devices = tuple(devices)
        self._held: dict[str, Holder] = {}

    @property
    def free(self) -> tuple[str, ...]:
        """Names, in the machine's order."""
        return tuple(one.name for one in self.devices if one.name not in self._held)

    @property
    def held(self) -> Mapping[str, Holder]:
        """Also of devices that the machine no longer has."""
        return dict(self._held)

    def of(self, replica: str) -> tuple[str, ...]:
        return tuple(name for name, holder in self._held.items() if holder.replica == replica)

    def take(self, holder: Holder, count: int) -> tuple[str, ...]:
        """Assign devices to a replica that is to start. Raises TargetRefused, with nothing assigned."""
        if not count:
            return ()
        free = self.free
        if count > len(free):
            used: dict[FleetId, int] = {}
            for other in self._held.values():
                used[other.fleet] = used.get(other.fleet, 0) + 1
            raise TargetRefused(
                f"replica {holder.replica} of {holder.fleet} asks for {_count(count)}, {len(free)} of"
                f" {len(self.devices)} are free{_by(used)}"
            )
        for name in free[:count]:
            self._held[name] = holder
        return free[:count]

    def adopt(self, holder: Holder, names: Iterable[str]) -> bool:
        """Note what a running replica has. False if another one has some of it; the rest is not free either while
        this one runs."""
        there = [self._held.setdefault(name, holder) for name in names]
        return all(one == holder for one in there)

    def release(self, replica: str) -> None:
        """A replica has ended. Idempotent."""
        self._held = {name: holder for name, holder in self._held.items() if holder.replica != replica}

    def release_fleet(self, fleet: FleetId) -> None:
        """Forget what a fleet's replicas have, before those that run are adopted."""
        self._held = {name: holder for name, holder in self._held.items() if holder.fleet != fleet}
