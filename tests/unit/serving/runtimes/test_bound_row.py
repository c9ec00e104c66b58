"""One row by memory that stays in place: the same bits as by arrays, whatever the row."""

import json
import math
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.contract.invocation import Answer, Call
from tidegate.serving.runtimes import xgboost_onnx
from tidegate.serving.runtimes.objectives import LINKS
from tidegate.serving.runtimes.xgboost import load

FEATURES = 6
JSON = "application/json"


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    return trained("binary:logistic")


def trained(objective: str) -> xgboost.Booster:
    random = np.random.default_rng(0)
    rows = random.normal(size=(400, FEATURES)).astype(np.float32)
    data = xgboost.DMatrix(rows, (rows[:, 0] + rows[:, 1] > 0).astype(np.float32))
    return xgboost.train({"objective": objective, "max_depth": 4, "nthread": 1}, data, 20)


@pytest.mark.parametrize("objective", ["binary:logistic", "reg:logistic", "reg:squarederror", "binary:logitraw"])
def test_a_row_has_the_bits_that_it_has_by_arrays(objective: str) -> None:
    trees = xgboost_onnx.faster(trained(objective), (0, 0), 1)
    random = np.random.default_rng(1)
    rows = (random.normal(size=(300, FEATURES)) * 10.0 ** random.integers(-3, 4, (300, 1))).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    assert trees.one is not None
    for row in rows:
        found = trees.one(row.tobytes())
        assert found is not None and found.tobytes() == trees.rows(row[None]).tobytes()


def test_other_objectives_have_arrays_alone() -> None:
    assert xgboost_onnx.faster(trained("count:poisson"), (0, 0), 1).one is None


@given(st.floats(width=32) | st.floats(-110, 110, width=32))
def test_a_probability_has_the_bits_of_the_link(total: float) -> None:
    right = LINKS["binary:logistic"][0](np.array([total], np.float32))
    assert xgboost_onnx.to_probability(total).tobytes() == right.tobytes()


@pytest.mark.parametrize("total", [math.nan, math.inf, -math.inf, 0.0, 88.75, -88.75, -88.72, 3.4e38, -3.4e38])
def test_a_row_alone_has_the_probability_that_it_has_among_others(total: float) -> None:
    """NaN, too, is no probability of 0."""
    link, sums = LINKS["binary:logistic"][0], np.array([total, total], np.float32)
    alone = (link(sums[:1])[0], xgboost_onnx.to_probability(float(sums[0]))[0])
    assert np.array_equal(alone, link(sums), equal_nan=True)


def test_an_evaluation_with_other_bits_is_not_used(
    booster: xgboost.Booster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a session would copy what it is bound to."""
    monkeypatch.setattr(xgboost_onnx, "bind_row", lambda *_: lambda row: array("f", (0.5,)))
    assert xgboost_onnx.faster(booster, (0, 0), 1).one is None


class Meanwhile:
    """A session during whose run another request comes, from another thread."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.session = session
        self.ask: Any = None
        self.found: list[object] = []
        self.io_binding = session.io_binding

    def run_with_iobinding(self, binding: object) -> None:
        self.session.run_with_iobinding(binding)
        self.found.append(self.ask(np.zeros(FEATURES, np.float32).tobytes()))


def test_while_one_thread_uses_the_memory_another_has_none(
    booster: xgboost.Booster, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Meanwhile] = []
    bind_row = xgboost_onnx.bind_row

    def bind(session: onnxruntime.InferenceSession, *more: Any) -> xgboost_onnx.OneRow | None:
        seen.append(Meanwhile(session))
        seen[0].ask = bind_row(seen[0], *more)
        return seen[0].ask  # type: ignore[no-any-return]

    monkeypatch.setattr(xgboost_onnx, "bind_row", bind)
    trees = xgboost_onnx.faster(booster, (0, 0), 1)
    assert trees.one is not None
    assert seen[0].found and set(seen[0].found) == {None}


@pytest.mark.parametrize("accept", [JSON, "text/csv", "application/jsonlines", "application/x-npy"])
def test_every_form_of_answer_is_that_of_arrays(tmp_path: Path, booster: xgboost.Booster, accept: str) -> None:
    booster.save_model(tmp_path / "model.ubj")
    model = load(tmp_path, {})
    body = json.dumps({"instances": [[0.3] * FEATURES]}).encode()
    call = Call(body, {b"content-type": JSON.encode(), b"accept": accept.encode()})

    def answered() -> Answer:
        [scores] = model.score([model.parse(call)])
        answer = model.render(scores, call)
        assert isinstance(answer, Answer)
        return answer

    assert isinstance(model.score([model.parse(call)])[0], array)
    alone = answered()
    model._one = None
    assert alone == answered()


def test_a_model_whose_memory_is_in_use_answers_by_arrays(tmp_path: Path, booster: xgboost.Booster) -> None:
    booster.save_model(tmp_path / "model.ubj")
    model = load(tmp_path, {})
    row = np.full(FEATURES, 0.3, np.float32).tobytes()
    right = model.score([row])[0].tolist()
    model._one = lambda _: None
    assert model.score([row])[0].tolist() == right


def test_more_rows_than_one_go_by_arrays(booster: xgboost.Booster, tmp_path: Path) -> None:
    booster.save_model(tmp_path / "model.ubj")
    found = load(tmp_path, {}).score([np.zeros((2, FEATURES), np.float32).tobytes()])[0]
    assert isinstance(found, np.ndarray) and len(found) == 2
