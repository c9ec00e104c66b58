"""MLflow folders: the forms of its scoring server, signatures, requirements, trust, and broken folders."""

import asyncio
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import mlflow.lightgbm
import mlflow.onnx
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import msgspec
import numpy as np
import onnx
import pandas as pd
import pytest
import xgboost
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.integration.test_worker_runtimes import onnx_model
from tests.worker_process import Workers, workers
from tidegate.domain.errors import ArtifactError
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Call, ModelFailed
from tidegate.serving.runtimes import load
from tidegate.serving.runtimes import mlflow as served

pytestmark = pytest.mark.slow

__all__ = ["workers"]

TRUST = {"TIDEGATE_TRUST": "pickle"}
COLUMNS = [
    ColSpec("double", "amount"),
    ColSpec("long", "hour"),
    ColSpec("boolean", "abroad"),
    ColSpec("string", "land", required=False),
]
ROW = {"amount": 2.5, "hour": 3, "abroad": True, "land": "DE"}
GOOD = list(ROW.values())
NOTHING: list[str] = []


def _save(top: Path) -> None:
    class Sums(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        """Answers with what it was given."""

        # MLflow takes hints for a schema
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            factor = (params or {}).get("factor", 1)
            total = model_input["amount"] * factor + model_input["hour"] + model_input["abroad"]
            return pd.DataFrame({"total": total, "land": model_input.get("land")})

    params = ParamSchema([ParamSpec("factor", "double", 1.0)])
    signature = ModelSignature(Schema(COLUMNS), params=params)
    mlflow.pyfunc.save_model(
        str(top / "columns"), python_model=Sums(), signature=signature, pip_requirements=NOTHING
    )
    rows = np.random.default_rng(1).normal(size=(50, 3))
    model = LinearRegression().fit(rows, rows @ [1, 2, 3])
    tensor = ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 3))]))
    for name, one in (("tensor", tensor), ("plain", None)):
        mlflow.sklearn.save_model(
            model, str(top / name), signature=one, pip_requirements=NOTHING, serialization_format="cloudpickle"
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """columns: typed columns and a parameter; tensor: one array; plain: no signature."""
    top = tmp_path_factory.mktemp("mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow has advice for whoever saves a model
        _save(top)
    return top


@pytest.fixture(scope="module")
def columns(made: Path) -> served.Pyfunc:
    return served.load(made / "columns", TRUST)


def ask(model: served.Pyfunc, asked: object, content_type: str = "application/json") -> Any:
    body = asked if isinstance(asked, bytes) else msgspec.json.encode(asked)
    return msgspec.json.decode(model.answer(Call(body, {b"content-type": content_type.encode()})).body)[
        "predictions"
    ]


def refused(model: served.Pyfunc, asked: object, content_type: str = "application/json") -> str:
    with pytest.raises(ModelFailed) as caught:
        ask(model, asked, content_type)
    assert caught.value.status == 400
    return caught.value.message


def split(*rows: list[object], names: list[str] | None = None) -> dict[str, object]:
    return {"dataframe_split": {"columns": names or list(ROW), "data": list(rows)}}


def test_every_form_of_a_table_gives_the_same_answer(columns: served.Pyfunc) -> None:
    expected = [{"total": 6.5, "land": "DE"}]
    for asked in (
        split([2.5, 3, True, "DE"]),
        split(["DE", True, 3, 2.5], names=["land", "abroad", "hour", "amount"]),
        {"dataframe_split": {"data": [[2.5, 3, True, "DE"]]}},
        {"dataframe_records": [ROW]},
        {"instances": [ROW]},
        {"instances": [[2.5, 3, True, "DE"]]},
        {"inputs": {name: [value] for name, value in ROW.items()}},
        {"inputs": ROW},
        {"inputs": [ROW]},
    ):
        assert ask(columns, asked) == expected
    assert ask(columns, b"hour,amount,abroad,land\n3,2.5,true,DE\n", "text/csv") == expected
    assert ask(columns, b"2.5,3,true,DE", "text/csv; charset=utf-8") == expected
    assert ask(columns, {"dataframe_records": [ROW], "params": {"factor": 2}}) == [{"total": 9.0, "land": "DE"}]


def test_what_is_missing_and_may_be(columns: served.Pyfunc) -> None:
    without = {name: value for name, value in ROW.items() if name != "land"}
    assert ask(columns, {"dataframe_records": [without]}) == [{"total": 6.5, "land": None}]
    assert ask(columns, split([None, 3, True, "DE"])) == [{"total": None, "land": "DE"}]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (b"{", "The JSON is cut off: it ends after 1 byte(s), in the middle of a value."),
        (
            {},
            "The JSON must be an object with exactly one of dataframe_split, dataframe_records, instances, inputs.",
        ),
        ({"instances": [ROW], "inputs": [ROW]}, "The JSON must be an object with exactly one of"),
        ({"instances": []}, "The request has no rows; send a list of them."),
        (split(GOOD, [1, "x", True, "DE"]), 'Row 2, column 2 (hour): expected a whole number, got "x".'),
        (split([2.5, 3.5, True, "DE"]), "Row 1, column 2 (hour): expected a whole number, got 3.5."),
        (split([2.5, None, True, "DE"]), "Row 1, column 2 (hour): expected a whole number, got null."),
        (split([True, 3, True, "DE"]), "Row 1, column 1 (amount): expected a number, got true."),
        (split([2.5, 3, 1, "DE"]), "Row 1, column 3 (abroad): expected true or false, got 1."),
        (split([2.5, 3, True, 5]), "Row 1, column 4 (land): expected a text, got 5."),
        (split([2.5, 3]), "Row 1 has 2 columns; the model takes 4."),
        ({"dataframe_split": {"data": [[2.5, 3]]}}, "Row 1 has 2 columns; the model takes 4."),
        (split([2.5, True], names=["amount", "abroad"]), "The column 'hour' is missing."),
        ({"dataframe_records": [ROW, {"amount": 1}]}, "Row 2 has no 'hour'."),
        ({"dataframe_records": [{**ROW, "extra": 1}]}, "The model has no column 'extra'."),
        ({"inputs": {**ROW, "hour": [1, 2]}}, "The columns of 'inputs' have different lengths."),
        ({"dataframe_records": [ROW], "params": [1]}, "'params' must be an object."),
    ],
)
def test_what_the_signature_refuses(columns: served.Pyfunc, asked: object, message: str) -> None:
    assert refused(columns, asked).startswith(message)


