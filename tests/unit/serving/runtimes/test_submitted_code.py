"""Code that SageMaker's SDK uploads beside a model: when it is fetched, to where, and what is refused."""

import io
import tarfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from tidegate.domain.errors import ArtifactError
from tidegate.domain.fleet import FleetId
from tidegate.serving.artifacts.fetch import Policy
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.runtimes import submitted_code
from tidegate.serving.runtimes.user_code import check_requirements

SDK = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "s3://b/code/sourcedir.tar.gz"}
TRUSTED = {"TIDEGATE_TRUST": "code"}


def archive(path: Path, *names: str) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"a=1\n"))
    return path.as_uri()


def container(folder: Path, url: str, **more: str) -> ContainerSpec:
    environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": url, **more}
    choice = RuntimeChoice(RuntimeKind.SKLEARN)
    return ContainerSpec(runtime=choice, model_dir=str(folder / "model"), environment=environment)


@pytest.mark.parametrize("kind", ["sklearn", "xgboost", "sagemaker-xgboost", "script", "auto"])
def test_an_address_on_s3_is_fetched(kind: str) -> None:
    assert submitted_code.address(RuntimeKind(kind), SDK) == "s3://b/code/sourcedir.tar.gz"


@pytest.mark.parametrize(
    ("kind", "environment"),
    [
        ("sklearn", {"SAGEMAKER_PROGRAM": "", "SAGEMAKER_SUBMIT_DIRECTORY": ""}),
        ("sklearn", {**SDK, "SAGEMAKER_PROGRAM": ""}),
        ("sklearn", {**SDK, "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}),
        ("sklearn", {**SDK, "SAGEMAKER_SUBMIT_DIRECTORY": "file:///opt/ml/model/code/"}),
        ("sklearn", {**SDK, "SAGEMAKER_SUBMIT_DIRECTORY": "https://b/sourcedir.tar.gz"}),
        ("program", SDK),
        ("onnx", SDK),
    ],
)
def test_nothing_else_is(kind: str, environment: dict[str, str]) -> None:
    assert submitted_code.address(RuntimeKind(kind), environment) == ""


def test_it_is_unpacked_once_beside_the_model(tmp_path: Path) -> None:
    one = container(tmp_path, archive(tmp_path / "source.tar.gz", "inference.py", "lib/a.py"), **TRUSTED)
    submitted_code.fetch(one, Policy())
    spec = ReplicaSpec(replica="r", fleet=FleetId("e", 1, "v"), config_name="c", containers=(one,), socket="/s")
    [told] = submitted_code.with_code_folders(spec).containers
    code = Path(told.environment[submitted_code.FOLDER])
    assert code.parent == tmp_path / "model.submitted"
    assert {path.relative_to(code).as_posix() for path in code.rglob("*.py")} == {"inference.py", "lib/a.py"}
    (tmp_path / "source.tar.gz").unlink()
    submitted_code.fetch(one, Policy())
    plain = replace(one, environment={})
    assert submitted_code.with_code_folders(replace(spec, containers=(plain,))).containers == (plain,)


def test_without_trust_nothing_is_fetched(tmp_path: Path) -> None:
    one = container(tmp_path, archive(tmp_path / "source.tar.gz", "inference.py"))
    with pytest.raises(ArtifactError, match=r"runs no code that comes with a model.*TIDEGATE_TRUST=code"):
        submitted_code.fetch(one, Policy())
    assert not (tmp_path / "model.submitted").exists()


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil.py", "a/../../evil.py"])
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    one = container(tmp_path, archive(tmp_path / "source.tar.gz", name), **TRUSTED)
    with pytest.raises(ArtifactError, match=r"^SAGEMAKER_SUBMIT_DIRECTORY: file:///"):
        submitted_code.fetch(one, Policy())
    assert [path.name for path in tmp_path.rglob("evil.py")] == []


def test_it_lies_where_model_data_may(tmp_path: Path) -> None:
    one = container(tmp_path, archive(tmp_path / "source.tar.gz", "inference.py"), **TRUSTED)
    with pytest.raises(ArtifactError, match="file:// is not allowed here"):
        submitted_code.fetch(one, Policy(roots=()))


# requirements.txt beside a model's code: compared, never installed.


NUMPY = version("numpy")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n\n--index-url https://packages.example/simple\n",
        f"numpy\nNumPy=={NUMPY}  # ours\nnumpy>=1,<99\n",
        'not-there-at-all; python_version < "3"\n',
        "numpy @ https://packages.example/numpy.whl\n",
    ],
)
def test_what_is_there(tmp_path: Path, text: str) -> None:
    check_requirements(tmp_path / "none.txt")
    (tmp_path / "requirements.txt").write_text(text)
    check_requirements(tmp_path / "requirements.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not-there-at-all>=2", "requirements.txt is not met: not-there-at-all>=2 is not installed. Nothing is"),
        ("numpy==1.0", f"numpy==1.0, but {NUMPY} is installed. "),
        ("not-a\nnumpy\nnot-b\n", "not-a is not installed; not-b is not installed. "),
        ("./local folder", "'./local folder' is not a requirement"),
    ],
)
def test_what_is_not_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    with pytest.raises(ArtifactError) as caught:
        check_requirements(tmp_path / "requirements.txt")
    assert message in caught.value.message
