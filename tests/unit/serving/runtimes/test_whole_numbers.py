"""Whole numbers that float32 cannot hold: the answer is what the library gives for them in one's own process."""

import io
from pathlib import Path

import joblib
import lightgbm
import msgspec
import numpy as np
import onnx
import pandas as pd
import pytest
import torch
import xgboost
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.formats import arrow_io, dataframes
from tidegate.serving.formats.exact_cast import Inexact, array_of, cast
from tidegate.serving.runtimes import load, pytorch
from tidegate.serving.runtimes import xgboost as runtime

FIRST = 2**24
RANDOM = np.random.default_rng(6)
NUMBERS = np.unique(
    np.concatenate(
        [
            np.arange(FIRST - 8, FIRST + 64),
            *(2**power + RANDOM.integers(-(2**20), 2**20, 200) for power in (31, 32, 40, 50)),
            RANDOM.integers(1_500_000_000_000, 1_800_000_000_000, 200),  # Unix times in milliseconds
        ]
    )
)
ROWS = np.stack([NUMBERS, -NUMBERS], axis=1)


def answers(model: object, body: bytes, kind: str) -> np.ndarray:
    call = Call(body, {b"content-type": kind.encode(), b"accept": b"application/json"})
    [scores] = model.score([model.parse(call)])  # type: ignore[attr-defined]
    answer = model.render(scores, call)  # type: ignore[attr-defined]
    assert isinstance(answer, Answer)
    return np.ravel(msgspec.json.decode(answer.body)["predictions"])


def bodies() -> dict[str, bytes]:
    file = io.BytesIO()
    np.save(file, ROWS)
    return {
        "text/csv": "".join(f"{one},{other}\n" for one, other in ROWS.tolist()).encode(),
        "application/json": msgspec.json.encode(ROWS.tolist()),
        "application/jsonlines": b"\n".join(map(msgspec.json.encode, ROWS.tolist())),
        "application/x-npy": file.getvalue(),
    }


@pytest.mark.parametrize("kind", bodies())
def test_xgboost_answers_as_in_process(kind: str, tmp_path: Path) -> None:
    labels = np.argsort(np.argsort(NUMBERS)).astype(float)
    settings = {"max_depth": 12, "nthread": 1, "eta": 1.0, "tree_method": "exact", "min_child_weight": 0}
    booster = xgboost.train(settings, xgboost.DMatrix(ROWS, labels), 2)
    booster.save_model(tmp_path / "xgboost-model.ubj")
    expected = booster.predict(xgboost.DMatrix(ROWS))
    assert len(np.unique(expected)) > 64  # thresholds lie between neighbours
    found = answers(runtime.load(tmp_path, {}), bodies()[kind], kind)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-4)


@pytest.mark.parametrize("kind", bodies())
def test_pytorch_answers_as_in_process(kind: str, tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.5]]))
        layer.bias.zero_()
    torch.jit.script(layer).save(str(tmp_path / "model.pt"))
    with torch.no_grad():
        expected = layer(torch.from_numpy(ROWS).float()).numpy().ravel()
    found = answers(pytorch.load(tmp_path, {}), bodies()[kind], kind)
    np.testing.assert_array_equal(found, expected)


# --- whole numbers beyond those that a double holds, where each is another thing ---

TWINS = [2**53, 2**53 + 1]
"""One double, and two categories."""
SPELLINGS = {
    "{}": True,
    "+{}": True,
    "000{}": True,
    "{}.0": True,
    "{}.": True,
    "+{}.000": True,
    "{}e0": True,
    "{}0E-1": True,
    "{:.15e}": True,
    " {} ": True,
    '"{}.0"': True,
    "{}.5": False,
    "{}.25": False,
}
"""How a CSV may have a number, and whether it is the whole number."""


def spell(form: str, number: int) -> str:
    digits = str(number)
    return f"{digits[0]}.{digits[1:]}e15" if form == "{:.15e}" else form.format(number)


def by_xgboost(folder: Path) -> object:
    keys = np.array(TWINS * 40)
    frame = pd.DataFrame({"key": pd.Categorical(keys, categories=TWINS), "size": np.zeros(80)})
    booster = xgboost.train(
        {"nthread": 1, "eta": 1.0, "lambda": 0, "base_score": 0.0},
        xgboost.DMatrix(frame, keys - TWINS[0], enable_categorical=True),
        1,
    )
    booster.save_model(folder / "model.ubj")
    return load(RuntimeKind.XGBOOST, folder, {})


def by_lightgbm(folder: Path) -> object:
    keys = np.array(TWINS * 40)
    frame = pd.DataFrame({"key": pd.Categorical(keys, categories=TWINS), "size": np.arange(80) % 3})
    settings = {"min_data_in_leaf": 1, "min_data_per_group": 1, "cat_smooth": 0, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(
        {**settings, "learning_rate": 1.0, "cat_l2": 0}, lightgbm.Dataset(frame, keys - TWINS[0]), 1
    )
    booster.save_model(folder / "model.txt")
    return load(RuntimeKind.LIGHTGBM, folder, {})


def by_scikit_learn(folder: Path, kind: type = np.int64) -> object:
    table = pd.DataFrame({"key": np.array(TWINS * 40, kind), "size": np.zeros(80)})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LinearRegression()).fit(table, [0, 1] * 40)
    joblib.dump(model, folder / "model.joblib")
    return load(RuntimeKind.SKLEARN, folder, {"TIDEGATE_TRUST": "pickle"})


