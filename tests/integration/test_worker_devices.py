"""A worker with a model on a pretended device: what it reports, and what happens when the device is lost."""

import asyncio
import time
from pathlib import Path

import msgspec
import onnx
import pytest
from onnx import TensorProto, helper

from tests.worker_process import PATIENCE, RunningWorker, Workers, csv, workers
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import FAILED

__all__ = ["workers"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [value("x", TensorProto.FLOAT, [None, 3])],
        [value("y", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor("w", TensorProto.FLOAT, [3, 1], [1, 2, 3])],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


async def read_series(worker: RunningWorker) -> dict[str, dict[str, float]]:
    """Once the second of the start is over: it is not shown before."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        page = msgspec.json.decode((await worker.ask("/_tidegate/stats")).body)
        if found := {one["name"]: one["spread"] for second in page["seconds"] for one in second["series"]}:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("the worker reports nothing of its start")


def test_a_worker_on_a_device_serves_reports_and_ends_when_it_is_lost(workers: Workers, model: Path) -> None:
    workers.module = "tests.integration.pretended_device_worker"
    worker = workers.start(RuntimeChoice(RuntimeKind.ONNX), model, devices=("fake0",), needs_device=True)

    async def main() -> None:
        await worker.ready()
        assert "on fake0: differs from the processor by at most 0.0e+00 (allowed: 1e-04), at most" in worker.log
        text = {"content-type": "text/csv"}
        assert (await worker.ask(body=csv(1, 1, 1), headers=text)).body.strip() == b"6.0"
        series = await read_series(worker)
        assert series["DeviceBatchRows"]["count"] == 1 and series["DeviceBatchRows"]["low"] >= 1
        assert "DeviceModelMemory" not in series  # nothing knows the memory of a fake
        (worker.folder / "lost").touch()
        answer = await worker.ask(body=csv(1, 1, 1), headers=text)
        assert answer.status >= 400 and b"The device is lost" in answer.body

    workers.run(main())
    assert worker.wait() == FAILED
    assert worker.failure.code == "DeviceLost" and not worker.failure.permanent
    assert worker.failure.message.startswith("The device fake0 is lost: RuntimeError: CUDA failure 719")


def test_a_worker_whose_library_has_no_device_says_so(workers: Workers, model: Path) -> None:
    worker = workers.start(RuntimeChoice(RuntimeKind.ONNX), model, devices=("fake0",), needs_device=True)
    assert worker.wait() == FAILED
    assert worker.failure.permanent
    assert worker.failure.message == (
        "the replica has fake0, and the installed onnxruntime has no CUDAExecutionProvider: leave out devices, or"
        " serve the model by one of script, python, program, container"
    )