def test_csv_that_is_refused(columns: served.Pyfunc) -> None:
    assert refused(columns, b"2.5,three,true,DE", "text/csv") == (
        'Row 1, column 2 (hour): expected a whole number, got "three".'
    )
    assert refused(columns, b"", "text/csv") == "The request has no rows."
    with pytest.raises(ModelFailed, match="Content type 'image/png' is not supported"):
        ask(columns, b"x", "image/png")


def test_tensors(made: Path) -> None:
    model = served.load(made / "tensor", TRUST)
    for form in ("instances", "inputs"):
        [found] = ask(model, {form: [[1, 2, 3]]})
        assert math.isclose(found, 14, rel_tol=1e-5)
    assert refused(model, {"inputs": [[1, 2]]}) == "The input has the shape 1x2; the model takes anyx3."
    assert refused(model, {"inputs": [[1], [2, 3]]}) == "The input must be lists of values of one length each."
    assert refused(model, {"inputs": [["a", "b", "c"]]}) == "The input has values that are not numbers."


@pytest.mark.filterwarnings("ignore:X has feature names:UserWarning")
def test_without_a_signature_the_model_decides(made: Path) -> None:
    model = served.load(made / "plain", TRUST)
    assert ask(model, {"dataframe_split": {"columns": ["a", "b", "c"], "data": [[1, 2, 3]]}}) == pytest.approx(
        [14]
    )
    assert ask(model, {"inputs": [[1, 2, 3]]}) == pytest.approx([14])
    assert ask(model, b"a,b,c\n1,2,3\n", "text/csv") == pytest.approx([14])
    assert refused(model, {"inputs": [[1, 2]]}).startswith("ValueError: X has 2 features, but LinearRegression")