def by_onnx(folder: Path) -> object:
    """The difference to the first number, which no float holds."""
    value = onnx.helper.make_tensor_value_info
    whole, some = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    nodes = [
        onnx.helper.make_node("Sub", ["key", "first"], ["over"]),
        onnx.helper.make_node("Cast", ["over"], ["out"], to=some),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [value("key", whole, [None, 1]), value("size", some, [None, 1])],
        [value("out", some, [None, 1])],
        [onnx.numpy_helper.from_array(np.array([[TWINS[0]]]), "first")],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return load(RuntimeKind.ONNX, folder, {})


MAKERS = {"xgboost": by_xgboost, "lightgbm": by_lightgbm, "sklearn": by_scikit_learn, "onnx": by_onnx}


@pytest.fixture(scope="module", params=MAKERS)
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A model that answers 0 for the first number and 1 for the second."""
    return MAKERS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("form", SPELLINGS)
def test_two_whole_numbers_of_one_double_stay_two_in_a_csv(twins: object, form: str) -> None:
    for answer, number in enumerate(TWINS):
        body = f"{spell(form, number)},0\n".encode()
        if SPELLINGS[form]:
            assert answers(twins, body, "text/csv") == pytest.approx([answer], abs=1e-6)
        else:
            with pytest.raises(ModelFailed):
                answers(twins, body, "text/csv")


@pytest.mark.parametrize("kind", ["application/json", "application/jsonlines"])
@pytest.mark.parametrize("form", ["{}", "{}.0", "{}e0", "{:.15e}", "{}.5"])
def test_two_whole_numbers_of_one_double_stay_two_in_json(twins: object, form: str, kind: str) -> None:
    """A fraction in JSON has become a double when it is checked: it is refused, and how to send it is said."""
    for answer, number in enumerate(TWINS):
        row = f"[{spell(form, number)}, 0]"
        body = (row if kind == "application/jsonlines" else f"[{row}]").encode()
        if form == "{}":
            assert answers(twins, body, kind) == pytest.approx([answer], abs=1e-6)
        else:
            with pytest.raises(
                ModelFailed, match=r"Row 1, column 1 .*: .* may have been rounded; send a whole number"
            ):
                answers(twins, body, kind)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_floats_of_an_array_or_a_table_that_may_be_rounded_are_refused(twins: object, dtype: type) -> None:
    array = io.BytesIO()
    np.save(array, np.array([[TWINS[0], 0]], dtype))
    with pytest.raises(ModelFailed):
        answers(twins, array.getvalue(), "application/x-npy")
    table = pd.DataFrame({"key": np.array(TWINS[:1], dtype), "size": [0.0]}).to_parquet()
    with pytest.raises(ModelFailed):
        answers(twins, table, arrow_io.PARQUET)


def test_whole_numbers_of_an_array_or_a_table_are_exact(twins: object) -> None:
    array = io.BytesIO()
    np.save(array, np.array([[one, 0] for one in TWINS]))
    assert answers(twins, array.getvalue(), "application/x-npy") == pytest.approx([0, 1], abs=1e-6)
    table = pd.DataFrame({"key": TWINS, "size": [0.0, 0.0]}).to_parquet()
    assert answers(twins, table, arrow_io.PARQUET) == pytest.approx([0, 1], abs=1e-6)


def test_a_category_that_is_a_double_is_no_other_whole_number(tmp_path: Path) -> None:
    """Both of the numbers are one double in training; only one of them may be asked for."""
    model = by_scikit_learn(tmp_path, np.float64)
    for kind, row in (("text/csv", "{},0"), ("text/csv", "{}.0,0"), ("application/json", "[[{}, 0]]")):
        assert len(answers(model, row.format(TWINS[0]).encode(), kind)) == 1
        with pytest.raises(ModelFailed, match="beyond what float64 holds exactly"):
            answers(model, row.format(TWINS[1]).encode(), kind)
    table = pd.DataFrame({"key": TWINS, "size": [0.0, 0.0]}).to_parquet()
    with pytest.raises(ModelFailed, match="may have been rounded"):
        answers(model, table, arrow_io.PARQUET)


@pytest.mark.parametrize("value", [[[2.0**53]], [[2**53 + 1, 2.0**53]], [[2**53 + 2, 1.5]]])
def test_tensors_of_whole_numbers_take_no_float_that_may_be_rounded(value: object) -> None:
    with pytest.raises(Inexact):
        cast(array_of(value, np.int64), np.int64)


def test_tensors_of_whole_numbers_are_exact() -> None:
    assert cast(array_of([[2**53 + 1, 1.0]], np.int64), np.int64).tolist() == [[2**53 + 1, 1]]


def test_a_long_of_mlflow_s_is_exact_or_refused() -> None:
    signature = dataframes.Signature((dataframes.SchemaColumn("key", "long"),), ())
    for form in ("{}", "{}.0", "{:.15e}"):
        frame, _ = signature.read(f"{spell(form, TWINS[1])}\n".encode(), "text/csv")
        assert frame["key"].tolist() == [TWINS[1]]
    with pytest.raises(ModelFailed, match="expected a whole number"):
        signature.read(b'{"instances": [{"key": 9007199254740993.0}]}', "application/json")
