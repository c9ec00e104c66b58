"""A runtime whose packages are missing names the extra that brings them."""

import sys
from pathlib import Path

import pytest

from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.runtimes import load


@pytest.mark.parametrize(
    ("kind", "package"),
    [
        (RuntimeKind.ONNX, "onnxruntime"),
        (RuntimeKind.LIGHTGBM, "lightgbm"),
        (RuntimeKind.SKLEARN, "skops"),
        (RuntimeKind.PYTORCH, "torch"),
        (RuntimeKind.MLFLOW, "mlflow"),
        (RuntimeKind.GGUF, "xllamacpp"),
    ],
)
def test_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: RuntimeKind, package: str
) -> None:
    monkeypatch.delitem(sys.modules, f"tidegate.serving.runtimes.{kind.value}", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ArtifactError) as caught:
        load(kind, tmp_path, {})
    assert f"({package}" in caught.value.message
    assert caught.value.message.endswith(f"pip install 'tidegate[{kind.value}]'")