# --- without pandas ---

NAMES = ["a", "b", "c"]
TABLE = pd.DataFrame(np.random.default_rng(2).normal(size=(200, 3)), columns=NAMES)
SUMS = TABLE.sum(axis=1).to_numpy()
WORDS = np.array(["low", "middle", "high"])[np.clip(SUMS + 1.5, 0, 2).astype(int)]
DOUBLES = ModelSignature(Schema([ColSpec("double", name) for name in NAMES]))
WHOLE = ModelSignature(Schema([ColSpec("double", "a"), ColSpec("long", "b"), ColSpec("float", "c")]))
SINGLES = ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 3))]))


def booster(folder: str) -> None:
    matrix = xgboost.DMatrix(TABLE, SUMS)
    mlflow.xgboost.save_model(
        xgboost.train({"nthread": 1}, matrix, 5), folder, signature=DOUBLES, pip_requirements=NOTHING
    )


def xgboost_classes(folder: str) -> None:
    model = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(TABLE, SUMS > 0)
    mlflow.xgboost.save_model(model, folder, signature=DOUBLES, pip_requirements=NOTHING)


def lightgbm_words(folder: str) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(TABLE, WORDS)
    mlflow.lightgbm.save_model(model, folder, signature=DOUBLES, pip_requirements=NOTHING)


def probabilities(folder: str) -> None:
    model = LogisticRegression().fit(TABLE, SUMS > 0)
    mlflow.sklearn.save_model(
        model, folder, signature=DOUBLES, pyfunc_predict_fn="predict_proba", pip_requirements=NOTHING
    )


def whole_numbers(folder: str) -> None:
    model = LinearRegression().fit(TABLE, SUMS)
    mlflow.sklearn.save_model(model, folder, signature=WHOLE, pip_requirements=NOTHING)


def tensor(folder: str) -> None:
    model = LinearRegression().fit(TABLE.to_numpy(np.float32), SUMS.astype(np.float32))
    mlflow.sklearn.save_model(model, folder, signature=SINGLES, pip_requirements=NOTHING)


def onnx_table(folder: str) -> None:
    path = Path(f"{folder}.onnx")
    onnx_model(path)
    mlflow.onnx.save_model(onnx.load(path), folder, signature=DOUBLES, pip_requirements=NOTHING)


NATIVE = [booster, xgboost_classes, lightgbm_words, probabilities, whole_numbers, tensor, onnx_table]


def plain_requests(named: bool) -> list[tuple[object, str]]:
    rows: list[list[object]] = [[0.5, 3, -1.25], [1e-3, -2, 1e4]]
    asked: list[object] = [{"instances": rows}, {"inputs": rows[:1]}]
    if not named:
        return [(one, "application/json") for one in asked]
    asked += [
        split(*rows, names=NAMES),
        split(rows[0][::-1], names=NAMES[::-1]),
        {"dataframe_records": [dict(zip(NAMES, row, strict=True)) for row in rows]},
        {"dataframe_split": {"data": [[1, 2, None]]}},
    ]
    return [
        *((one, "application/json") for one in asked),
        (b"c,a,b\n1,0.5,2\n", "text/csv"),
        (b"1,2,3\r\n4,5,6", "text/csv; charset=utf-8"),
    ]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore:.*valid feature names")
