"""Models of the built-in runtimes on a fake device: the processor under another name. No GPU was used."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import xgboost
from onnx import TensorProto, helper

from tests import tiny_language_model
from tests.unit.serving.runtimes.devices.fake_device import FakeMemory, place
from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.device import DeviceLost, DeviceOutOfMemory
from tidegate.serving.contract.invocation import Answer, Call
from tidegate.serving.formats.tensors import Tensors
from tidegate.serving.runtimes import gguf, pytorch
from tidegate.serving.runtimes import onnx as onnx_runtime
from tidegate.serving.runtimes import xgboost as xgboost_runtime
from tidegate.serving.runtimes.devices.gguf import GgufOnDevice
from tidegate.serving.runtimes.devices.onnx import OnnxOnDevice
from tidegate.serving.runtimes.devices.pytorch import PyTorchOnDevice
from tidegate.serving.runtimes.devices.xgboost import XGBoostOnDevice
from tidegate.serving.runtimes.tabular_scorer import TabularScorer

TRUST = {"TIDEGATE_TRUST": "pickle"}
ROWS = np.array([[1, 2, 3], [0.5, -1, 2]], np.float32)


def network(folder: Path) -> Path:
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    torch.jit.script(model).save(folder / "model.pt")
    return folder


class Images(torch.nn.Module):  # type: ignore[misc]
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


class FailingDevice(PyTorchOnDevice):
    """The processor, until ``broken`` is set."""

    broken = ""

    def forward(self, read: Any, guard: Any) -> Any:
        inner = super().forward(read, lambda run: run)

        def run(*given: Any) -> Any:
            if self.broken:
                raise RuntimeError(self.broken)
            if len(given[0]) > 64:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return inner(*given)

        return guard(run)


# --- PyTorch ---


def test_a_table_model_of_pytorch_answers_on_a_device_as_on_the_processor(tmp_path: Path) -> None:
    placement = place(PyTorchOnDevice("cpu"), FakeMemory(step=10, total=10**6))
    placed, plain = pytorch.load(network(tmp_path), {}, placement), pytorch.load(tmp_path, {})
    assert isinstance(placed, TabularScorer) and isinstance(plain, TabularScorer) and placed.batches
    assert np.array_equal(placed.run(ROWS), plain.run(ROWS))
    assert placement.report.difference == 0 and placement.report.tolerance == 1e-4
    assert placement.rows is not None and placement.rows > 1
    assert placement.report.memory is not None and placement.report.memory > 0


def test_a_model_that_the_device_cannot_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"fails on the device, and not on the processor: .*meta tensor"):
        pytorch.load(network(tmp_path), {}, place(PyTorchOnDevice("meta")))


def test_a_model_that_is_another_one_on_the_device_is_refused(tmp_path: Path) -> None:
    class Inexact(PyTorchOnDevice):
        def forward(self, read: Any, guard: Any) -> Any:
            inner = super().forward(read, guard)
            return lambda rows: inner(rows) * 1.01

    with pytest.raises(ArtifactError, match=r"answers otherwise on the device .* by up to 1\.0e-02 of an answer"):
        pytorch.load(network(tmp_path), {}, place(Inexact("cpu")))


def test_memory_and_loss_of_a_device_at_run_time(tmp_path: Path) -> None:
    device = FailingDevice("cpu")
    placement = place(device)
    table = pytorch.load(network(tmp_path), {}, placement)
    assert isinstance(table, TabularScorer) and placement.rows is not None and placement.rows <= 64
    with pytest.raises(DeviceOutOfMemory):
        table.run(np.zeros((65, 3), np.float32))
    assert table.run(ROWS).shape == (2, 2) and not placement.lost
    device.broken = "CUDA error: an illegal memory access was encountered"
    with pytest.raises(DeviceLost):
        table.run(ROWS)
    device.broken = ""
    with pytest.raises(DeviceLost):
        table.run(ROWS)


def test_the_weights_type_decides_the_tolerance() -> None:
    half = torch.nn.Linear(3, 2).to(torch.bfloat16)
    assert PyTorchOnDevice.computes_with(torch.nn.Sequential(torch.nn.Linear(3, 3), half)) == "bfloat16"
    assert PyTorchOnDevice.computes_with(torch.nn.Linear(3, 2).double()) == "float64"
    assert PyTorchOnDevice.computes_with(torch.nn.ReLU()) == ""


def test_an_exported_program_answers_on_a_device(tmp_path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(torch.nn.Linear(3, 2).eval(), (torch.zeros(2, 3),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "model.pt2")
    placed = pytorch.load(tmp_path, TRUST, place(PyTorchOnDevice("cpu")))
    plain = pytorch.load(tmp_path, TRUST)
    assert isinstance(placed, TabularScorer) and isinstance(plain, TabularScorer)
    assert np.array_equal(placed.run(ROWS), plain.run(ROWS))
    with pytest.raises(ArtifactError, match="fails on the device, and not on the processor"):
        pytorch.load(tmp_path, TRUST, place(PyTorchOnDevice("meta")))


def test_a_model_of_tensors_is_checked_by_an_example_in_the_model_data(tmp_path: Path) -> None:
    torch.jit.script(Images()).save(tmp_path / "model.pt")
    with pytest.raises(ArtifactError, match=r"put one into the model data as probe\.npz"):
        pytorch.load(tmp_path, {}, place(PyTorchOnDevice("cpu")))
    np.savez(tmp_path / "probe.npz", pictures=np.ones((1, 3, 4, 4), np.float32))
    with pytest.raises(ArtifactError, match="an array for each input of the model: images"):
        pytorch.load(tmp_path, {}, place(PyTorchOnDevice("cpu")))
    (tmp_path / "probe.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(ArtifactError, match=r"probe\.npz is not a file of numpy's arrays"):
        pytorch.load(tmp_path, {}, place(PyTorchOnDevice("cpu")))
    np.savez(tmp_path / "probe.npz", images=np.ones((1, 3, 4, 4), np.float32))
    placement = place(PyTorchOnDevice("cpu"))
    model = pytorch.load(tmp_path, {}, placement)
    assert isinstance(model, Tensors) and placement.rows is None  # its requests are not scored together
    answer = model.answer(Call(b"[[[[1.0, 3.0]]]]", {b"content-type": b"application/json"}))
    assert isinstance(answer, Answer) and b"2.0" in answer.body


# --- ONNX Runtime ---


def onnx_model(folder: Path) -> Path:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [3, 2], [1, 2, 3, 4, 5, 6])
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [value("x", TensorProto.FLOAT, [None, 3])],
        [value("y", TensorProto.FLOAT, [None, 2])],
        [weights],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "m.onnx"
    )
    return folder


def test_an_onnx_model_answers_on_a_device_as_on_the_processor(tmp_path: Path) -> None:
    placement = place(OnnxOnDevice("CPUExecutionProvider"))
    placed = onnx_runtime.load(onnx_model(tmp_path), {}, placement)
    assert np.array_equal(placed.run(ROWS), onnx_runtime.load(tmp_path, {}).run(ROWS))
    assert placed.batches and placement.rows is not None and placement.report.difference == 0


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="onnxruntime did not start NoExecutionProvider and would run"):
        onnx_runtime.load(onnx_model(tmp_path), {}, place(OnnxOnDevice("NoExecutionProvider")))


def test_a_model_of_which_nothing_runs_on_the_device_is_refused(tmp_path: Path) -> None:
    # A provider that is there, and has no code for the operator: the session lists it, and runs the model elsewhere.
    with pytest.raises(ArtifactError, match="onnxruntime has no code of AzureExecutionProvider for any operator"):
        onnx_runtime.load(onnx_model(tmp_path), {}, place(OnnxOnDevice("AzureExecutionProvider")))


# --- XGBoost ---


def trees(folder: Path, booster: str = "gbtree") -> Path:
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 3)).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    labels = np.nan_to_num(rows)[:, 0] > 0
    settings = {"objective": "binary:logistic", "booster": booster, "nthread": 1}
    xgboost.train(settings, xgboost.DMatrix(rows, labels), 8).save_model(folder / "model.ubj")
    return folder


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_an_xgboost_model_answers_on_a_device_as_on_the_processor(tmp_path: Path, booster: str) -> None:
    placement = place(XGBoostOnDevice("cpu"))
    placed = xgboost_runtime.load(trees(tmp_path, booster), {}, placement)
    plain = xgboost_runtime.load(tmp_path, {})
    rows = np.array([[0.1, np.nan, 2], [-3, 0, 1]], np.float32)
    assert np.allclose(placed.run(rows), plain.run(rows), rtol=1e-6)
    assert placement.report.difference <= 1e-4 and placement.rows is not None


@pytest.mark.filterwarnings("ignore:.*Device is changed")
def test_xgboost_that_falls_back_to_the_processor_is_refused(tmp_path: Path) -> None:
    if not XGBoostOnDevice().missing():
        pytest.skip("the xgboost that is installed here has CUDA")
    with pytest.raises(ArtifactError, match="XGBoost put the model on cpu, not on cuda"):
        xgboost_runtime.load(trees(tmp_path), {}, place(XGBoostOnDevice("cuda")))


def test_a_linear_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"gblinear.* runs on processors alone"):
        xgboost_runtime.load(trees(tmp_path, "gblinear"), {}, place(XGBoostOnDevice("cpu")))


# --- llama.cpp ---


class Gpu(GgufOnDevice):
    """The processor, whose memory shrinks by ``takes`` with each look."""

    takes, left = 5, 100

    def free_memory(self) -> int:
        self.left -= self.takes
        return self.left


class OtherGpu(Gpu):
    """Where other tokens are expected than on the processor, which is asked for fewer of them."""

    @staticmethod
    def expect_tokens(server: Any, listed: int = 8) -> Any:
        found = GgufOnDevice.expect_tokens(server, listed)
        return found if listed == 8 else [{token + 1: part for token, part in one.items()} for one in found]


def test_a_language_model_expects_the_same_tokens_on_a_device(tmp_path: Path) -> None:
    tiny_language_model.write(tmp_path / "tiny.gguf")
    device = Gpu(kinds=("CPU",))
    assert device.missing() == "" and GgufOnDevice(kinds=("CPU",)).free_memory() > 0
    placement = place(device)
    model = gguf.load(tmp_path, {"GGUF_SLOTS": "1"}, placement)
    assert placement.report.difference < 1e-4 and placement.report.tolerance == 0.05
    assert isinstance(model.answer(Call(b'{"prompt": "a", "max_tokens": 1}', {})), Answer)
    with pytest.raises(ArtifactError, match="expects other tokens on the device than on the processor, by up to"):
        gguf.load(tmp_path, {"GGUF_SLOTS": "1"}, place(OtherGpu(kinds=("CPU",))))
    device.takes = 0
    with pytest.raises(ArtifactError, match="put nothing of the model on the devices"):
        gguf.load(tmp_path, {"GGUF_SLOTS": "1"}, place(device))
