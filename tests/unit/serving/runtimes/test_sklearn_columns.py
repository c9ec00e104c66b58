"""scikit-learn over text, truth values and numbers: tables of the fitted names and types, and any of its methods."""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from tests.unit.serving.runtimes.test_schemas import ask
from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Call
from tidegate.serving.formats import arrow_io
from tidegate.serving.formats.content_types import JSON_LINES
from tidegate.serving.formats.row_decoder import CSV, JSON, NPY
from tidegate.serving.runtimes import load

TRUST = {"TIDEGATE_TRUST": "pickle"}
RANDOM = np.random.default_rng(2)
N = 200
LANDS = ["DE", "1", "nan", "é", "a,b", "x\u2028y"]
TABLE = pd.DataFrame(
    {
        "land": RANDOM.choice(LANDS, N),
        "amount": RANDOM.normal(size=N),
        "code": RANDOM.integers(0, 4, N),
        "flag": RANDOM.random(N) < 0.5,
        "note": RANDOM.choice(["good day", "bad, day", 'so "so"', ""], N),
    }
)
LABELS = (TABLE["land"] == "DE") | TABLE["flag"]
ASKED = TABLE.iloc[:30]


def served(folder: Path, model: Any, **environment: str) -> Any:
    joblib.dump(model, folder / "model.joblib")
    return load(RuntimeKind.SKLEARN, folder, {**TRUST, **environment})


def forms(table: pd.DataFrame) -> list[tuple[Any, str]]:
    records = json.loads(table.to_json(orient="records"))
    return [
        (table.to_csv(index=False).encode(), CSV),
        (table.iloc[:, ::-1].to_csv(index=False).encode(), CSV),
        (table.to_csv(index=False, header=False).encode(), CSV),
        (table.to_csv(index=False, quoting=1).encode(), CSV),
        (records, JSON),
        ({"dataframe_split": json.loads(table.to_json(orient="split"))}, JSON),
        (b"".join(json.dumps(one).encode() + b"\n" for one in records), JSON_LINES),
        (table.iloc[:, ::-1].to_parquet(), arrow_io.PARQUET),
    ]


def same_as_library(model: Any, table: pd.DataFrame, expected: Any) -> None:
    for body, kind in forms(table):
        assert same(ask(model, body, kind), expected), kind


def same(found: Any, expected: Any) -> bool:
    if isinstance(found, str):
        pytest.fail(found)
    found, expected = np.array(found), np.asarray(expected)
    close = found.dtype.kind != "f" or np.allclose(found, expected, rtol=1e-9, atol=1e-12)
    return found.shape == expected.shape and close and (found.dtype.kind == "f" or (found == expected).all())


def test_a_pipeline_over_columns_of_every_type(tmp_path: Path) -> None:
    columns = ColumnTransformer(
        [
            ("land", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["land"]),
            ("codes", OrdinalEncoder(), ["code", "flag"]),
            ("amount", StandardScaler(), ["amount"]),
            ("note", TfidfVectorizer(), "note"),
        ]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(TABLE, LABELS)
    found = served(tmp_path, model, SKLEARN_METHOD="decision_function")
    same_as_library(found, ASKED, model.decision_function(ASKED))


@pytest.mark.parametrize("missing", [np.nan, None])
def test_what_is_missing_is_what_was_missing_in_training(tmp_path: Path, missing: Any) -> None:
    table = TABLE[["land", "amount"]].astype({"land": object})
    table.loc[RANDOM.random(N) < 0.2, "land"] = missing
    encoder = ColumnTransformer([("land", OneHotEncoder(), ["land"])], remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression()).fit(table, LABELS)
    found = served(tmp_path, model, SKLEARN_METHOD="predict_proba")
    records = [{"land": None, "amount": 1.5}, {"land": "nan", "amount": 1.5}, {"land": "DE", "amount": 0}]
    given = pd.DataFrame({"land": pd.Series([missing, "nan", "DE"], dtype=object), "amount": [1.5, 1.5, 0]})
    expected = model.predict_proba(given)
    assert same(ask(found, records), expected)
    assert same(ask(found, b"land,amount\n,1.5\nnan,1.5\nDE,0\n", CSV), expected)


def test_categories_of_gradient_boosting(tmp_path: Path) -> None:
    table = TABLE[["land", "amount"]].astype({"land": "category"})
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5).fit(table, LABELS)
    found = served(tmp_path, model, SKLEARN_METHOD="predict_proba")
    same_as_library(found, TABLE[["land", "amount"]].iloc[:30], model.predict_proba(table.iloc[:30]))


