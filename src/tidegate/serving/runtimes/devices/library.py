"""The interface of a library that the platform consults before it places a model on a device. No library is imported
here."""

from typing import Protocol


class DeviceLibrary(Protocol):
    """One runtime's library. It sees the devices of the replica only, by ``CUDA_VISIBLE_DEVICES``."""

    several: bool
    """Whether one model uses all devices of the replica, and not the first only."""

    def missing(self) -> str:
        """Return what the library lacks to use a device, such as ``the installed torch has no CUDA``; empty if
        nothing."""
        ...
