"""NVIDIA devices of this machine, by the driver's own library (NVML) where it is installed, else by ``/proc``.

Nothing here needs a package: NVML comes with the driver, and is called through ctypes. A machine without a driver has
no devices, and nothing is read or raised. Source of names and structures: NVML's API reference.
"""

import contextlib
import ctypes
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tidegate.domain.devices import Device, DeviceMemory, DeviceReading

LIBRARY = "libnvidia-ml.so.1"
DRIVER = Path("/proc/driver/nvidia/gpus")
_GOOD = 0
_TEXT = 96
"""Bytes of a name or a UUID (NVML_DEVICE_UUID_V2_BUFFER_SIZE)."""

LoadLibrary = Callable[[str], Any]


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def find_devices(load: LoadLibrary = ctypes.CDLL, driver: Path = DRIVER) -> tuple[Device, ...]:
    """Return the devices in the order of their buses, which is NVML's order. A device that is split (MIG) is left
    out: its parts have names of their own and are not assigned."""
    with contextlib.suppress(OSError, AttributeError), _open_library(load) as nvml:
        if nvml is not None:
            return tuple(one for one in map(_describe(nvml), _handles(nvml)) if one is not None)
    return tuple(_list_devices(driver))


def read_devices(names: Sequence[str], load: LoadLibrary = ctypes.CDLL) -> Mapping[str, DeviceReading]:
    """Return the present use of each device; a device that cannot be read is absent."""
    found: dict[str, DeviceReading] = {}
    with contextlib.suppress(OSError, AttributeError), _open_library(load) as nvml:
        for handle in _handles(nvml) if nvml is not None else ():
            memory, busy = _memory(nvml, handle), _Utilization()
            name = _text(nvml.nvmlDeviceGetUUID, handle)
            read = nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(busy)) == _GOOD
            if name in names and read and memory is not None and memory.total:
                found[name] = DeviceReading(float(busy.gpu), 100 * memory.used / memory.total)
    return {name: one for name, one in found.items() if math.isfinite(one.memory)}


def read_memory(names: Sequence[str], load: LoadLibrary = ctypes.CDLL) -> DeviceMemory | None:
    """The memory of all these devices together; None unless it is known of each."""
    found: dict[str, DeviceMemory] = {}
    with contextlib.suppress(OSError, AttributeError), _open_library(load) as nvml:
        for handle in _handles(nvml) if nvml is not None else ():
            memory = _memory(nvml, handle)
            if memory is not None and memory.total:
                found[_text(nvml.nvmlDeviceGetUUID, handle)] = DeviceMemory(int(memory.used), int(memory.total))
    if not names or any(name not in found for name in names):
        return None
    return DeviceMemory(sum(found[name].used for name in names), sum(found[name].total for name in names))


@contextlib.contextmanager
def _open_library(load: LoadLibrary) -> Iterator[Any]:
    """The initialised library, or None if it does not start. Raises OSError where there is none."""
    nvml = load(LIBRARY)
    if nvml.nvmlInit_v2() != _GOOD:
        yield None
        return
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


def _handles(nvml: Any) -> Iterator[Any]:
    count = ctypes.c_uint()
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != _GOOD:
        return
    for number in range(count.value):
        handle = ctypes.c_void_p()
        if nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle)) == _GOOD:
            yield handle


def _describe(nvml: Any) -> Callable[[Any], Device | None]:
    def describe(handle: Any) -> Device | None:
        now, pending = ctypes.c_uint(), ctypes.c_uint()
        split = nvml.nvmlDeviceGetMigMode(handle, ctypes.byref(now), ctypes.byref(pending)) == _GOOD and now.value
        name, memory = _text(nvml.nvmlDeviceGetUUID, handle), _memory(nvml, handle)
        if split or not name:
            return None
        return Device(name, memory.total if memory is not None else 0, _text(nvml.nvmlDeviceGetName, handle))

    return describe


def _memory(nvml: Any, handle: Any) -> _Memory | None:
    found = _Memory()
    return found if nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(found)) == _GOOD else None


def _text(call: Any, handle: Any) -> str:
    text = ctypes.create_string_buffer(_TEXT)
    return text.value.decode("ascii", "replace") if call(handle, text, _TEXT) == _GOOD else ""


def _list_devices(driver: Path) -> Iterator[Device]:
    """The devices that the driver lists. How much memory they have is not known."""
    for file in sorted(driver.glob("*/information")):
        try:
            lines = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
        except OSError:
            continue
        name = lines.get("GPU UUID", "").strip()
        if name.startswith("GPU-") and "?" not in name:
            yield Device(name, 0, lines.get("Model", "").strip())