def test_a_model_of_texts_alone(tmp_path: Path) -> None:
    several = FeatureUnion([("words", TfidfVectorizer()), ("letters", TfidfVectorizer(analyzer="char"))])
    model = make_pipeline(several, LogisticRegression()).fit(TABLE["note"], LABELS)
    found = served(tmp_path, model, SKLEARN_METHOD="predict_proba")
    notes = ["good day", 'so "so", "bad"', "x\x0by", "1"]
    expected = model.predict_proba(notes)
    assert same(ask(found, [[note] for note in notes]), expected)
    assert same(ask(found, {"instances": notes}), expected)
    assert same(ask(found, pd.Series(notes).to_csv(index=False, header=False).encode(), CSV), expected)
    assert same(ask(found, b"".join(json.dumps(note).encode() + b"\n" for note in notes), JSON_LINES), expected)


def test_text_without_names_of_columns(tmp_path: Path) -> None:
    rows = TABLE[["land", "code"]].astype(object).to_numpy()
    encoder = ColumnTransformer([("land", OneHotEncoder(), [0])], remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression()).fit(rows, LABELS)
    found = served(tmp_path, model, SKLEARN_METHOD="predict_proba")
    expected = model.predict_proba(rows[:5])
    assert same(ask(found, rows[:5].tolist()), expected)
    assert "has no feature names" in ask(found, [{"0": "DE", "1": 1}])


def test_what_the_model_does_not_show_may_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_pipeline(FunctionTransformer(_lengths), LinearRegression()).fit(TABLE[["note", "amount"]], LABELS)
    served(tmp_path, model)
    assert "MODEL_COLUMNS" in capsys.readouterr().out
    found = served(tmp_path, model, MODEL_COLUMNS='{"note": "text"}')
    assert "MODEL_COLUMNS" not in capsys.readouterr().out
    asked = ASKED[["note", "amount"]]
    same_as_library(found, asked, model.predict(asked))
    with pytest.raises(ArtifactError, match="'nobody', which is no column of the model"):
        served(tmp_path, model, MODEL_COLUMNS='{"nobody": "text"}')
    with pytest.raises(Invalid, match="MODEL_COLUMNS must be an object of types"):
        served(tmp_path, model, MODEL_COLUMNS='{"note": "words"}')


def _lengths(table: Any) -> Any:
    return np.column_stack([table["note"].str.len(), table["amount"]])


def test_values_of_a_wrong_type_are_named(tmp_path: Path) -> None:
    encoder = ColumnTransformer([("land", OneHotEncoder(), ["land"]), ("flag", OneHotEncoder(), ["flag"])])
    model = make_pipeline(encoder, LogisticRegression()).fit(TABLE[["land", "flag"]], LABELS)
    found = served(tmp_path, model)
    assert ask(found, [["DE", True], [5, True]]) == "Row 2, column 1 (land): expected text or null, got 5."
    assert ask(found, [["DE", "yes"]]) == "Row 1, column 2 (flag): expected true or false, got 'yes'."
    assert "unknown categories" in ask(found, [["XX", True]])


METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


@pytest.mark.parametrize("method", METHODS)
def test_any_method_of_a_classifier_answers(tmp_path: Path, method: str) -> None:
    rows = TABLE[["amount", "code"]].to_numpy()
    model = LogisticRegression().fit(rows, np.where(LABELS, "yes", "no"))
    found = served(tmp_path, model, SKLEARN_METHOD=method)
    expected = getattr(model, method)(rows[:7])
    assert same(ask(found, rows[:7].tolist()), expected)


