"""scikit-learn's meta-estimators over tables of text, truth values and numbers: what they take is what is inside."""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from tests.unit.serving.runtimes.test_schemas import ask
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.formats import arrow_io
from tidegate.serving.formats.row_decoder import CSV, JSON
from tidegate.serving.runtimes import load

RANDOM = np.random.default_rng(5)
N = 150
TABLE = pd.DataFrame(
    {
        "id": [f"row {number}" for number in range(N)],
        "land": RANDOM.choice(["DE", "FR", "é"], N),
        "amount": RANDOM.normal(size=N),
        "member": RANDOM.random(N) < 0.5,
    }
)
TARGET = (TABLE["amount"] + (TABLE["land"] == "DE") > 0.5).astype(int)
CLASSES = np.where(TABLE["amount"] > 0.7, 2, TARGET)
BOTH = np.stack([TARGET, CLASSES], axis=1)
ASKED = TABLE.iloc[:20]


def columns(**also: Any) -> ColumnTransformer:
    """Reads land and amount, passes member on, and drops id."""
    kinds = [("land", OneHotEncoder(), ["land"]), ("amount", StandardScaler(), ["amount"])]
    return ColumnTransformer([*kinds, ("member", "passthrough", ["member"])], **also)


def one(last: Any) -> Pipeline:
    return make_pipeline(columns(), last)


LOGISTIC = LogisticRegression()
CASES: dict[str, tuple[Any, Any]] = {
    "pipeline": (one(LOGISTIC), TARGET),
    "calibrated": (CalibratedClassifierCV(one(LOGISTIC), cv=2), TARGET),
    "calibrated once": (CalibratedClassifierCV(one(LOGISTIC), cv=2, ensemble=False), TARGET),
    "voting": (VotingClassifier([("a", one(LOGISTIC)), ("b", one(RandomForestClassifier(5)))]), TARGET),
    "voting regressor": (VotingRegressor([("a", one(Ridge())), ("b", one(LinearRegression()))]), TARGET),
    "stacked": (StackingClassifier([("a", one(LOGISTIC)), ("b", one(RandomForestClassifier(5)))], cv=2), TARGET),
    "stacked regressor": (StackingRegressor([("a", one(Ridge()))], cv=2), TARGET),
    "searched": (GridSearchCV(one(LOGISTIC), {"logisticregression__C": [0.1, 1]}, cv=2), TARGET),
    "searched calibrated": (
        GridSearchCV(CalibratedClassifierCV(one(LOGISTIC), cv=2), {"method": ["sigmoid"]}, cv=2),
        TARGET,
    ),
    "threshold": (FixedThresholdClassifier(one(LOGISTIC), threshold=0.3), TARGET),
    "one against rest": (OneVsRestClassifier(one(LOGISTIC)), CLASSES),
    "several outputs": (MultiOutputClassifier(one(LOGISTIC)), BOTH),
    "several numbers": (MultiOutputRegressor(one(Ridge())), BOTH),
    "target": (TransformedTargetRegressor(one(Ridge()), func=np.sinh, inverse_func=np.arcsinh), TARGET),
    "within a pipeline": (
        Pipeline([("none", "passthrough"), ("all", CalibratedClassifierCV(one(LOGISTIC), cv=2))]),
        TARGET,
    ),
    "nested": (make_pipeline(make_pipeline(columns()), VotingClassifier([("a", LogisticRegression())])), TARGET),
    "passed on": (
        make_pipeline(
            make_column_transformer((OneHotEncoder(), ["land"]), ("drop", ["id"]), remainder="passthrough"),
            LOGISTIC,
        ),
        TARGET,
    ),
    "a union": (
        make_pipeline(
            FeatureUnion([("a", columns()), ("b", ColumnTransformer([("x", "passthrough", ["amount"])]))]),
            LOGISTIC,
        ),
        TARGET,
    ),
}


def served(folder: Path, model: Any, **environment: str) -> Any:
    joblib.dump(model, folder / "model.joblib")
    return load(RuntimeKind.SKLEARN, folder, {"TIDEGATE_TRUST": "pickle", **environment})


def bodies(table: pd.DataFrame) -> list[tuple[Any, str]]:
    records = json.loads(table.to_json(orient="records"))
    return [
        (table.to_csv(index=False).encode(), CSV),
        (table.iloc[:, ::-1].to_csv(index=False).encode(), CSV),
        (records, JSON),
        ({"instances": json.loads(table.to_json(orient="values"))}, JSON),
        (table.to_parquet(), arrow_io.PARQUET),
    ]


@pytest.mark.parametrize("name", CASES)
def test_every_meta_estimator_answers_as_in_process(name: str, tmp_path: Path) -> None:
    """Text in a column that is dropped, text that is encoded, and truth values of a column that is passed on."""
    estimator, target = CASES[name]
    model = estimator.fit(TABLE, target)
    expected = model.predict(ASKED)
    scorer = served(tmp_path, model)
    for body, kind in bodies(ASKED):
        assert np.allclose(ask(scorer, body, kind), expected), kind
    if hasattr(model, "predict_proba") and name != "several outputs":
        found = ask(served(tmp_path, model, SKLEARN_METHOD="predict_proba"), *bodies(ASKED)[0])
        assert np.allclose(found, model.predict_proba(ASKED))


