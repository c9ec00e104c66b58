"""NVIDIA devices, through a fake of the driver's library: no GPU is needed, and none was used."""

import ctypes
from pathlib import Path
from typing import Any

from tidegate.domain.devices import Device, DeviceMemory, DeviceReading
from tidegate.host import nvidia

GIB = 2**30


class FakeNvml:
    """Fake of libnvidia-ml: ``cards`` are (UUID, bytes of memory, used bytes, percent busy, split)."""

    def __init__(self, *cards: tuple[str, int, int, int, bool], starts: int = 0) -> None:
        self.cards, self.starts, self.open = cards, starts, 0

    def nvmlInit_v2(self) -> int:
        self.open += self.starts == 0
        return self.starts

    def nvmlShutdown(self) -> int:
        self.open -= 1
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = len(self.cards)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number: int, handle: Any) -> int:
        handle._obj.value = number + 1
        return 0

    def nvmlDeviceGetUUID(self, handle: Any, text: Any, size: int) -> int:
        text.value = self.cards[handle.value - 1][0].encode()
        return 0 if len(text.value) < size else 7

    def nvmlDeviceGetName(self, handle: Any, text: Any, size: int) -> int:
        text.value = b"Fake GPU"
        return 0

    def nvmlDeviceGetMigMode(self, handle: Any, now: Any, pending: Any) -> int:
        now._obj.value = int(self.cards[handle.value - 1][4])
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: Any, found: Any) -> int:
        found._obj.total, found._obj.used = self.cards[handle.value - 1][1:3]
        return 0 if found._obj.total else 3

    def nvmlDeviceGetUtilizationRates(self, handle: Any, found: Any) -> int:
        found._obj.gpu = self.cards[handle.value - 1][3]
        return 0


def absent(name: str) -> Any:
    raise OSError(f"{name}: cannot open shared object file")


def test_devices_are_found_by_the_drivers_library(tmp_path: Path) -> None:
    fake = FakeNvml(
        ("GPU-a", 24 * GIB, 0, 0, False), ("GPU-split", 80 * GIB, 0, 0, True), ("GPU-b", 0, 0, 0, False)
    )
    found = nvidia.find_devices(lambda name: fake, tmp_path)
    assert found == (Device("GPU-a", 24 * GIB, "Fake GPU"), Device("GPU-b", 0, "Fake GPU"))
    assert fake.open == 0


def test_without_the_library_devices_are_those_that_the_driver_lists(tmp_path: Path) -> None:
    for bus, uuid in (("0000:01:00.0", "GPU-a"), ("0000:02:00.0", "GPU-b"), ("0000:03:00.0", "GPU-????????")):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text(f"Model: \t NVIDIA X\nIRQ: 1\nGPU UUID: \t {uuid}\nBus: a:b\n")
    expected = (Device("GPU-a", 0, "NVIDIA X"), Device("GPU-b", 0, "NVIDIA X"))
    assert nvidia.find_devices(absent, tmp_path) == expected
    assert nvidia.find_devices(lambda name: FakeNvml(starts=9), tmp_path) == expected
    assert nvidia.find_devices(lambda name: object(), tmp_path) == expected


def test_a_machine_without_a_driver_has_no_devices(tmp_path: Path) -> None:
    assert nvidia.find_devices(absent, tmp_path / "none") == ()
    assert nvidia.read_devices(["GPU-a"], absent) == {}


def test_what_devices_do_is_read_in_percent() -> None:
    fake = FakeNvml(
        ("GPU-a", 20 * GIB, 5 * GIB, 40, False), ("GPU-b", 0, 0, 10, False), ("GPU-c", GIB, 0, 9, False)
    )
    assert nvidia.read_devices(["GPU-a", "GPU-b"], lambda name: fake) == {"GPU-a": DeviceReading(40.0, 25.0)}
    assert fake.open == 0


def test_a_uuid_fits_the_text_that_is_read() -> None:
    uuid = "GPU-" + "a" * 36
    fake = FakeNvml((uuid, GIB, 0, 0, False))
    assert nvidia.find_devices(lambda name: fake)[0].name == uuid
    assert ctypes.sizeof(nvidia._Memory) == 24


def test_the_memory_of_several_devices_is_added_up() -> None:
    fake = FakeNvml(("GPU-a", 24 * GIB, 2 * GIB, 0, False), ("GPU-b", 16 * GIB, GIB, 0, False))
    assert nvidia.read_memory(["GPU-a"], lambda name: fake) == DeviceMemory(2 * GIB, 24 * GIB)
    assert nvidia.read_memory(["GPU-a", "GPU-b"], lambda name: fake) == DeviceMemory(3 * GIB, 40 * GIB)
    assert fake.open == 0


def test_memory_is_not_known_unless_it_is_of_each_device() -> None:
    fake = FakeNvml(("GPU-a", 24 * GIB, 2 * GIB, 0, False), ("GPU-b", 0, 0, 0, False))
    for names in ([], ["GPU-b"], ["GPU-a", "GPU-b"], ["GPU-a", "fake0"]):
        assert nvidia.read_memory(names, lambda name: fake) is None
    assert nvidia.read_memory(["GPU-a"], absent) is None
    assert nvidia.read_memory(["GPU-a"], lambda name: FakeNvml(starts=9)) is None
