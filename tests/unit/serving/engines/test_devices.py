"""A replica that was given devices and would not use them fails, and says so."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, Done, Outcome
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec, Serving
from tidegate.serving.engines.device_users import find_device_users, watch_device
from tidegate.serving.formats.row_decoder import Features
from tidegate.serving.runtimes import choose, device_library
from tidegate.serving.runtimes.program import environment
from tidegate.serving.runtimes.tabular_scorer import TabularScorer
from tidegate.serving.scoring.batching import Batcher


def replica(folder: Path, *kinds: RuntimeKind, needs: bool = True) -> ReplicaSpec:
    containers = tuple(ContainerSpec(runtime=RuntimeChoice(kind), model_dir=str(folder)) for kind in kinds)
    return ReplicaSpec(
        replica="r-1",
        fleet=FleetId("fraud", 1, "main"),
        config_name="c",
        containers=containers,
        socket="/x",
        devices=("fake0",),
        needs_device=needs,
    )


class Library:
    """A runtime's library: without a device if ``lacks`` says what is missing."""

    def __init__(self, lacks: str = "", several: bool = False) -> None:
        self.lacks, self.several = lacks, several

    def missing(self) -> str:
        return self.lacks


@pytest.mark.parametrize("kind", [RuntimeKind.LIGHTGBM, RuntimeKind.SHAP, RuntimeKind.MLFLOW])
def test_a_runtime_on_processors_refuses_a_device(tmp_path: Path, kind: RuntimeKind) -> None:
    said = f"the replica has fake0, and the runtime {kind} runs on processors alone: leave out devices, or serve"
    with pytest.raises(Invalid, match=said):
        find_device_users(replica(tmp_path, kind))
    assert find_device_users(replica(tmp_path, kind, needs=False)) == [None]  # it came with the instance type


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        (RuntimeKind.ONNX, "the installed onnxruntime has no CUDAExecutionProvider"),
        (RuntimeKind.XGBOOST, "the installed xgboost has no CUDA"),
        (RuntimeKind.SAGEMAKER_XGBOOST, "the installed xgboost has no CUDA"),
        (RuntimeKind.PYTORCH, "the installed torch "),
        (RuntimeKind.GGUF, "the installed xllamacpp finds no GPU"),
    ],
)
def test_a_library_that_cannot_use_a_device_is_named(tmp_path: Path, kind: RuntimeKind, lacks: str) -> None:
    if not device_library(choose(kind, tmp_path, {})).missing():
        pytest.skip(f"the {kind} library that is installed here can use a device of this machine")
    with pytest.raises(Invalid, match=f"the replica has fake0, and {lacks}.*: leave out devices, or serve"):
        find_device_users(replica(tmp_path, kind))


def test_a_runtime_that_can_use_a_device_does(tmp_path: Path) -> None:
    [placement] = find_device_users(replica(tmp_path, RuntimeKind.ONNX), lambda kind: Library())
    assert placement is not None and placement.names == ("fake0",)
    assert find_device_users(replica(tmp_path, RuntimeKind.ONNX, needs=False), lambda kind: Library()) == [None]


def test_devices_that_one_model_leaves_idle_are_refused(tmp_path: Path) -> None:
    two = dataclasses.replace(replica(tmp_path, RuntimeKind.PYTORCH), devices=("fake0", "fake1"))
    with pytest.raises(Invalid, match="the runtime pytorch uses one device, not 2"):
        find_device_users(two, lambda kind: Library())
    [placement] = find_device_users(two, lambda kind: Library(several=True))
    assert placement is not None and placement.names == ("fake0", "fake1")


def test_many_models_in_one_worker_take_no_device(tmp_path: Path) -> None:
    many = dataclasses.replace(replica(tmp_path, RuntimeKind.ONNX), serving=Serving.MULTI_MODEL)
    with pytest.raises(Invalid, match="runs on processors alone"):
        find_device_users(many, lambda kind: Library())


def test_the_model_data_may_choose_what_runs(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(Invalid, match="there is none"):
        find_device_users(replica(tmp_path, RuntimeKind.AUTO), lambda kind: Library("there is none"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").touch()
    assert find_device_users(replica(tmp_path, RuntimeKind.AUTO)) == [None]  # the script finds it by itself


def test_one_container_that_uses_them_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = replica(tmp_path, RuntimeKind.ONNX, RuntimeKind.PROGRAM)
    assert find_device_users(both, lambda kind: Library("it has no CUDA")) == [None, None]
    assert capsys.readouterr().out == "a container does not use fake0: it has no CUDA\n"
    first, second = find_device_users(both, lambda kind: Library())
    assert first is not None and second is None


class Engine:
    healthy = True
    closed = False

    def submit(self, call: Call, done: Done) -> None:
        done(Answer(call.body, "text/plain"))

    async def close(self) -> None:
        self.closed = True


async def test_an_engine_is_unhealthy_once_its_device_is_lost(tmp_path: Path) -> None:
    [placement] = find_device_users(replica(tmp_path, RuntimeKind.ONNX), lambda kind: Library())
    assert placement is not None
    inner = Engine()
    got: list[Outcome] = []
    engine = watch_device(inner, placement)
    assert engine.healthy
    engine.submit(Call(b"x", {}), got.append)
    assert got == [Answer(b"x", "text/plain")]
    inner.healthy = False
    assert not engine.healthy
    inner.healthy, placement.lost = True, True
    assert not engine.healthy
    await engine.close()
    assert inner.closed


async def test_a_batcher_stays_one_for_pipelines(tmp_path: Path) -> None:
    [placement] = find_device_users(replica(tmp_path, RuntimeKind.ONNX), lambda kind: Library())
    assert placement is not None
    batcher: Batcher[Any, Any] = Batcher(
        TabularScorer(lambda rows: rows, Features(1), None), asyncio.get_running_loop()
    )
    engine = watch_device(batcher, placement)
    assert engine is batcher and engine.healthy
    placement.lost = True
    assert not engine.healthy
    await engine.close()


def test_a_program_sees_what_was_assigned_whatever_its_model_says(tmp_path: Path) -> None:
    [container] = replica(tmp_path, RuntimeKind.PROGRAM).containers
    container.environment["CUDA_VISIBLE_DEVICES"] = "0,1"
    container.runtime.environment["CUDA_VISIBLE_DEVICES"] = "0,1"
    for assigned in ("fake0", ""):
        found = environment(container, 1, tmp_path / "x.sock", {"CUDA_VISIBLE_DEVICES": assigned})
        assert found["CUDA_VISIBLE_DEVICES"] == assigned
    assert environment(container, 1, tmp_path / "x.sock", {})["CUDA_VISIBLE_DEVICES"] == "0,1"
