"""What a model's file says of its columns is what a request is checked against: each library's real models."""

import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas
import pytest
import skops.io
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Call, ModelFailed
from tidegate.serving.formats import arrow_io
from tidegate.serving.runtimes import load

RANDOM = np.random.default_rng(5)
TABLE = pandas.DataFrame(
    {
        "amount": RANDOM.normal(size=300).astype("f4"),
        "land": pandas.Categorical(RANDOM.choice(["DE", "FR", "IT"], 300)),
        "size": pandas.Categorical(RANDOM.choice([10, 20, 30], 300)),
        "n": RANDOM.integers(0, 5, 300),
    }
)
VALUES = TABLE["amount"] + 2 * (TABLE["land"] == "FR") + (TABLE["size"] == 20)
RECORDS: list[dict[str, Any]] = json.loads(TABLE.iloc[:5].to_json(orient="records"))


def xgboost_model(folder: Path) -> Any:
    matrix = xgboost.DMatrix(TABLE, VALUES, enable_categorical=True)
    booster = xgboost.train({"nthread": 1, "max_depth": 3}, matrix, 5)
    booster.save_model(folder / "model.ubj")
    return booster.predict(xgboost.DMatrix(TABLE.iloc[:5], enable_categorical=True))


def lightgbm_model(folder: Path) -> Any:
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    booster = lightgbm.train(settings, lightgbm.Dataset(TABLE, VALUES), 5)
    booster.save_model(folder / "model.txt")
    return booster.predict(TABLE.iloc[:5])


