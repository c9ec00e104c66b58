"""The quick way to a first answer: trees in a file, and the phases of a start."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.worker_process import FEATURES, models
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.cold_start import ColdStart
from tidegate.serving.contract.replica_spec import OnDemand
from tidegate.serving.engines import mapped_forest
from tidegate.serving.runtimes import xgboost as runtime

__all__ = ["models"]


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    """Model data of one replica."""
    kept = tmp_path / "model"
    kept.mkdir()
    (kept / "model.json").write_bytes((models / "binary.json").read_bytes())
    return kept


def test_the_first_replica_finds_no_mapped_forest(folder: Path) -> None:
    assert mapped_forest.open_forest(RuntimeKind.XGBOOST, folder, {}) is None


def test_a_mapped_forest_answers_as_the_library_does(folder: Path) -> None:
    mapped_forest.write_forest(RuntimeKind.XGBOOST, folder, {})
    found, library = mapped_forest.open_forest(RuntimeKind.XGBOOST, folder, {}), runtime.load(folder, {})
    assert found is not None
    rows = np.random.default_rng(1).normal(size=(50, len(FEATURES))).astype(np.float32)
    rows[::7, 2] = np.nan
    np.testing.assert_allclose(found.score([rows])[0], library.score([rows])[0], rtol=0, atol=1e-6)


FORKED = """
import sys
from pathlib import Path
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.process.fork_server import import_libraries
import_libraries()
found = set(sys.modules)
from tidegate.serving.engines import mapped_forest
for kind in RuntimeKind.XGBOOST, RuntimeKind.SAGEMAKER_XGBOOST:
    assert mapped_forest.open_forest(kind, Path(sys.argv[1]), {}) is not None
print(*sorted(set(sys.modules) - found))
"""


def test_a_forked_worker_imports_nothing_to_open_a_mapped_forest(folder: Path) -> None:
    mapped_forest.write_forest(RuntimeKind.XGBOOST, folder, {})
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(folder)], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.stdout, done.stderr) == ("\n", "")


def test_a_damaged_file_is_not_used(folder: Path) -> None:
    mapped_forest.write_forest(RuntimeKind.XGBOOST, folder, {})
    kept = mapped_forest.forest_path(folder)
    kept.write_bytes(kept.read_bytes()[:-1])
    assert mapped_forest.open_forest(RuntimeKind.XGBOOST, folder, {}) is None


def test_a_model_without_a_forest_is_recorded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_forest, "_build", lambda folder, environment: b"")
    mapped_forest.write_forest(RuntimeKind.XGBOOST, folder, {})
    assert mapped_forest.forest_path(folder).read_bytes() == b""
    assert mapped_forest.open_forest(RuntimeKind.XGBOOST, folder, {}) is None


def test_other_runtimes_write_no_mapped_forest(folder: Path) -> None:
    mapped_forest.write_forest(RuntimeKind.ONNX, folder, {})
    assert not mapped_forest.forest_path(folder).exists()


def test_the_phases_of_a_start_are_told_and_add_up() -> None:
    clock = itertools.count(12, 1)
    cold = ColdStart(OnDemand(news="", asked=10.0, noticed=11.0), lambda: float(next(clock)))
    cold.mark("fetched")
    cold.mark("loaded")
    assert (cold.setup().name, cold.setup().value) == ("ModelSetupTime", 3_000_000)
    assert cold.answered(15.0) == (
        "cold start of 5000.0 ms: noticed 1000.0, started 1000.0, fetched 1000.0, loaded 1000.0, let in 1000.0,"
        " answered 0.0"
    )


def test_a_start_that_nobody_waits_for_says_so() -> None:
    assert ColdStart(OnDemand(news=""), lambda: 5.0).answered(5.0).startswith("started before it was needed")
