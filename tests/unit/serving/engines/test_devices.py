"""A replica that was given devices and would not use them fails, and says so."""

from pathlib import Path

import pytest

from tidegate.domain.errors import Invalid
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.engines.assembly import check_devices
from tidegate.serving.runtimes.program import environment


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


@pytest.mark.parametrize("kind", [RuntimeKind.ONNX, RuntimeKind.XGBOOST, RuntimeKind.PYTORCH, RuntimeKind.GGUF])
def test_a_runtime_on_processors_refuses_a_device(tmp_path: Path, kind: RuntimeKind) -> None:
    said = f"the replica has fake0, and the runtime {kind} runs on processors alone: leave out devices, or serve"
    with pytest.raises(Invalid, match=said):
        check_devices(replica(tmp_path, kind))
    check_devices(replica(tmp_path, kind, needs=False))  # it came with the instance type


def test_the_model_data_may_choose_what_runs(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(Invalid, match="runtime onnx runs on processors alone"):
        check_devices(replica(tmp_path, RuntimeKind.AUTO))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").touch()
    check_devices(replica(tmp_path, RuntimeKind.AUTO))


def test_one_container_that_uses_them_is_enough(tmp_path: Path) -> None:
    check_devices(replica(tmp_path, RuntimeKind.ONNX, RuntimeKind.PROGRAM))


def test_a_program_sees_what_was_assigned_whatever_its_model_says(tmp_path: Path) -> None:
    [container] = replica(tmp_path, RuntimeKind.PROGRAM).containers
    container.environment["CUDA_VISIBLE_DEVICES"] = "0,1"
    container.runtime.environment["CUDA_VISIBLE_DEVICES"] = "0,1"
    for assigned in ("fake0", ""):
        found = environment(container, 1, tmp_path / "x.sock", {"CUDA_VISIBLE_DEVICES": assigned})
        assert found["CUDA_VISIBLE_DEVICES"] == assigned
    assert environment(container, 1, tmp_path / "x.sock", {})["CUDA_VISIBLE_DEVICES"] == "0,1"
