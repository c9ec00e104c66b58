"""Categories are compared exactly, and a model whose file does not say them for certain is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from tests.unit.serving.formats.test_arrow_io import table
from tests.unit.serving.formats.test_row_decoder import npy, refused, same
from tests.unit.serving.runtimes.test_schemas import ask
from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.formats import arrow_io
from tidegate.serving.formats.row_decoder import CSV, JSON, NPY, ColumnType, Features, ValueKind
from tidegate.serving.runtimes import categories, load

NAN = float("nan")
RANDOM = np.random.default_rng(4)


def of(*values: Any) -> Features:
    return Features(1, ["c"], [ColumnType(ValueKind.CATEGORY, values)])


# --- text ---

DIGITS = of("1", "2", "10", "01")


def test_digits_are_text_before_they_are_codes() -> None:
    same(DIGITS.read(b"1\n2\n10\n01\n\n", CSV), [[0], [1], [2], [3], [NAN]])
    same(DIGITS.read(b'[["1"],["10"],[null]]', JSON), [[0], [2], [NAN]])
    same(DIGITS.read(table(arrow_io.PARQUET, {"c": ["10", None, "01"]}), arrow_io.PARQUET), [[2], [NAN], [3]])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"0\n", CSV),
        (b"3\n", CSV),
        (b"1.0\n", CSV),
        (b"[[1]]", JSON),
        (npy(np.array([[1]])), NPY),
        (table(arrow_io.PARQUET, {"c": [1]}), arrow_io.PARQUET),
    ],
)
def test_a_number_is_no_code_where_it_could_be_a_category(body: bytes, kind: str) -> None:
    said = refused(DIGITS, body, kind)
    assert "is no category" in said or "may be a category or a code; send the category, as text" in said


def test_text_that_looks_like_a_missing_value_is_text() -> None:
    odd = of("nan", "None", "NA", "", "null", "inf")
    same(odd.read(b"nan\nNone\nNA\n\nnull\ninf\n", CSV), [[0], [1], [2], [3], [4], [5]])
    same(odd.read(b'[["nan"],["None"],[""],[null]]', JSON), [[0], [1], [3], [NAN]])
    assert "'NaN' is no category" in refused(odd, b"NaN\n")
    same(of("x", "y").read(b"NaN\n\nx\n", CSV), [[NAN], [NAN], [0]])
    assert "'None' is no category" in refused(of("x", "y"), b"None\n")


def test_text_is_compared_to_the_letter() -> None:
    forms = of("\u00e9", "e\u0301", " x", "x", "DE", "de")
    same(forms.read("\u00e9\ne\u0301\n x\nx\nde\n DE \n".encode(), CSV), [[0], [1], [2], [3], [5], [4]])
    same(forms.read('[["e\u0301"],["DE"]]'.encode(), JSON), [[1], [4]])
    assert "is no category" in refused(of("\u00e9"), "e\u0301".encode())
    assert "is no category" in refused(of("DE"), b'[[" DE"]]', JSON)


def test_codes_of_plain_text_do_as_well() -> None:
    same(of("DE", "FR").read(b"1\n0\nFR\n", CSV), [[1], [0], [1]])
    assert "2 is no category's code; send a whole number from 0 to 1" in refused(of("DE", "FR"), b"2\n")


# --- numbers ---

LARGE = of(2**24, 2**24 + 1, 2**53, 2**53 + 1, 2**60 + 1)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"16777217\n9007199254740993\n1152921504606846977\n", CSV),
        (b"[[16777217],[9007199254740993],[1152921504606846977]]", JSON),
        (npy(np.array([[2**24 + 1], [2**53 + 1], [2**60 + 1]])), NPY),
        (table(arrow_io.PARQUET, {"c": [2**24 + 1, 2**53 + 1, 2**60 + 1]}), arrow_io.PARQUET),
    ],
)
def test_whole_numbers_are_compared_without_rounding(body: bytes, kind: str) -> None:
    same(LARGE.read(body, kind), [[1], [3], [4]])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"16777218\n", CSV),
        (b"[[16777218]]", JSON),
        (b"[[9007199254740994]]", JSON),
        (npy(np.array([[2**60]])), NPY),
        (npy(np.array([[2**60 + 1]], np.float32)), NPY),
        (b'[["16777217"]]', JSON),
        (b"[[true]]", JSON),
    ],
)
def test_a_number_that_is_near_a_category_is_none(body: bytes, kind: str) -> None:
    assert refused(LARGE, body, kind)


def test_numbers_are_numbers_however_they_are_written() -> None:
    sizes = of(10, 20, 30)
    same(sizes.read(b"20\n20.0\n2e1\n nan\n\n", CSV), [[1], [1], [1], [NAN], [NAN]])
    same(sizes.read(b"[[20],[20.0],[null]]", JSON), [[1], [1], [NAN]])
    same(of(0.1, 0.5).read(npy(np.array([[0.1], [0.5]], np.float32)), NPY), [[0], [1]])
    same(of(0.1, 0.5).read(b"0.1\n", CSV), [[0]])
    nulls = table(arrow_io.PARQUET, {"c": [None, 20, 10]})
    same(sizes.read(nulls, arrow_io.PARQUET), [[NAN], [1], [0]])
    assert refused(sizes, table(arrow_io.PARQUET, {"c": [None, 20, 15]}), arrow_io.PARQUET).startswith(
        "Row 3, column 1"
    )


def test_truth_values_are_categories() -> None:
    flags = of(False, True)
    same(flags.read(b"True\nfalse\n1\n0\n", CSV), [[1], [0], [1], [0]])
    same(flags.read(b"[[true],[false],[1],[null]]", JSON), [[1], [0], [1], [NAN]])


def test_a_code_that_the_model_cannot_tell_from_others_is_refused() -> None:
    assert "is no category's code" in refused(of(), b"16777217\n")
    assert "is no category's code" in refused(of(), npy(np.array([[2**24]])), NPY)


# --- XGBoost ---


def booster(folder: Path, column: pd.Categorical, kind: str = "gbtree") -> Any:
    frame = pd.DataFrame({"land": column, "x": RANDOM.normal(size=len(column))})
    matrix = xgboost.DMatrix(frame, column.codes * 1.0, enable_categorical=True)
    model = xgboost.train({"nthread": 1, "max_depth": 4, "booster": kind}, matrix, 8)
    model.save_model(folder / "model.ubj")
    return model.predict(xgboost.DMatrix(frame.iloc[:20], enable_categorical=True)), frame.iloc[:20]


def column(values: Sequence[Any]) -> pd.Categorical:
    return pd.Categorical.from_codes(np.arange(200) % len(values), categories=pd.Index(values))


BEYOND = ["é", "a", "b", "c"]


@pytest.mark.parametrize("kind", ["gbtree", "dart"])
@pytest.mark.parametrize(
    "values", [["1", "2", "10"], ["nan", "NA", ""], ["v\x0bt", "a,b", 'q"'], [3, 1, 2**24 + 1]]
)
def test_xgboost_categories_are_those_of_training(tmp_path: Path, kind: str, values: list[Any]) -> None:
    expected, frame = booster(tmp_path, column(values), kind)
    model = load(RuntimeKind.XGBOOST, tmp_path, {})
    for body, form in (
        (frame.to_csv(index=False).encode(), CSV),
        (frame.to_json(orient="records").encode(), JSON),
        (frame.to_parquet(), arrow_io.PARQUET),
    ):
        assert ask(model, body, form) == pytest.approx(expected.tolist(), abs=1e-6), form


@pytest.mark.parametrize("values", [BEYOND, ["日本", "é", "x"], ["x", "éé"]])
def test_xgboost_categories_that_may_be_cut_are_refused_or_said(tmp_path: Path, values: list[str]) -> None:
    expected, frame = booster(tmp_path, column(values))
    with pytest.raises(ArtifactError, match=r"the categories of 'land' are not all ASCII.*MODEL_CATEGORIES"):
        load(RuntimeKind.XGBOOST, tmp_path, {})
    model = load(RuntimeKind.XGBOOST, tmp_path, {categories.VARIABLE: json.dumps({"land": values})})
    body = frame.to_csv(index=False).encode()
    assert ask(model, body, CSV) == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        ["é", "a", "b"],
        ["é", "a", "b", "c", "d"],
        ["a", "é", "b", "c"],
        ["è", "a", "b", "c"],
        ["é", "a", "bb", "c"],
    ],
)
def test_what_is_said_of_categories_has_to_agree_with_the_model(tmp_path: Path, values: list[str]) -> None:
    booster(tmp_path, column(BEYOND))
    with pytest.raises(ArtifactError, match="does not agree"):
        load(RuntimeKind.XGBOOST, tmp_path, {categories.VARIABLE: json.dumps({"land": values})})


def test_categories_that_were_cut_rightly_may_be_said_as_well() -> None:
    """As pyarrow's and polars' tables come to XGBoost."""
    data = "éab".encode()
    assert categories.of_bytes("c", data, [0, 2, 3, 4], ("é", "a", "b")) == ("é", "a", "b")
    with pytest.raises(ArtifactError):
        categories.of_bytes("c", data, [0, 2, 3, 4], ("é", "a", "x"))


@pytest.mark.parametrize("said", ["x", "[]", '{"land": "DE"}', '{"land": []}'])
def test_a_setting_of_categories_that_makes_no_sense_is_refused(tmp_path: Path, said: str) -> None:
    booster(tmp_path, column(["a", "b"]))
    with pytest.raises(Invalid, match="MODEL_CATEGORIES"):
        load(RuntimeKind.XGBOOST, tmp_path, {categories.VARIABLE: said})


# --- LightGBM ---

N = 400


def grown(folder: Path, frame: pd.DataFrame, **options: Any) -> Any:
    labels = RANDOM.normal(size=N) * 0.01
    for name in frame:
        codes = frame[name].cat.codes if isinstance(frame[name].dtype, pd.CategoricalDtype) else frame[name]
        labels = labels + np.asarray(codes, float) % 7
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 2}
    model = lightgbm.train(settings, lightgbm.Dataset(frame, labels, **options), 8)
    model.save_model(folder / "model.txt")
    return model.predict(frame.iloc[:20])


def categorical(values: Sequence[Any], ordered: bool = False) -> pd.Categorical:
    codes = RANDOM.integers(0, len(values), N)
    codes[: len(values)] = np.arange(len(values))
    return pd.Categorical.from_codes(codes, categories=pd.Index(values), ordered=ordered)


def test_an_ordered_category_beside_whole_numbers_as_categories(tmp_path: Path) -> None:
    """One list and one column that is compared as categories, which are not of each other."""
    frame = pd.DataFrame(
        {
            "size": categorical(["S", "M", "L"], ordered=True),
            "hour": RANDOM.integers(0, 24, N),
            "x": RANDOM.normal(size=N),
        }
    )
    expected = grown(tmp_path, frame, categorical_feature=["hour"])
    model = load(RuntimeKind.LIGHTGBM, tmp_path, {})
    assert ask(model, frame.iloc[:20].to_csv(index=False).encode(), CSV) == pytest.approx(expected.tolist())
    assert ask(model, frame.iloc[:20].to_parquet(), arrow_io.PARQUET) == pytest.approx(expected.tolist())


def test_ordered_categories_have_lists_too(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "x": RANDOM.normal(size=N),
            "land": categorical(["DE", "FR", "é", "日本"]),
            "size": categorical(["S", "M", "L"], ordered=True),
            "t": RANDOM.integers(1_700_000_000, 1_700_900_000, N),
        }
    )
    expected = grown(tmp_path, frame)
    model = load(RuntimeKind.LIGHTGBM, tmp_path, {})
    assert ask(model, frame.iloc[:20].to_csv(index=False).encode(), CSV) == pytest.approx(expected.tolist())


def test_lists_that_may_be_of_several_columns_are_refused_or_said(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "size": categorical([1, 2, 3], ordered=True),
            "grade": RANDOM.integers(0, 3, N),
            "kind": RANDOM.integers(0, 3, N),
        }
    )
    expected = grown(tmp_path, frame, categorical_feature=["kind"])
    with pytest.raises(ArtifactError, match=r"does not say which columns they are of.*MODEL_CATEGORIES"):
        load(RuntimeKind.LIGHTGBM, tmp_path, {})
    model = load(RuntimeKind.LIGHTGBM, tmp_path, {categories.VARIABLE: '{"size": [1, 2, 3]}'})
    assert ask(model, frame.iloc[:20].to_csv(index=False).encode(), CSV) == pytest.approx(expected.tolist())
    for said in ('{"size": [1, 2]}', '{"nobody": [1, 2, 3]}', '{"size": [1, 2, 3], "kind": [0, 1, 2]}'):
        with pytest.raises(ArtifactError, match="does not agree"):
            load(RuntimeKind.LIGHTGBM, tmp_path, {categories.VARIABLE: said})


def test_a_flag_beside_text_or_numbers_is_not_taken_for_a_category(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "land": categorical(["DE", "FR"]),
            "flag": RANDOM.integers(0, 2, N),
            "size": categorical([10, 20, 30]),
            "truth": categorical([False, True]),
        }
    )
    expected = grown(tmp_path, frame)
    model = load(RuntimeKind.LIGHTGBM, tmp_path, {})
    assert ask(model, frame.iloc[:20].to_csv(index=False).encode(), CSV) == pytest.approx(expected.tolist())
    assert ask(model, frame.iloc[:20].to_json(orient="records").encode(), JSON) == pytest.approx(expected.tolist())


def test_categories_that_nothing_was_learned_of_are_known(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"x": RANDOM.normal(size=N), "one": categorical(["k"]), "land": categorical(["DE", "FR"])}
    )
    expected = grown(tmp_path, frame)
    model = load(RuntimeKind.LIGHTGBM, tmp_path, {})
    assert ask(model, frame.iloc[:20].to_csv(index=False).encode(), CSV) == pytest.approx(expected.tolist())


def test_unix_times_reach_lightgbm_in_full(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": 1_700_000_000 + np.arange(N) * 7.0, "x": RANDOM.normal(size=N)})
    labels = np.sin(np.arange(N))
    model = lightgbm.train(
        {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 1, "min_data_in_bin": 1},
        lightgbm.Dataset(frame, labels),
        20,
    )
    model.save_model(tmp_path / "model.txt")
    served = load(RuntimeKind.LIGHTGBM, tmp_path, {})
    expected = np.asarray(model.predict(frame)).tolist()
    for body, form in (
        (frame.to_csv(index=False).encode(), CSV),
        (json.dumps({"instances": frame.to_numpy().tolist()}).encode(), JSON),
        (npy(frame.to_numpy()), NPY),
        (frame.to_parquet(), arrow_io.PARQUET),
    ):
        assert ask(served, body, form) == expected, form


@pytest.mark.parametrize("named", ["land", "lnad"])
def test_categories_are_not_declared_for_a_file_without_a_list(tmp_path: Path, named: str) -> None:
    rows = np.stack([RANDOM.integers(0, 3, 200), RANDOM.normal(size=200)], axis=1)
    data = xgboost.DMatrix(rows, rows[:, 0], feature_names=["land", "x"], feature_types=["c", "q"])
    xgboost.train({"nthread": 1}, data, 3).save_model(tmp_path / "model.ubj")
    with pytest.raises(
        ArtifactError, match=f"MODEL_CATEGORIES names '{named}'.*no list of the categories of 'land'"
    ):
        load(RuntimeKind.XGBOOST, tmp_path, {"MODEL_CATEGORIES": json.dumps({named: [10, 20, 30]})})
    assert "code" in ask(load(RuntimeKind.XGBOOST, tmp_path, {}), {"instances": [[1.5, 0]]})
