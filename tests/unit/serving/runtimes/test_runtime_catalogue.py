"""What names runtimes agrees with the catalogue."""

import ast
import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import tidegate
from tests import scene
from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.fork_groups import GROUPS
from tidegate.serving.contract.images import BUILT_IN, ImageTable, resolve
from tidegate.serving.contract.runtime import Probe
from tidegate.serving.contract.runtime_tables import file_table, image_table
from tidegate.serving.process.fork_server import libraries
from tidegate.serving.runtimes import framework_defaults, load
from tidegate.spec.value_types import AUTO

ROOT = Path(tidegate.__file__).parents[2]
MODULES = {kind for kind in RuntimeKind} - {RuntimeKind.SAGEMAKER_XGBOOST, RuntimeKind.AUTO}
"""Those that are served by a module of their own; AWS's XGBoost image is served by that of XGBoost."""


def test_the_tables_in_the_docs_are_those_that_the_command_prints() -> None:
    page = (ROOT / "docs" / "runtimes.md").read_text()
    assert image_table() in page
    assert file_table() in page


def test_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = {kind.descriptor.extra for kind in RuntimeKind if kind.descriptor.extra}
    assert named <= set(extras)
    tested = next(line for line in extras["test"] if line.startswith("tidegate["))
    assert named - set(tested.removeprefix("tidegate[").removesuffix("]").split(",")) == {"script"}, "numpy alone"


@pytest.mark.parametrize("kind", sorted(MODULES))
def test_each_runtime_has_a_module(kind: RuntimeKind) -> None:
    module = f"tidegate.serving.runtimes.{kind}"
    assert kind.descriptor.engine or find_spec(module) is not None


def test_no_image_is_shown_twice_and_each_page_names_the_images_of_ours() -> None:
    shown = [image.shown for kind in RuntimeKind for image in kind.descriptor.images]
    assert sorted(BUILT_IN) == sorted(shown)
    page = (ROOT / "docs" / "images.md").read_text()
    assert [name for name in shown if name.startswith("tidegate/") and f"`{name}`" not in page] == []


def test_a_bounded_probe_hides_what_its_library_would_import() -> None:
    for kind in RuntimeKind:
        if kind.descriptor.probe is Probe.BOUNDED:
            assert kind.descriptor.optional_packages
        assert not kind.descriptor.optional_packages or kind.descriptor.library


def test_what_specs_and_simulations_name_are_images_of_ours() -> None:
    assert resolve(AUTO, ImageTable()).kind is RuntimeKind.AUTO
    assert resolve(scene.XGBOOST, ImageTable()).kind is RuntimeKind.XGBOOST


def test_each_script_framework_predicts_without_a_predict_fn() -> None:
    frameworks = {kind.descriptor.script_framework for kind in RuntimeKind} - {""}
    assert frameworks and all("predict_fn" in framework_defaults.defaults(framework) for framework in frameworks)


def test_modules_of_ours_are_imported_by_name_in_few_places() -> None:
    """Runtimes, and readers of tables that need a library which may not be installed."""
    found = set()
    for path in (ROOT / "src" / "tidegate").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and called.endswith(("import_module", "load_module")) and node.args:
                name = ast.unparse(node.args[0])
                if "tidegate" in name or "__package__" in name or "__name__" in name:
                    found.add(path.relative_to(ROOT / "src" / "tidegate").as_posix())
    former = {"advisor/__init__.py"} & found
    assert found - former == {"serving/runtimes/optional_imports.py", "features/batch/runner/table_records.py"}


def test_one_module_alone_calls_what_imports_by_name() -> None:
    """Others go through it: ``host/late_import.py``. Code of users is imported by ``serving/runtimes``."""
    found = {
        path.relative_to(ROOT / "src" / "tidegate").as_posix()
        for path in (ROOT / "src" / "tidegate").rglob("*.py")
        if re.search(r"\bimport_module\(", path.read_text())
    }
    assert found == {"host/late_import.py", "serving/runtimes/python.py"}


def test_the_fork_server_imports_libraries_by_name_and_no_module_of_ours() -> None:
    assert [name for group in GROUPS for name in libraries(group) if name.startswith("tidegate")] == []


# A runtime whose packages are missing names the extra that brings them.


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
