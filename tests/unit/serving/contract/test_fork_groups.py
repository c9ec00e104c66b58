"""Which fork server has the libraries of a model."""

import pytest

from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.fork_groups import GROUPS, choose_group, kinds_of
from tidegate.serving.contract.runtime import TABLES
from tidegate.serving.process.fork_server import libraries

XGBOOST, SKLEARN, AUTO = RuntimeKind.XGBOOST, RuntimeKind.SKLEARN, RuntimeKind.AUTO
PYTORCH, MLFLOW = RuntimeKind.PYTORCH, RuntimeKind.MLFLOW


@pytest.mark.parametrize(
    ("containers", "group"),
    [
        ([(XGBOOST, "s3://b/m.tar.gz")], TABLES),
        ([(SKLEARN, "s3://b/m.skops")], TABLES),
        ([(PYTORCH, "s3://b/m.tar.gz")], "pytorch"),
        ([(MLFLOW, "file:///m/")], "mlflow"),
        ([(SKLEARN, "file:///a.skops"), (PYTORCH, "file:///b.pt")], "pytorch"),
        ([(AUTO, "file:///models/net.pt2")], "pytorch"),
        ([(AUTO, "file:///models/net.onnx")], TABLES),
        ([(AUTO, "file:///models/xgboost-model")], TABLES),
        ([(AUTO, "s3://b/model.tar.gz")], TABLES),
        ([(AUTO, "")], TABLES),
        ([(XGBOOST, "file:///model.pt")], TABLES),
        ([], TABLES),
    ],
)
def test_a_model_is_served_from_the_group_with_its_largest_library(
    containers: list[tuple[RuntimeKind, str]], group: str
) -> None:
    assert choose_group(containers) == group


def test_every_runtime_is_of_one_group_and_a_large_library_of_none_but_its_own() -> None:
    assert sorted(kind for group in GROUPS for kind in kinds_of(group)) == sorted(RuntimeKind)
    assert [group for group in GROUPS if "torch" in libraries(group)] == ["pytorch"]
    assert [group for group in GROUPS if "mlflow.pyfunc" in libraries(group)] == ["mlflow"]
