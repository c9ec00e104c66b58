"""XGBoost models: which file, what it must be, and that scores are the booster's own."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest
import xgboost

from tests.worker_process import FEATURES, models
from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.invocation import Call
from tidegate.serving.engines.mapped_forest import open_forest, write_forest
from tidegate.serving.runtimes import shap
from tidegate.serving.runtimes.xgboost import XGBoost, load

__all__ = ["models"]


def refused(folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        load(folder, {})
    assert "\n" not in caught.value.message
    return caught.value.message


def place(source: Path, folder: Path, name: str = "") -> Path:
    (folder / (name or source.name)).write_bytes(source.read_bytes())
    return folder


def csv(rows: np.ndarray) -> bytes:
    lines = (",".join("" if np.isnan(value) else str(value) for value in row) for row in rows)
    return "\n".join(lines).encode()


def ask(model: XGBoost, body: bytes, headers: Mapping[bytes, bytes]) -> bytes:
    call = Call(body, headers)
    [scores] = model.score([model.parse(call)])
    return model.render(scores, call).body


@pytest.mark.parametrize("name", ["model.ubj", "fraud.json", "xgboost-model"])
def test_the_one_model_is_found_whatever_lies_beside_it(models: Path, tmp_path: Path, name: str) -> None:
    place(models / ("binary.json" if name.endswith(".json") else "binary.ubj"), tmp_path, name)
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "code").mkdir()
    assert load(tmp_path, {}).batches


@pytest.mark.parametrize("name", ["binary", "classes"])
def test_scores_are_the_booster_s_own(models: Path, tmp_path: Path, name: str) -> None:
    rows = np.random.default_rng(5).normal(size=(20, len(FEATURES))).astype(np.float32)
    rows[3, 2] = np.nan
    expected = xgboost.Booster(model_file=str(models / f"{name}.ubj")).predict(xgboost.DMatrix(rows))
    headers = {b"content-type": b"text/csv", b"accept": b"application/json"}
    answer = ask(load(place(models / f"{name}.ubj", tmp_path), {}), csv(rows), headers)
    found = msgspec.json.decode(answer, type=dict[str, list[object]])["predictions"]
    np.testing.assert_array_equal(np.array(found, dtype=np.float32), expected)


def test_a_batch_gives_everybody_their_own_rows(models: Path, tmp_path: Path) -> None:
    model = load(place(models / "classes.ubj", tmp_path), {})
    rows = np.random.default_rng(6).normal(size=(12, len(FEATURES))).astype(np.float32)
    parts = [rows[:1], rows[1:6], rows[6:7], rows[7:]]
    for part, scores in zip(parts, model.score(parts), strict=True):
        np.testing.assert_array_equal(scores, model.score([part])[0])


def test_features_go_by_name_where_the_model_has_names(models: Path, tmp_path: Path) -> None:
    model = load(place(models / "binary.json", tmp_path), {})
    by_name = msgspec.json.encode([{name: number for number, name in reversed(list(enumerate(FEATURES)))}])
    by_place = msgspec.json.encode([list(range(len(FEATURES)))])
    headers = {b"content-type": b"application/json"}
    assert ask(model, by_name, headers) == ask(model, by_place, headers)


def stopped_early(folder: Path) -> tuple[xgboost.Booster, np.ndarray]:
    """A model whose best iteration was not the last, saved in the folder."""
    rows = np.random.default_rng(8).normal(size=(200, 2)).astype(np.float32)
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, rows[:, 0]), 10)
    booster.set_attr(best_iteration="2", best_score="0.5")
    booster.save_model(folder / "model.ubj")
    return booster, rows


@pytest.mark.parametrize(
    ("environment", "trees", "said"),
    [({}, 3, "first 3 of 10"), ({"MODEL_TREES": "best"}, 3, "=all"), ({"MODEL_TREES": "all"}, 10, "all 10")],
)
def test_which_trees_of_a_model_that_was_stopped_early_predict_is_a_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: dict[str, str], trees: int, said: str
) -> None:
    booster, rows = stopped_early(tmp_path)
    [scores] = load(tmp_path, environment).score([rows])
    expected = booster.predict(xgboost.DMatrix(rows), iteration_range=(0, trees))
    np.testing.assert_array_equal(scores, expected)
    assert said in capsys.readouterr().out
    explained = shap.load(tmp_path, environment).explain(rows)
    np.testing.assert_allclose([one["prediction"] for one in explained], expected, rtol=1e-6)
    write_forest(RuntimeKind.XGBOOST, tmp_path, environment)
    forest = open_forest(RuntimeKind.XGBOOST, tmp_path, environment)
    assert forest is not None
    np.testing.assert_allclose(forest.score([rows])[0], expected, rtol=1e-6)


def test_an_unknown_choice_of_trees_is_refused(tmp_path: Path) -> None:
    stopped_early(tmp_path)
    with pytest.raises(Invalid, match="MODEL_TREES must be 'best' or 'all', not 'last'"):
        load(tmp_path, {"MODEL_TREES": "last"})


def test_the_form_of_answers_may_be_set(models: Path, tmp_path: Path) -> None:
    folder = place(models / "binary.ubj", tmp_path)
    model = load(folder, {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"})
    assert ask(model, b"1,2,3,4,5", {b"accept": b"*/*"}).endswith(b"\n")


@pytest.mark.parametrize(
    ("name", "value"), [("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/html"), ("OMP_NUM_THREADS", "many")]
)
def test_a_setting_that_makes_no_sense_is_refused(models: Path, tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(Invalid, match=name):
        load(place(models / "binary.ubj", tmp_path), {name: value})


def test_several_models_are_not_guessed_from(models: Path, tmp_path: Path) -> None:
    place(models / "binary.ubj", tmp_path)
    place(models / "classes.ubj", tmp_path)
    assert "several XGBoost models (binary.ubj, classes.ubj)" in refused(tmp_path)


def test_no_model_says_what_there_is(tmp_path: Path) -> None:
    assert "found: nothing" in refused(tmp_path)
    (tmp_path / "weights.onnx").write_bytes(b"x")
    assert "found: weights.onnx" in refused(tmp_path)


@pytest.mark.parametrize("name", ["model.xgb", "model.model", "model.bst", "model.pkl", "model.joblib"])
def test_old_and_unsafe_formats_are_refused_with_advice(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    message = refused(tmp_path)
    assert name in message
    assert "save_model('model.ubj')" in message


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (pickle.dumps({"a": 1}), "a Python pickle"),
        (b"\x1f\x8b\x08", "a gzip file"),
        (b"hello, world", "begins with b'hello, w'"),
        (b"{", "not a whole XGBoost model"),
        (b'{"a": 1}', "not a whole XGBoost model"),
        (b"{L" + bytes(100), "not a whole XGBoost model"),
    ],
)
def test_another_content_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "xgboost-model").write_bytes(content)
    message = refused(tmp_path)
    assert "xgboost-model" in message
    assert why in message


@pytest.mark.parametrize("name", ["binary.ubj", "binary.json"])
def test_a_cut_model_is_refused(models: Path, tmp_path: Path, name: str) -> None:
    whole = (models / name).read_bytes()
    for length in range(1, len(whole), len(whole) // 97):
        (tmp_path / name).write_bytes(whole[:length])
        assert name in refused(tmp_path)