@pytest.mark.parametrize("save", NATIVE)
def test_a_flavours_own_model_answers_as_pyfunc_does(save: Callable[[str], None], tmp_path: Path) -> None:
    save(str(tmp_path / "model"))
    model = served.load(tmp_path / "model", TRUST)
    native = model.native
    assert native is not None
    answered = 0
    for asked, kind in plain_requests(save is not tensor):
        body = asked if isinstance(asked, bytes) else msgspec.json.encode(asked)
        call = Call(body, {b"content-type": kind.encode()})
        try:
            rows = native.parse(call)
            found = [native.score([rows])[0]]
            if native.batches:
                found.append(native.score([rows, rows])[1])
        except ModelFailed:
            continue  # it is pyfunc's
        answered += 1
        expected = msgspec.json.decode(model.answer(call).body)
        for scores in found:
            assert close(msgspec.json.decode(native.render(scores, call).body), expected)
    assert answered >= (2 if save is tensor else 6)


def test_what_only_some_rows_would_show_is_left_to_pyfunc(tmp_path: Path) -> None:
    """Rows of other requests, and a number that stands for a missing one."""
    centred = make_pipeline(FunctionTransformer(lambda rows: rows - np.mean(rows, axis=0)), LinearRegression())
    mlflow.sklearn.save_model(
        centred.fit(TABLE, SUMS),
        str(tmp_path / "centred"),
        signature=DOUBLES,
        pip_requirements=NOTHING,
        serialization_format="cloudpickle",
    )
    native = served.load(tmp_path / "centred", TRUST).native
    assert native is None or not native.batches
    gaps = xgboost.XGBRegressor(n_estimators=5, n_jobs=1, missing=-999.0).fit(TABLE, SUMS)
    mlflow.xgboost.save_model(gaps, str(tmp_path / "gaps"), signature=DOUBLES, pip_requirements=NOTHING)
    model = served.load(tmp_path / "gaps", TRUST)
    call = Call(msgspec.json.encode({"instances": [[-999, 1, 2]]}), {b"content-type": b"application/json"})
    expected = msgspec.json.decode(model.answer(call).body)
    if model.native is not None:
        found = model.native.render(model.native.score([model.native.parse(call)])[0], call)
        assert close(msgspec.json.decode(found.body), expected)


