"""Placements on a device that is none: the processor under another name."""

from collections.abc import Sequence

from tidegate.domain.devices import DeviceMemory
from tidegate.serving.runtimes.devices.library import DeviceLibrary
from tidegate.serving.runtimes.devices.placement import Placement


class NoLibrary:
    """For what needs no library at all."""

    several = False

    def missing(self) -> str:
        return ""


class FakeMemory:
    """What the driver says of a device's memory: ``used`` rises with each look by ``step``."""

    def __init__(self, used: int = 0, total: int = 1000, step: int = 0) -> None:
        self.used, self.total, self.step = used, total, step

    def read(self, names: Sequence[str]) -> DeviceMemory | None:
        self.used += self.step
        return DeviceMemory(self.used, self.total)


def unknown_memory(names: Sequence[str]) -> DeviceMemory | None:
    return None


def place(library: DeviceLibrary | None = None, memory: FakeMemory | None = None) -> Placement:
    made = Placement(("fake0",), library or NoLibrary(), memory.read if memory is not None else unknown_memory)
    made.begin()
    return made
