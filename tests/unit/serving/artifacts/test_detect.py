"""Which runtime a model folder is for."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import ArtifactError
from tidegate.serving.artifacts.detect_runtime import CERTAIN, FOLDER_FILES, POSSIBLE, detect
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.runtimes import choose


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["model.ubj"], RuntimeKind.XGBOOST),
        (["xgboost-model"], RuntimeKind.XGBOOST),
        (["model.json"], RuntimeKind.XGBOOST),
        (["model.onnx", "config.json", "README.txt"], RuntimeKind.ONNX),
        (["model.txt", "requirements.txt"], RuntimeKind.LIGHTGBM),
        (["model.lgb"], RuntimeKind.LIGHTGBM),
        (["model.skops"], RuntimeKind.SKLEARN),
        (["MODEL.JOBLIB"], RuntimeKind.SKLEARN),
        (["model.ubj", "model.json", "notes.txt"], RuntimeKind.XGBOOST),
        (["model.onnx", "code/inference.py"], RuntimeKind.SCRIPT),
        (["MLmodel", "code/inference.py"], RuntimeKind.SCRIPT),
        (["MLmodel", "model.pkl", "requirements.txt"], RuntimeKind.MLFLOW),
        (["model.pt2"], RuntimeKind.PYTORCH),
        (["q4-1.gguf", "q4-2.gguf"], RuntimeKind.GGUF),
        (["model.onnx", "code/other.py", "parts/model.ubj"], RuntimeKind.ONNX),
    ],
)
def test_the_runtime_is_detected_from_the_files(names: list[str], kind: RuntimeKind) -> None:
    assert detect(names, {}) is kind
    assert detect(reversed(names), {"SAGEMAKER_PROGRAM": ""}) is kind


def test_the_environment_chooses_the_runtime() -> None:
    assert detect(["model.ubj"], {"SAGEMAKER_PROGRAM": "serve.py"}) is RuntimeKind.SCRIPT
    assert detect(["model.ubj", "code/inference.py"], {"MODEL_HANDLER": "a:B"}) is RuntimeKind.PYTHON
    assert detect([], {"MODEL_HANDLER": "a:B"}) is RuntimeKind.PYTHON


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.onnx", "b.ubj"], "a.onnx (onnx), b.ubj (xgboost); name the image: tidegate/onnx or tidegate/xgboost"),
        (["a.json", "b.txt"], "a.json (xgboost), b.txt (lightgbm); name the image: tidegate/lightgbm or "),
        (["config.json", "README.md"], "found: README.md, config.json; name the image"),
        (["deep/model.ubj"], "found: nothing at the top; name the image"),
        ([], "the model data is empty: there is no file that could be a model"),
    ],
)
def test_ambiguous_model_data_names_the_candidates(names: list[str], message: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        detect(names, {})
    assert message in caught.value.message


def test_an_mlflow_folder_within_the_data() -> None:
    assert detect(["model/MLmodel", "model/model.pkl"], {}) is RuntimeKind.MLFLOW
    with pytest.raises(ArtifactError, match="found: nothing"):
        detect(["a/MLmodel", "b/model.pkl"], {})


def test_no_two_runtimes_claim_the_same_file() -> None:
    claimed = [
        name
        for kind in RuntimeKind
        for name in (kind.descriptor.folder_file, *kind.descriptor.certain_files, *kind.descriptor.possible_files)
        if name
    ]
    assert len(claimed) == len(set(claimed)) == len({*FOLDER_FILES, *CERTAIN, *POSSIBLE})


ENDINGS = [*FOLDER_FILES, *CERTAIN, *POSSIBLE, ".md", ".py"]
NAMES = st.lists(st.sampled_from([end if end[0] != "." else stem + end for stem in "abcd" for end in ENDINGS]))


@given(NAMES)
def test_the_order_of_files_does_not_matter_and_an_error_is_one_line(names: list[str]) -> None:
    def told(files: list[str]) -> str:
        try:
            return detect(files, {})
        except ArtifactError as error:
            assert "\n" not in error.message
            return error.message

    assert told(names) == told(names[::-1])


def test_a_named_runtime_stays_but_for_scripts(tmp_path: Path) -> None:
    (tmp_path / "model.ubj").touch()
    assert choose(RuntimeKind.ONNX, tmp_path, {}) is RuntimeKind.ONNX
    assert choose(RuntimeKind.AUTO, tmp_path, {}) is RuntimeKind.XGBOOST
    assert choose(RuntimeKind.XGBOOST, tmp_path, {}) is RuntimeKind.XGBOOST
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").touch()
    assert choose(RuntimeKind.XGBOOST, tmp_path, {}) is RuntimeKind.SCRIPT
    assert choose(RuntimeKind.SKLEARN, tmp_path, {}) is RuntimeKind.SCRIPT
    assert choose(RuntimeKind.ONNX, tmp_path, {}) is RuntimeKind.ONNX
