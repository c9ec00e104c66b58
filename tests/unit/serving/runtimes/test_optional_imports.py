"""What a built-in runtime imports, in processes of their own: this one has imported everything already."""

import subprocess
import sys

import pytest

LEAN = """
import sys
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.runtimes.optional_imports import LOADER
module = LOADER.load_module(RuntimeKind(sys.argv[1]))
print(*sorted({"sklearn", "pandas", "scipy.stats", sys.argv[1]} & set(sys.modules)))
import pandas, sklearn
print(pandas.__name__, sklearn.__name__)
"""
THEN_WHOLE = """
import sys
import numpy
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.runtimes.optional_imports import LOADER
LOADER.load_module(RuntimeKind.XGBOOST)
import xgboost as lean
rows = numpy.arange(8.0).reshape(4, 2)
booster = lean.train({"max_depth": 1}, lean.DMatrix(rows, [0, 0, 1, 1]), 2)
LOADER.load_module(RuntimeKind.SCRIPT)
import xgboost
fitted = xgboost.XGBRegressor(max_depth=1, n_estimators=2).fit(rows, [0, 0, 1, 1])
print(numpy.array_equal(booster.inplace_predict(rows), fitted.predict(rows)))
print(LOADER.load_module(RuntimeKind.XGBOOST).xgboost is lean, xgboost is lean)
"""


def said(script: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_library_of_trees_comes_without_what_it_does_not_need(library: str) -> None:
    assert said(LEAN, library) == [library, "pandas sklearn"]


SKLEARN = """
import sys
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.runtimes.optional_imports import LOADER
from tidegate.serving.process.fork_server import import_libraries
import_libraries()
found = set(sys.modules)
module = LOADER.load_module(RuntimeKind.SKLEARN)
print("torch" in sys.modules, set(sys.modules) - found)
from sklearn.externals.array_api_compat import torch
import skops.io._trusted_types as known
print(torch.__name__, "sklearn.ensemble._forest.RandomForestClassifier" in known.SKLEARN_ESTIMATOR_TYPE_NAMES)
"""


def test_scikit_learn_is_ready_in_the_nursery_without_a_library_of_tensors() -> None:
    assert said(SKLEARN) == ["False set()", "sklearn.externals.array_api_compat.torch True"]


def test_a_script_finds_the_whole_library_and_what_was_loaded_goes_on() -> None:
    assert said(THEN_WHOLE) == ["True", "True False"]
