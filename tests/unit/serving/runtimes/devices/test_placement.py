"""Calls on a device: whose error it is, when the device is lost, and what is reported of its memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.unit.serving.runtimes.devices.fake_device import FakeMemory, place
from tidegate.serving.contract.device import DeviceLost, DeviceOutOfMemory
from tidegate.serving.contract.invocation import Note
from tidegate.serving.runtimes.devices.placement import Placement
from tidegate.serving.runtimes.row_probes import matrix_pool


class Device:
    """Adds up rows; ``broken`` raises for every call, a row that begins with 13 is refused by the model."""

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.room = 10**6
        self.calls = 0

    def run(self, rows: Any) -> Any:
        self.calls += 1
        if self.broken is not None:
            raise self.broken
        if len(rows) > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        if len(rows) and rows[0, 0] == 13:
            raise ValueError("CUDA error: says the model, which was given it by a client")
        rows += 1  # the caller's rows may be the model's to change
        return rows.sum(axis=1)


def rows(count: int = 1, value: float = 0) -> Any:
    return np.full((count, 3), value, np.float32)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def placement() -> Placement:
    return place()


@pytest.fixture
def run(device: Device, placement: Placement) -> Callable[[Any], Any]:
    return placement.guard(device.run)


def test_a_request_without_memory_fails_alone(device: Device, placement: Placement, run: Any) -> None:
    assert run(rows()) == [3]
    device.room = 8
    with pytest.raises(DeviceOutOfMemory, match=r"no memory for this request .*out of memory") as caught:
        run(rows(9))
    assert caught.value.status == 500
    assert run(rows(8)).tolist() == [3] * 8
    assert not placement.lost


def test_an_error_of_the_model_stays_one(placement: Placement, run: Any) -> None:
    run(rows())
    with pytest.raises(ValueError, match="which was given it by a client"):
        run(rows(1, 13))
    assert not placement.lost  # a client must not be able to take an instance out of service
    assert run(rows()) == [3]


def test_a_device_that_fails_at_what_it_answered_before_is_lost(
    device: Device, placement: Placement, run: Any
) -> None:
    told: list[str] = []
    placement.on_lost = told.append
    run(rows())
    device.broken = RuntimeError("CUDA error: unspecified launch failure")
    for _ in range(2):
        with pytest.raises(DeviceLost):
            run(rows())
    assert placement.lost and told == ["The device fake0 is lost: RuntimeError: " + str(device.broken)]
    device.broken, before = None, device.calls
    with pytest.raises(DeviceLost):  # what a lost device may say later is not believed
        run(rows())
    assert device.calls == before


def test_a_device_without_any_memory_left_is_not_lost(device: Device, placement: Placement, run: Any) -> None:
    run(rows())
    device.broken = RuntimeError("CUDA failure 2: out of memory")
    with pytest.raises(DeviceOutOfMemory):
        run(rows())
    assert not placement.lost


def test_the_first_error_of_all_is_that_of_the_library(device: Device, placement: Placement, run: Any) -> None:
    device.broken = RuntimeError("no kernel image is available")
    with pytest.raises(RuntimeError, match="no kernel image"):
        run(rows())
    assert not placement.lost


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.6 GiB",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA failure 2: out of memory ; GPU=0",
        "[12:00:00] xgboost/common/device_helpers.cu: Memory allocation error on worker 0: cudaErrorMemoryAllocation",
        "Available memory of 1024 is smaller than requested bytes of 4096",
    ],
)
def test_what_the_libraries_say_of_memory_is_understood(device: Device, run: Any, text: str) -> None:
    device.broken = RuntimeError(text)
    with pytest.raises(DeviceOutOfMemory):
        run(rows())


def test_memory_and_rows_are_reported() -> None:
    memory = FakeMemory(used=100, total=1000)
    placement = place(memory=memory)
    run = placement.guard(lambda rows: rows.sum(axis=1))
    memory.used = 350
    placement.compare_rows(lambda rows: rows.sum(axis=1), run, matrix_pool(3))
    found = placement.find_rows({"MAX_BATCH_ROWS": "4"})
    placement.settle(batches=True)
    assert found <= 4 and placement.rows == found
    assert placement.report.notes() == [Note("DeviceModelMemory", 250), Note("DeviceBatchRows", found)]
    assert "took 250" in str(placement.report) and f"at most {found} rows a call" in str(placement.report)
    placement.settle(batches=False)
    assert placement.rows is None  # the model's rows turned out to influence each other


def test_rows_leave_memory_to_spare() -> None:
    memory = FakeMemory(total=1000)
    placement = place(memory=memory)
    placement.compare_rows(lambda rows: rows.sum(axis=1), lambda rows: rows.sum(axis=1), matrix_pool(3))
    memory.used = 950
    assert placement.find_rows({}) == 1


def test_memory_that_is_not_known_is_not_reported_as_none() -> None:
    placement = place()
    placement.note_difference(0.0, 1e-4)
    assert placement.report.notes() == [] and "its memory there is not known" in str(placement.report)


def test_a_device_that_is_lost_while_the_model_loads_fails_the_load(placement: Placement) -> None:
    placement.note_difference(0.0, 1e-4)
    placement.lost = True
    with pytest.raises(DeviceLost):
        placement.settle(batches=True)


def test_a_second_model_of_the_replica_has_its_own_memory() -> None:
    memory = FakeMemory(used=100)
    first, second = place(memory=memory), place(memory=memory)
    memory.used = 300
    first.note_difference(0.0, 0.0)
    second.begin()
    memory.used = 350
    second.note_difference(0.0, 0.0)
    assert (first.report.memory, second.report.memory) == (200, 50)
