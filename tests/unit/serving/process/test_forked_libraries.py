"""Libraries imported before the fork and used after it, with threads, in processes of their own."""

import subprocess
import sys

import pytest

PRELUDE = """
import os, sys
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", ORT_DISABLE_TELEMETRY="1")
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
from tidegate.serving.process import fork_server
def forked(work):
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        code = 1
        try:
            fork_server.reseed()
            print(work(), flush=True)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
def threads():
    return len(os.listdir("/proc/self/task"))
"""
FORESTS = """
import numpy as np
fork_server.import_libraries("tables")
print("torch" in sys.modules, "mlflow" in sys.modules, threads())
def work():
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from threadpoolctl import threadpool_limits
    rows = np.arange(400.0).reshape(200, 2)
    labels = (np.arange(200) > 100).astype(int)
    forest = RandomForestClassifier(20, random_state=1, n_jobs=2).fit(rows, labels)
    with threadpool_limits(2):  # OpenMP's
        boosted = HistGradientBoostingClassifier(max_iter=20, random_state=1).fit(rows, labels)
        right = [bool((model.predict(rows) == labels).mean() > 0.98) for model in (forest, boosted)]
    return right, threads() > 1
forked(work)
forked(work)
forked(lambda: np.random.rand())
forked(lambda: np.random.rand())
"""
TENSORS = """
fork_server.import_libraries("pytorch")
print("torch" in sys.modules, "sklearn" in sys.modules, "mlflow" in sys.modules, threads())
def work():
    import torch
    torch.set_num_threads(2)
    table = torch.arange(1_000_000, dtype=torch.float64).reshape(1000, 1000)
    return bool((table @ torch.eye(1000, dtype=torch.float64) == table).all()), table.exp().shape[0]
def draw():
    import torch
    return float(torch.rand(1, dtype=torch.float64))
forked(work)
forked(work)
forked(draw)
forked(draw)
"""
FLAVOURS = """
fork_server.import_libraries("mlflow")
print("mlflow.sklearn" in sys.modules, "torch" in sys.modules, threads())
def work():
    import mlflow.pyfunc
    return mlflow.pyfunc.load_model is not None
forked(work)
"""
BROKEN = """
from pathlib import Path
from tempfile import TemporaryDirectory
from tidegate.serving.contract.catalogue import RuntimeKind
with TemporaryDirectory(prefix="tg-") as folder:
    Path(folder, "lightgbm.py").write_text("raise SystemExit('broken')")
    sys.path.insert(0, folder)
    fork_server.import_libraries("tables")
print("xgboost" in sys.modules, "skops.io" in sys.modules, "lightgbm" in sys.modules)
"""


def said(script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_models_of_scikit_learn_are_right_with_threads_after_a_fork_and_draw_numbers_of_their_own() -> None:
    imported, first, second, *drawn = said(FORESTS)
    assert imported == "False False 1"
    assert first == second == "([True, True], True)"
    assert len(set(drawn)) == 2


def test_tensors_are_right_with_threads_after_a_fork_and_draw_numbers_of_their_own() -> None:
    pytest.importorskip("torch")
    imported, first, second, *drawn = said(TENSORS)
    assert imported == "True False False 1"
    assert first == second == "(True, 1000)"
    assert len(set(drawn)) == 2, "PyTorch's generator is seeded anew as well"


def test_mlflow_is_ready_with_the_flavours_of_tables_and_without_tensors() -> None:
    pytest.importorskip("mlflow")
    assert said(FLAVOURS) == ["True False 1", "True"]


def test_a_library_that_cannot_be_imported_leaves_the_others() -> None:
    lines = said(BROKEN)
    assert lines[0] == "fork server: without lightgbm: broken"
    assert lines[-1] == "True True False"