def close(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return bool(one == pytest.approx(other, rel=1e-5) if isinstance(one, float) else one == other)


@pytest.mark.parametrize(
    "asked",
    [
        split([1, 2], names=["a", "b"]),
        split([1, 2, 3, 4], names=[*NAMES, "d"]),
        split([1, 2, "x"], names=NAMES),
        split([1, 2.5, 3], names=NAMES),
        split([1, None, 3], names=NAMES),
        split([1, True, 3], names=NAMES),
        split([1, 2**60, 3], names=NAMES),
        split([1, 2, 3], [1], names=NAMES),
        {**split([1, 2, 3], names=NAMES), "params": {}},
        {"instances": [[1, 2, 3]], "inputs": [[1, 2, 3]]},
        {"instances": []},
        {"dataframe_records": [{"a": 1, "b": 2}]},
        {"inputs": {"a": [1], "b": [2], "c": [3]}},
        [],
        b"",
        b"{",
    ],
)
def test_what_is_not_plain_is_left_to_pyfunc(whole: served.Pyfunc, asked: object) -> None:
    assert whole.native is not None
    body = asked if isinstance(asked, bytes) else msgspec.json.encode(asked)
    with pytest.raises(ModelFailed, match="for pyfunc"):
        whole.native.parse(Call(body, {b"content-type": b"application/json"}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> served.Pyfunc:
    folder = tmp_path_factory.mktemp("whole") / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        whole_numbers(str(folder))
    return served.load(folder, TRUST)


def test_other_models_are_answered_by_pyfunc_alone(columns: served.Pyfunc, made: Path) -> None:
    assert columns.native is None
    assert served.load(made / "plain", TRUST).native is None


# --- folders ---


def told(folder: Path, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ArtifactError) as caught:
        load(RuntimeKind.MLFLOW, folder, TRUST if environment is None else environment)
    assert "\n" not in caught.value.message
    return caught.value.message


def about(folder: Path, text: str = "") -> dict[str, Any]:
    (folder / "MLmodel").write_text(text or "flavors: {python_function: {loader_module: sys}}")
    return {"flavors": {"python_function": {"python_version": "3.8.1"}}}


def test_a_folder_without_trust_is_not_loaded(made: Path) -> None:
    assert told(made / "plain", {}) == (
        "an MLflow model runs code when it is loaded; if you trust who made it, set TIDEGATE_TRUST=pickle for the"
        " server and in the model's environment"
    )


def test_broken_folders(made: Path, tmp_path: Path) -> None:
    (tmp_path / "about.md").write_text("x")
    assert told(tmp_path).endswith("no MLmodel file at its top or in its only folder; found: about.md")
    about(tmp_path, "flavors: [")
    assert told(tmp_path).startswith("MLmodel is not YAML: ")
    about(tmp_path, "run_id: 5")
    assert told(tmp_path) == "MLmodel is not whole: it has no 'flavors'"
    about(tmp_path, "flavors: {spark: {}}")
    assert told(tmp_path).endswith("no python_function flavor, which is needed; found: spark")
    about(tmp_path, "flavors: {python_function: {loader_module: not_there_at_all}}")
    assert told(tmp_path) == "the MLflow model needs the package not_there_at_all, which is not installed"
    whole = made / "plain"
    about(tmp_path, (whole / "MLmodel").read_text())
    data = (whole / "model.pkl").read_bytes()
    (tmp_path / "model.pkl").write_bytes(data[: len(data) // 2])
    assert told(tmp_path).startswith("the MLflow model cannot be loaded: ")


def test_requirements(tmp_path: Path) -> None:
    made_with = about(tmp_path)
    lines = ["numpy==1.0  # old", "PyYAML", "mlflow==2.0", "--no-index", "", 'nothere; sys_platform == "win32"']
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    warnings = served.requirements(tmp_path, made_with)
    assert warnings[0] == f"made with Python 3.8.1, this is {sys.version_info.major}.{sys.version_info.minor}"
    assert warnings[1] == f"made with numpy==1.0, {np.__version__} is installed"
    assert warnings[2].startswith("made with mlflow==2.0, ") and len(warnings) == 3
    (tmp_path / "requirements.txt").write_text("numpy\nno-such-thing>=2\n")
    assert told(tmp_path) == "the MLflow model needs the package no-such-thing>=2, which is not installed"


# --- in a worker ---


def test_a_worker_answers_as_mlflow_does(workers: Workers, made: Path) -> None:
    worker = workers.start(RuntimeChoice(RuntimeKind.MLFLOW), f"{(made / 'columns').as_uri()}/", environment=TRUST)

    async def main() -> None:
        await worker.ready()
        headers = {"content-type": "application/json"}
        answer = await worker.ask(body=msgspec.json.encode({"instances": [ROW]}), headers=headers)
        assert answer.json() == {"predictions": [{"total": 6.5, "land": "DE"}]}
        bad = await worker.ask(body=b'{"instances": [[1, 2, 3, 4]]}', headers=headers)
        assert bad.json()["OriginalMessage"] == "Row 1, column 3 (abroad): expected true or false, got 3."

    workers.run(main())


def test_a_worker_answers_without_pandas_where_it_can(workers: Workers, made: Path) -> None:
    worker = workers.start(RuntimeChoice(RuntimeKind.MLFLOW), f"{(made / 'tensor').as_uri()}/", environment=TRUST)

    async def main() -> None:
        await worker.ready()
        headers = {"content-type": "application/json"}
        asked = [worker.ask(body=b'{"instances": [[%d, 2, 3]]}' % number, headers=headers) for number in range(5)]
        for number, answer in enumerate(await asyncio.gather(*asked)):
            assert answer.json()["predictions"] == [pytest.approx(number + 13, rel=1e-5)]
        bad = await worker.ask(body=b'{"instances": [[1, 2]]}', headers=headers)
        assert bad.json()["OriginalMessage"] == "The input has the shape 1x2; the model takes anyx3."

    workers.run(main())


def test_a_worker_without_trust_says_so(workers: Workers, made: Path) -> None:
    worker = workers.start(RuntimeChoice(RuntimeKind.MLFLOW), f"{made.as_uri()}/columns/")
    assert worker.wait() == 3
    assert worker.failure.permanent and "set TIDEGATE_TRUST=pickle" in worker.failure.message


def stopped_early(folder: Path, estimator: bool) -> tuple[Any, Any]:
    """An XGBoost model whose best iteration was not the last."""
    random = np.random.default_rng(8)
    table = random.normal(size=(300, 3))
    target = table[:, 0] + random.normal(size=300)
    model: Any
    if estimator:
        model = xgboost.XGBRegressor(n_estimators=60, early_stopping_rounds=5, n_jobs=1)
        model.fit(table[:200], target[:200], eval_set=[(table[200:], target[200:])], verbose=False)
        booster = model.get_booster()
    else:
        train, held = (xgboost.DMatrix(table[a:b], target[a:b]) for a, b in ((0, 200), (200, 300)))
        model = xgboost.train(
            {"nthread": 1}, train, 60, evals=[(held, "held")], early_stopping_rounds=5, verbose_eval=False
        )
        model.feature_names = NAMES
        booster = model
    booster.feature_names = NAMES
    assert booster.best_iteration + 1 < booster.num_boosted_rounds()
    mlflow.xgboost.save_model(model, str(folder), signature=DOUBLES, pip_requirements=NOTHING)
    return booster, table[:5]


@pytest.mark.parametrize("estimator", [True, False])
def test_trees_of_a_model_that_was_stopped_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], estimator: bool
) -> None:
    """By default as MLflow itself answers, otherwise as the model's environment says."""
    booster, rows = stopped_early(tmp_path / "model", estimator)
    matrix = xgboost.DMatrix(rows, feature_names=NAMES)
    best = booster.predict(matrix, iteration_range=(0, booster.best_iteration + 1))
    everything = booster.predict(matrix, iteration_range=(0, booster.num_boosted_rounds()))
    frame = pd.DataFrame(rows, columns=NAMES)
    usual = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(frame)
    for chosen, expected in (("", usual), ("best", best), ("all", everything)):
        environment = {**TRUST, "MODEL_TREES": chosen} if chosen else TRUST
        model = served.load(tmp_path / "model", environment)
        assert "training was stopped early" in capsys.readouterr().out
        asked = {"instances": rows.tolist()}
        assert ask(model, asked) == pytest.approx(expected.tolist(), rel=1e-6)
        if model.native is not None:
            call = Call(msgspec.json.encode(asked), {b"content-type": b"application/json"})
            [found] = model.native.score([model.native.parse(call)])
            assert np.asarray(found) == pytest.approx(expected, rel=1e-5)


def seen_before(rows: Any, asked: list[int] = []) -> Any:  # noqa: B006  # what it remembers
    asked.append(len(rows))
    return np.asarray(rows) + len(asked)


@pytest.mark.parametrize("signature", [DOUBLES, None])
def test_a_library_s_model_whose_answer_changes_is_refused(tmp_path: Path, signature: Any) -> None:
    model = make_pipeline(FunctionTransformer(seen_before), LinearRegression()).fit(TABLE, SUMS)
    mlflow.sklearn.save_model(
        model,
        str(tmp_path / "model"),
        signature=signature,
        input_example=None if signature else np.ones((2, 3)),
        pip_requirements=NOTHING,
        serialization_format="cloudpickle",
    )
    with pytest.raises(ArtifactError, match="its answer to the same request is another one each time"):
        served.load(tmp_path / "model", TRUST)


def test_code_of_the_user_s_own_may_answer_at_random(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Draws(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            return np.random.default_rng().normal(size=len(model_input))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        mlflow.pyfunc.save_model(
            str(tmp_path / "model"), python_model=Draws(), signature=DOUBLES, pip_requirements=NOTHING
        )
    model = served.load(tmp_path / "model", TRUST)
    assert model.native is None
    assert "its answer to the same request is another one each time" in capsys.readouterr().out
    assert len(ask(model, {"instances": [[1, 2, 3], [4, 5, 6]]})) == 2
