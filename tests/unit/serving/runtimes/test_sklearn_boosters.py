"""LightGBM's and XGBoost's estimators with pandas' categories: a number in a request is a category, not its code."""

from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.ensemble import VotingRegressor
from sklearn.model_selection import GridSearchCV

from tests.unit.serving.runtimes.test_schemas import ask
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Call, ModelFailed
from tidegate.serving.formats.row_decoder import CSV
from tidegate.serving.runtimes import load

TRUST = {"TIDEGATE_TRUST": "pickle"}
RANDOM = np.random.default_rng(5)
CODES = [10, 20, 30, 40, 5]
LANDS = ["DE", "FR", "IT"]
BOOSTERS = [
    lightgbm.LGBMRegressor(n_estimators=8, verbose=-1, n_jobs=1),
    xgboost.XGBRegressor(n_estimators=8, enable_categorical=True, n_jobs=1),
]
by_library = pytest.mark.parametrize("booster", BOOSTERS, ids=["lightgbm", "xgboost"])


@pytest.fixture(autouse=True)
def allow_pickles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_TRUST", "pickle")


def table(values: list[Any]) -> tuple[pd.DataFrame, np.ndarray]:
    at = RANDOM.integers(0, len(values), 400)
    land = pd.Categorical([values[one] for one in at])
    x = RANDOM.normal(size=400)
    return pd.DataFrame({"land": land, "x": x}), (at * 7 % 5) * 3 + 0.1 * x


def served(folder: Path, model: Any) -> Any:
    joblib.dump(model, folder / "model.joblib")
    return load(RuntimeKind.SKLEARN, folder, TRUST)


def as_csv(rows: pd.DataFrame) -> bytes:
    text: str = rows.astype({"land": rows["land"].cat.categories.dtype}).to_csv(index=False)
    return text.encode()


@by_library
@pytest.mark.parametrize("values", [CODES, LANDS], ids=["numbers", "texts"])
def test_a_category_of_a_booster_is_found_by_its_value(tmp_path: Path, booster: Any, values: list[Any]) -> None:
    rows, wanted = table(values)
    model = booster.fit(rows, wanted)
    found = ask(served(tmp_path, model), as_csv(rows[:50]), CSV)
    np.testing.assert_allclose(found, model.predict(rows[:50]), rtol=1e-6)


@by_library
def test_a_number_that_is_no_category_of_a_booster_is_refused(tmp_path: Path, booster: Any) -> None:
    model = served(tmp_path, booster.fit(*table(CODES)))
    assert "no category that the model knows" in ask(model, b"3,0.5\n", CSV)


def test_the_best_model_of_a_search_knows_its_categories(tmp_path: Path) -> None:
    rows, wanted = table(CODES)
    model = GridSearchCV(BOOSTERS[0], {"num_leaves": [7]}, cv=2).fit(rows, wanted)
    found = ask(served(tmp_path, model), as_csv(rows[:50]), CSV)
    np.testing.assert_allclose(found, model.predict(rows[:50]), rtol=1e-6)


@by_library
def test_categories_of_a_booster_within_a_model_are_never_taken_for_codes(tmp_path: Path, booster: Any) -> None:
    model = served(tmp_path, VotingRegressor([("one", booster)]).fit(*table(CODES)))
    call = Call(b"10,0.5\n", {b"content-type": CSV.encode()})
    with pytest.raises(ModelFailed, match=r"categorical_feature|data type"):
        model.score([model.parse(call)])