def test_a_method_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    model = LinearRegression().fit(TABLE[["amount"]], LABELS)
    with pytest.raises(ArtifactError, match="the model, a LinearRegression, has no predict_proba"):
        served(tmp_path, model, SKLEARN_METHOD="predict_proba")
    with pytest.raises(Invalid, match="SKLEARN_METHOD must be one of predict, predict_proba"):
        served(tmp_path, model, SKLEARN_METHOD="fit")


def test_probabilities_of_several_outputs(tmp_path: Path) -> None:
    rows = TABLE[["amount", "code"]].to_numpy()
    model = RandomForestClassifier(3, random_state=1).fit(rows, np.column_stack([LABELS, ~LABELS]))
    found = served(tmp_path, model, SKLEARN_METHOD="predict_proba")
    first, second = model.predict_proba(rows[:4])
    expected = [[one.tolist(), other.tolist()] for one, other in zip(first, second, strict=True)]
    assert same(ask(found, rows[:4].tolist()), expected)


def test_labels_are_text_in_every_form(tmp_path: Path) -> None:
    rows = TABLE[["amount", "code"]].to_numpy()
    labels = np.where(LABELS, 'a "b", c', "é").astype(object)
    model = RandomForestClassifier(3, random_state=1).fit(rows, labels)
    found = served(tmp_path, model)
    for accept in (CSV, JSON, NPY, JSON_LINES, arrow_io.PARQUET):
        call = Call(
            json.dumps(rows[:5].tolist()).encode(), {b"content-type": JSON.encode(), b"accept": accept.encode()}
        )
        answer = found.render(found.score([found.parse(call)])[0], call)
        assert _labels(answer.body, accept) == model.predict(rows[:5]).tolist()


def _labels(body: bytes, kind: str) -> list[Any]:
    from bench.exact.bodies import answers  # noqa: PLC0415

    found: list[Any] = answers(body, kind).tolist()
    return found


def test_doubles_reach_estimators(tmp_path: Path) -> None:
    rows = np.column_stack([1_700_000_000.25 + np.arange(N), RANDOM.normal(size=N)])
    model = LinearRegression().fit(rows, rows[:, 0] - 1_700_000_000)
    found = served(tmp_path, model)
    assert ask(found, rows[:9].tolist()) == model.predict(rows[:9]).tolist()


IDS = [2**60 + number for number in range(7)]


@pytest.mark.parametrize("named", [True, False], ids=["table", "array"])
@pytest.mark.parametrize("form", [CSV, JSON])
def test_a_category_that_is_a_large_whole_number_is_not_rounded(
    tmp_path: Path, named: bool, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_TRUST", "pickle")
    frame = pd.DataFrame({"id": IDS, "x": np.zeros(len(IDS), np.int64)})
    rows = frame if named else frame.to_numpy()
    columns = ["id"] if named else [0]
    encoded = ColumnTransformer([("id", OneHotEncoder(handle_unknown="ignore"), columns)], remainder="passthrough")
    model = make_pipeline(encoded, LinearRegression()).fit(rows, np.arange(len(IDS)))
    joblib.dump(model, tmp_path / "model.joblib")
    served = load(RuntimeKind.SKLEARN, tmp_path, TRUST)
    listed = [[one, 0] for one in IDS]
    body: object = {"instances": listed} if form == JSON else "".join(f"{a},{b}\n" for a, b in listed).encode()
    np.testing.assert_allclose(ask(served, body, form), model.predict(rows), atol=1e-6)
    assert "whole number" in ask(served, {"instances": [[1.5, 0]]})


def test_a_column_that_is_declared_whole_takes_no_fraction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_TRUST", "pickle")
    joblib.dump(LinearRegression().fit([[1, 2], [3, 4]], [1, 2]), tmp_path / "model.joblib")
    served = load(RuntimeKind.SKLEARN, tmp_path, {**TRUST, "MODEL_COLUMNS": '{"0": "whole"}'})
    assert "expected a whole number, got 1.5" in ask(served, {"instances": [[1.5, 2]]})
    np.testing.assert_allclose(ask(served, {"instances": [[1, 2.5]]}), [1.125])
