"""Random models of each runtime, saved as their libraries save them, beside what the library itself predicts."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import skops.io
import torch
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from bench.exact.schemas import (
    BEYOND_ASCII,
    LISTED,
    NAMES,
    NUMBER,
    NUMBERED,
    PLAIN_NAMES,
    TEXT,
    TEXTS,
    TRUTH,
    WHOLE,
    Field,
    fields,
    frame,
)
from tidegate.serving.contract.catalogue import RuntimeKind

TRAINED = 300
"""Rows."""
TRUST = {"TIDEGATE_TRUST": "pickle"}


@dataclass(frozen=True)
class Case:
    """A model in ``folder``. ``expected``: what its library predicts for a table; ``named``: its columns have names;
    ``truths``: JSON's true and false are for truth values, else 1 and 0; ``tables``: it reads parquet and Arrow."""

    kind: RuntimeKind
    folder: Path
    columns: Sequence[Field]
    expected: Callable[[pd.DataFrame], Any]
    named: bool = True
    truths: bool = False
    tables: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


Make = Callable[[np.random.Generator, Path, Sequence[Field] | None], Case]
"""Chance, a folder for the model, and its columns: those of chance where none are given."""


def _target(table: pd.DataFrame, random: np.random.Generator) -> Any:
    """Something that depends on every column, by their ranks: sizes differ too much for anything else."""
    total = random.normal(size=len(table)) * 0.1
    for name in table.columns:
        column = table[name]
        codes = column.cat.codes if isinstance(column.dtype, pd.CategoricalDtype) else column.rank(pct=True)
        total += random.normal() * np.nan_to_num(np.asarray(codes, np.float64))
    return total


# --- trees ---


def xgboost_model(random: np.random.Generator, folder: Path, given: Sequence[Field] | None = None) -> Case:
    names = NUMBERED if random.random() < 0.3 else NAMES
    columns = given or fields(random, (NUMBER, NUMBER, WHOLE, TRUTH, TEXT, LISTED), names, TEXTS)
    table = frame(columns, TRAINED, random)
    labels = _target(table, random)
    settings: dict[str, Any] = {"nthread": 1, "max_depth": int(random.integers(2, 6)), "seed": 1}
    objective = str(random.choice(["reg:squarederror", "binary:logistic", "multi:softprob", "count:poisson"]))
    settings["objective"] = objective
    settings["booster"] = str(random.choice(["gbtree", "gbtree", "dart"]))
    booster = xgboost.train(
        _classes(settings, objective),
        xgboost.DMatrix(table, _labels(labels, objective), enable_categorical=True),
        8,
    )
    booster.save_model(folder / str(random.choice(["model.ubj", "model.json"])))
    return Case(
        RuntimeKind.XGBOOST,
        folder,
        columns,
        lambda rows: booster.predict(xgboost.DMatrix(rows, enable_categorical=True)),
        truths=True,
    )


def _classes(settings: dict[str, Any], objective: str) -> dict[str, Any]:
    return {**settings, "num_class": 3} if objective == "multi:softprob" else settings


def _labels(values: Any, objective: str) -> Any:
    ranks = pd.Series(values).rank(pct=True).to_numpy()
    return {"binary:logistic": ranks > 0.5, "multi:softprob": (ranks * 2.99).astype(int)}.get(objective, ranks)


def linear_xgboost_model(random: np.random.Generator, folder: Path, given: Sequence[Field] | None = None) -> Case:
    columns = given or fields(random, (NUMBER, WHOLE), PLAIN_NAMES, TEXTS)
    columns = [replace(one, size=1.0, gaps=False) for one in columns]
    table = frame(columns, TRAINED, random)
    settings = {"nthread": 1, "booster": "gblinear", "objective": "reg:squarederror"}
    booster = xgboost.train(settings, xgboost.DMatrix(table, _target(table, random)), 8)
    booster.save_model(folder / "model.ubj")
    return Case(RuntimeKind.XGBOOST, folder, columns, lambda rows: booster.predict(xgboost.DMatrix(rows)))