def test_a_meta_estimator_over_texts_alone(tmp_path: Path) -> None:
    texts = [f"{land} {number % 3}" for number, land in enumerate(TABLE["land"])]
    for model in (
        CalibratedClassifierCV(make_pipeline(TfidfVectorizer(), LogisticRegression()), cv=2),
        OneVsRestClassifier(make_pipeline(TfidfVectorizer(), LogisticRegression())),
        VotingClassifier([("a", make_pipeline(TfidfVectorizer(), LogisticRegression()))]),
    ):
        scorer = served(tmp_path, model.fit(texts, CLASSES))
        assert ask(scorer, [[text] for text in texts[:9]], JSON) == model.predict(texts[:9]).tolist()


def test_bags_of_some_columns(tmp_path: Path) -> None:
    """Each estimator has its own columns, and gets them as an array."""
    inner = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    table = TABLE[["land"]].assign(other=RANDOM.choice(["x", "y"], N), third=RANDOM.choice(["u", "v"], N))
    model = BaggingClassifier(inner, 4, max_features=2, random_state=1).fit(table, TARGET)
    assert ask(served(tmp_path, model), *bodies(table.iloc[:9])[0]) == model.predict(table.iloc[:9]).tolist()


def test_the_columns_of_an_array_have_places_instead_of_names(tmp_path: Path) -> None:
    kinds = [("land", OneHotEncoder(), [1]), ("member", "passthrough", [2, 3])]
    table = TABLE.to_numpy(object)
    model = make_pipeline(ColumnTransformer(kinds), LogisticRegression()).fit(table, TARGET)
    assert np.allclose(ask(served(tmp_path, model), *bodies(ASKED)[3]), model.predict(table[:20]))


def test_a_column_that_any_part_reads_is_no_dropped_one(tmp_path: Path) -> None:
    """One part drops amount, and another scales it: text there is an error."""
    union = FeatureUnion([("a", columns()), ("b", ColumnTransformer([("x", StandardScaler(), ["amount"])]))])
    model = VotingClassifier([("a", make_pipeline(union, LogisticRegression()))]).fit(TABLE, TARGET)
    scorer = served(tmp_path, model)
    found = ask(scorer, [["row", "DE", "x", True]], JSON)
    assert "column 3 (amount): expected a number or null, got 'x'" in found


def test_what_a_stack_passes_through_is_read(tmp_path: Path) -> None:
    table = TABLE[["amount"]].assign(size=RANDOM.normal(size=N))
    part = make_pipeline(ColumnTransformer([("x", StandardScaler(), ["amount"])]), Ridge())
    model = StackingRegressor([("a", part)], cv=2, passthrough=True).fit(table, TARGET)
    scorer = served(tmp_path, model)
    assert np.allclose(ask(scorer, *bodies(table.iloc[:9])[0]), model.predict(table.iloc[:9]))
    assert "column 2 (size): expected a number or null" in ask(scorer, [[1.0, "x"]], JSON)


def test_numbers_and_a_dropped_column_of_any_type(tmp_path: Path) -> None:
    """Numbers alone are the model's as before; a date in a table is no value that is looked at."""
    model = make_pipeline(ColumnTransformer([("x", StandardScaler(), ["amount"])]), Ridge())
    table = TABLE[["amount"]].assign(when=pd.Timestamp("2026-01-01"))
    model.fit(table, TARGET)
    expected = model.predict(table.iloc[:5])
    scorer = served(tmp_path, model)
    assert np.allclose(ask(scorer, table.iloc[:5].to_parquet(), arrow_io.PARQUET), expected)
    for dropped in (None, 3, "2026-01-01", True):
        rows = [[amount, dropped] for amount in table["amount"].iloc[:5]]
        assert np.allclose(ask(scorer, rows, JSON), expected)
    assert np.allclose(ask(scorer, table.iloc[:5].to_csv(index=False).encode(), CSV), expected)


def test_isotonic_regression(tmp_path: Path) -> None:
    amounts = TABLE["amount"].to_numpy()
    model = IsotonicRegression(out_of_bounds="clip").fit(amounts, TARGET)
    scorer = served(tmp_path, model)
    assert np.allclose(ask(scorer, [[value] for value in amounts[:9]], JSON), model.predict(amounts[:9]))
    assert np.allclose(
        ask(scorer, "".join(f"{value}\n" for value in amounts[:9]).encode(), CSV), model.predict(amounts[:9])
    )


def test_a_function_of_the_user_s_own_before_text_is_still_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_pipeline(FunctionTransformer(_same), columns(), LogisticRegression()).fit(TABLE, TARGET)
    served(tmp_path, model)
    assert "set MODEL_COLUMNS in its environment" in capsys.readouterr().out


def _same(table: Any) -> Any:
    return table


def test_a_coded_output_of_numbers(tmp_path: Path) -> None:
    table = TABLE[["amount"]].assign(size=RANDOM.normal(size=N))
    for kind in (
        OutputCodeClassifier(LogisticRegression(), random_state=0),
        OneVsOneClassifier(LogisticRegression()),
    ):
        model = kind.fit(table, CLASSES)
        assert ask(served(tmp_path, model), *bodies(table.iloc[:9])[0]) == model.predict(table.iloc[:9]).tolist()