def ask(model: Any, body: object, kind: str = "application/json") -> Any:
    """The predictions, or the message of the refusal."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    call = Call(data, {b"content-type": kind.encode(), b"accept": b"application/json"})
    try:
        return json.loads(model.render(model.score([model.parse(call)])[0], call).body)["predictions"]
    except ModelFailed as failed:
        assert failed.status == 400
        return failed.message


@pytest.mark.parametrize(
    ("kind", "make"), [(RuntimeKind.XGBOOST, xgboost_model), (RuntimeKind.LIGHTGBM, lightgbm_model)]
)
def test_categories_are_those_that_the_model_was_trained_with(
    tmp_path: Path, kind: RuntimeKind, make: Any
) -> None:
    expected = pytest.approx(make(tmp_path).tolist(), rel=1e-5)
    model = load(kind, tmp_path, {})
    assert ask(model, RECORDS) == expected
    split = json.loads(TABLE.iloc[:5].to_json(orient="split"))
    assert ask(model, {"dataframe_split": split}) == expected
    assert ask(model, TABLE.iloc[:5, ::-1].to_csv(index=False).encode(), "text/csv") == expected
    assert ask(model, TABLE.iloc[:5].to_parquet(), arrow_io.PARQUET) == expected
    wrong = [*RECORDS[:2], {**RECORDS[2], "land": "XX"}]
    assert ask(model, wrong).startswith("Row 3, column 2 (land): 'XX' is no category that the model knows ('DE'")
    wrong = [*RECORDS[:2], {**RECORDS[2], "size": 15}]
    assert ask(model, wrong).startswith("Row 3, column 3 (size): 15 is no category")
    empty = [{"amount": None, "land": None, "size": None, "n": None}]
    assert len(ask(model, empty)) == 1


def test_xgboost_takes_whole_numbers_where_it_was_trained_with_them(tmp_path: Path) -> None:
    xgboost_model(tmp_path)
    model = load(RuntimeKind.XGBOOST, tmp_path, {})
    assert ask(model, [{**RECORDS[0], "n": 1.5}]) == "Row 1, column 4 (n): 1.5 is not a whole number."


def test_an_estimator_that_finds_columns_by_name_gets_them(tmp_path: Path) -> None:
    table = TABLE[["amount", "n"]].astype("f4")
    pipeline = make_pipeline(
        ColumnTransformer([("scaled", StandardScaler(), ["n", "amount"])]), LinearRegression()
    ).fit(table, VALUES)
    skops.io.dump(pipeline, tmp_path / "model.skops")
    model = load(RuntimeKind.SKLEARN, tmp_path, {})
    expected = pipeline.predict(table.iloc[:5]).tolist()
    assert ask(model, table.iloc[:5, ::-1].to_csv(index=False).encode(), "text/csv") == pytest.approx(expected)
    assert ask(model, [[1, 2], [3, None]]).startswith("Row 2, column 2 (n): a missing value, which the model does")


def onnx_model(folder: Path) -> None:
    """``amount`` + ``n``, where ``land`` is DE; each column an input of its own, as converters make them."""
    kinds = {"amount": onnx.TensorProto.FLOAT, "land": onnx.TensorProto.STRING, "n": onnx.TensorProto.INT64}
    shape = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node
    nodes = [
        node("LabelEncoder", ["land"], ["known"], domain="ai.onnx.ml", keys_strings=["DE"], values_floats=[1.0]),
        node("Cast", ["n"], ["count"], to=onnx.TensorProto.FLOAT),
        node("Add", ["amount", "count"], ["sum"]),
        node("Mul", ["sum", "known"], ["out"]),
    ]
    inputs = [shape(name, kind, [None, 1]) for name, kind in kinds.items()]
    graph = onnx.helper.make_graph(nodes, "g", inputs, [shape("out", onnx.TensorProto.FLOAT, [None, 1])])
    opsets = [onnx.helper.make_opsetid("ai.onnx.ml", 2), onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'[{"n": 2, "land": "DE", "amount": 1.5}, {"n": 4, "land": "DE", "amount": 1}]', "application/json"),
        (b'[[1.5, "DE", 2], [1, "DE", 4]]', "application/json"),
        (b"n,amount,land\n2,1.5,DE\n4,1,DE\n", "text/csv"),
        (b'1.5,"DE",2\n1,DE,4', "text/csv"),
        (
            pandas.DataFrame({"n": [2, 4], "amount": [1.5, 1.0], "land": ["DE", "DE"]}).to_parquet(),
            arrow_io.PARQUET,
        ),
    ],
)
def test_onnx_inputs_of_one_column_each_are_fed_by_name(tmp_path: Path, body: bytes, kind: str) -> None:
    onnx_model(tmp_path)
    model = load(RuntimeKind.ONNX, tmp_path, {})
    assert ask(model, body, kind) == [3.5, 5.0]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ([[1, "DE", 1.5]], "Row 1, column 3 (n): expected a whole number, got 1.5."),
        ([[1, "DE", None]], "Row 1, column 3 (n): expected a whole number, got null."),
        ([[1, "DE", 2**63]], f"Row 1, column 3 (n): {2**63} is beyond int64."),
        ([[1, 5, 1]], "Row 1, column 2 (land): expected text, got 5."),
        ([["x", "DE", 1]], "Row 1, column 1 (amount): expected a number or null, got 'x'."),
        (
            [[1, "DE", 1], [None, "DE", 1]],
            "Row 2, column 1 (amount): a missing value, for which the model gives no",
        ),
        ([[1e39, "DE", 1]], "Row 1, column 1 (amount): the value is infinite or beyond float32."),
        ([{"amount": 1, "land": "DE"}], "Row 1 has no 'n'"),
        ([[1, "DE"]], "Row 1 has 2 columns; the model takes 3."),
    ],
)
def test_what_onnx_inputs_do_not_take(tmp_path: Path, body: object, why: str) -> None:
    onnx_model(tmp_path)
    assert ask(load(RuntimeKind.ONNX, tmp_path, {}), body).startswith(why)


def test_requests_to_onnx_inputs_are_scored_together_and_apart(tmp_path: Path) -> None:
    onnx_model(tmp_path)
    model: Any = load(RuntimeKind.ONNX, tmp_path, {})
    calls = [Call(body, {b"content-type": b"text/csv"}) for body in (b"1,DE,1\n2,DE,2", b"3,DE,3")]
    found = model.score([model.parse(call) for call in calls])
    assert [scores.tolist() for scores in found] == [[2, 4], [6]]