def lightgbm_model(random: np.random.Generator, folder: Path, given: Sequence[Field] | None = None) -> Case:
    columns = given or fields(
        random, (NUMBER, NUMBER, WHOLE, TRUTH, TEXT, LISTED), PLAIN_NAMES, (*TEXTS, *BEYOND_ASCII)
    )
    table = frame(columns, TRAINED, random)
    settings: dict[str, Any] = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 3, "seed": 1}
    objective = str(random.choice(["regression", "binary", "multiclass"]))
    ranks = pd.Series(_target(table, random)).rank(pct=True).to_numpy()
    labels = {"binary": ranks > 0.5, "multiclass": (ranks * 2.99).astype(int)}.get(objective, ranks)
    settings |= {"objective": objective} | ({"num_class": 3} if objective == "multiclass" else {})
    booster = lightgbm.train(settings, lightgbm.Dataset(table, labels), 8)
    booster.save_model(folder / "model.txt")
    return Case(RuntimeKind.LIGHTGBM, folder, columns, booster.predict)


# --- scikit-learn ---


def sklearn_model(random: np.random.Generator, folder: Path, given: Sequence[Field] | None = None) -> Case:
    columns = given or fields(random, (NUMBER, NUMBER, WHOLE), PLAIN_NAMES, TEXTS)
    named = bool(random.random() < 0.5)
    choice = random.choice(["linear", "forest", "classes", "margins", "boosting", "neighbours"])
    keeps_gaps = choice == "boosting"
    columns = [replace(one, gaps=one.gaps and keeps_gaps) for one in columns]
    table = frame(columns, TRAINED, random)
    ranks = pd.Series(_target(table, random)).rank(pct=True).to_numpy()
    model, method = {
        "linear": (LinearRegression(), "predict"),
        "forest": (RandomForestRegressor(5, random_state=1), "predict"),
        "classes": (make_pipeline(StandardScaler(), LogisticRegression()), "predict_proba"),
        "margins": (make_pipeline(StandardScaler(), LogisticRegression()), "decision_function"),
        "boosting": (HistGradientBoostingClassifier(max_iter=5), "predict_proba"),
        "neighbours": (make_pipeline(StandardScaler(), KNeighborsRegressor()), "predict"),
    }[str(choice)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = table if named else table.to_numpy(np.float64)
        model.fit(given, ranks if method == "predict" else ranks > 0.5)
    skops.io.dump(model, folder / "model.skops")

    def expected(rows: pd.DataFrame) -> Any:
        return getattr(model, method)(rows if named else rows.to_numpy(np.float64))

    environment = {**TRUST, "SKLEARN_METHOD": method}
    return Case(RuntimeKind.SKLEARN, folder, columns, expected, named=named, environment=environment)


def sklearn_pipeline(random: np.random.Generator, folder: Path, given: Sequence[Field] | None = None) -> Case:
    """Over columns of text, truth values and numbers."""
    columns = given or fields(random, (NUMBER, TEXT, TEXT, TRUTH), NAMES, (*TEXTS, *BEYOND_ASCII))
    columns = [
        Field(one.name, one.kind, one.categories, min(one.size, 1e6), one.gaps and one.kind == TEXT)
        for one in columns
    ]
    if not any(one.kind == TEXT for one in columns):
        columns = [*columns, Field("text", TEXT, ("DE", "1", "nan"))]
    table = _plain_text(frame(columns, TRAINED, random))
    of = {kind: [one.name for one in columns if one.kind == kind] for kind in (NUMBER, TEXT, TRUTH)}
    encoder = OneHotEncoder() if random.random() < 0.5 else OrdinalEncoder()
    if random.random() < 0.3:
        encoder = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
    parts = [
        ("text", encoder, of[TEXT]),
        ("numbers", StandardScaler(), of[NUMBER]),
        ("truth", "passthrough", of[TRUTH]),
    ]
    model = make_pipeline(
        ColumnTransformer([part for part in parts if part[2]]), HistGradientBoostingClassifier(max_iter=3)
    )
    if not isinstance(encoder, OrdinalEncoder):
        model.steps[0][1].sparse_threshold = 0
    model.fit(table, pd.Series(_ranks(table)) > 0.5)
    skops.io.dump(model, folder / "model.skops")

    def expected(rows: pd.DataFrame) -> Any:
        return model.predict_proba(_plain_text(rows))

    environment = {**TRUST, "SKLEARN_METHOD": "predict_proba"}
    return Case(RuntimeKind.SKLEARN, folder, columns, expected, truths=False, environment=environment)


def _plain_text(table: pd.DataFrame) -> pd.DataFrame:
    """Categories as text, NaN for what is missing: what a data frame of text has."""
    found = {}
    for name in table.columns:
        column = table[name]
        is_text = isinstance(column.dtype, pd.CategoricalDtype)
        found[name] = (
            pd.Series(column.astype(object).where(column.notna(), np.nan), dtype=object) if is_text else column
        )
    return pd.DataFrame(found)


def _ranks(table: pd.DataFrame) -> Any:
    codes = [pd.factorize(table[name])[0] if table[name].dtype == object else table[name].rank() for name in table]
    return pd.Series(np.sum([np.asarray(one, np.float64) for one in codes], axis=0)).rank(pct=True)


# --- ONNX, PyTorch ---


def onnx_matrix(random: np.random.Generator, folder: Path, given: Sequence[Field] | None = None) -> Case:
    """Sigmoid of a linear function, of one float tensor."""
    columns = [
        Field(f"c{at}", size=float(random.choice((1e-3, 1.0, 100.0)))) for at in range(random.integers(1, 8))
    ]
    if len(columns) == 1:  # it has the tensor's name
        columns = [replace(columns[0], name="rows")]
    weights = random.normal(size=(len(columns), int(random.integers(1, 4)))).astype(np.float32)
    tensor, helper = onnx.TensorProto.FLOAT, onnx.helper
    nodes = [helper.make_node("MatMul", ["rows", "w"], ["sums"]), helper.make_node("Sigmoid", ["sums"], ["out"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("rows", tensor, [None, len(columns)])],
        [helper.make_tensor_value_info("out", tensor, [None, weights.shape[1]])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    run = _saved(graph, folder)

    def expected(rows: pd.DataFrame) -> Any:
        return _flat(run({"rows": rows.to_numpy(np.float32)}))

    return Case(RuntimeKind.ONNX, folder, columns, expected, named=False)


_ONNX = {
    "float": (onnx.TensorProto.FLOAT, np.float32, NUMBER),
    "double": (onnx.TensorProto.DOUBLE, np.float64, NUMBER),
    "int64": (onnx.TensorProto.INT64, np.int64, WHOLE),
    "bool": (onnx.TensorProto.BOOL, np.bool_, TRUTH),
    "text": (onnx.TensorProto.STRING, object, TEXT),
}


def onnx_columns(random: np.random.Generator, folder: Path, given: Sequence[Field] | None = None) -> Case:
    """The sum of what each column gives, each an input of its own and of its own type, in doubles."""
    columns = list(given or fields(random, (NUMBER, WHOLE, TRUTH, TEXT), PLAIN_NAMES, (*TEXTS, *BEYOND_ASCII)))
    columns = [replace(one, size=min(one.size, 1e15), gaps=False) for one in columns]
    helper, nodes, inputs = onnx.helper, [], []
    kinds = [
        str(random.choice([kind for kind, one in _ONNX.items() if one[2] == field.kind])) for field in columns
    ]
    for at, (one, kind) in enumerate(zip(columns, kinds, strict=True)):
        inputs.append(helper.make_tensor_value_info(one.name, _ONNX[kind][0], [None, 1]))
        if kind == "text":
            nodes.append(_encoder(one, f"f{at}"))
        cast = f"f{at}" if kind == "text" else one.name
        nodes.append(helper.make_node("Cast", [cast], [f"d{at}"], to=onnx.TensorProto.DOUBLE))
    nodes.append(helper.make_node("Concat", [f"d{at}" for at in range(len(kinds))], ["out"], axis=1))
    out = helper.make_tensor_value_info("out", onnx.TensorProto.DOUBLE, [None, len(kinds)])
    run = _saved(helper.make_graph(nodes, "g", inputs, [out]), folder)

    def expected(rows: pd.DataFrame) -> Any:
        given = {
            name: rows[name]
            .astype(object if _ONNX[kind][1] is object else _ONNX[kind][1])
            .to_numpy()
            .reshape(-1, 1)
            for name, kind in zip(rows.columns, kinds, strict=True)
        }
        return _flat(run(given))

    return Case(RuntimeKind.ONNX, folder, columns, expected, truths=True)


def _encoder(column: Field, output: str) -> Any:
    return onnx.helper.make_node(
        "LabelEncoder",
        [column.name],
        [output],
        domain="ai.onnx.ml",
        keys_strings=list(column.categories),
        values_floats=[float(1 + code) for code in range(len(column.categories))],
        default_float=-7.0,
    )


def _saved(graph: Any, folder: Path) -> Callable[[dict[str, Any]], Any]:
    opsets = [onnx.helper.make_opsetid("ai.onnx.ml", 2), onnx.helper.make_opsetid("", 17)]
    data = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda given: session.run(["out"], given)[0]


def _flat(found: Any) -> Any:
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


class Network(torch.nn.Module):  # type: ignore[misc]
    """Two layers."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.first = torch.nn.Linear(width, 5)
        self.last = torch.nn.Linear(5, outputs)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.first(rows)))


def pytorch_model(random: np.random.Generator, folder: Path, given: Sequence[Field] | None = None) -> Case:
    columns = [
        Field(f"c{at}", size=float(random.choice((1e-3, 1.0, 100.0)))) for at in range(random.integers(2, 8))
    ]
    torch.manual_seed(int(random.integers(1000)))
    model = Network(len(columns), int(random.integers(1, 4))).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(model).save(str(folder / "model.pt"))

    def expected(rows: pd.DataFrame) -> Any:
        with torch.inference_mode():
            return _flat(model(torch.from_numpy(rows.to_numpy(np.float32))).numpy())

    return Case(RuntimeKind.PYTORCH, folder, columns, expected, named=False)


# --- MLflow ---


def mlflow_model(random: np.random.Generator, folder: Path, given: Sequence[Field] | None = None) -> Case:
    import mlflow.sklearn  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415

    columns = given or fields(random, (NUMBER, WHOLE), PLAIN_NAMES, TEXTS)
    columns = [replace(one, size=min(one.size, 1e9), gaps=False) for one in columns]
    table = frame(columns, TRAINED, random)
    model = RandomForestRegressor(5, random_state=1) if random.random() < 0.5 else LinearRegression()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(table, _target(table, random))
        signature = infer_signature(table, model.predict(table))
        mlflow.sklearn.save_model(
            model, str(folder / "m"), signature=signature, pip_requirements=[], serialization_format="cloudpickle"
        )
    return Case(RuntimeKind.MLFLOW, folder / "m", columns, model.predict, tables=False, environment=TRUST)


MAKERS: dict[str, Make] = {
    "XGBoost": xgboost_model,
    "XGBoost, gblinear": linear_xgboost_model,
    "LightGBM": lightgbm_model,
    "scikit-learn": sklearn_model,
    "scikit-learn, text": sklearn_pipeline,
    "ONNX, one tensor": onnx_matrix,
    "ONNX, columns": onnx_columns,
    "PyTorch": pytorch_model,
    "MLflow": mlflow_model,
}
__all__ = ["LISTED", "MAKERS", "TRUTH", "Case"]
