"""Explanations are Shapley values: against every ordering by brute force, and always summing to the margin."""

import json
import math
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.serving.contract.invocation import Call
from tidegate.serving.runtimes import shap

COUNT = 4
"""Features: few enough for all 16 sets of them."""
Node = dict[str, Any]


def trained(objective: str, seed: int = 1, names: Sequence[str] | None = None, **more: Any) -> xgboost.Booster:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(200, COUNT)).astype(np.float32)
    rows[random.random(rows.shape) < 0.15] = np.nan
    known = np.nan_to_num(rows)
    score = known[:, 0] * 2 + known[:, 1] * known[:, 2]
    edges = [-0.7, 0.7][: more.get("num_class", 2) - 1]
    target = score + 50 if objective.startswith("reg") else np.digitize(score, edges)
    given = {"objective": objective, "max_depth": 3, "nthread": 1, **more}
    return xgboost.train(given, xgboost.DMatrix(rows, target, feature_names=names), 4)


@cache
def booster(objective: str) -> xgboost.Booster:
    more: dict[str, Any] = {"num_class": 3} if objective.startswith("multi") else {}
    return trained(objective, **more)


def explainer(objective: str) -> shap.Explainer:
    return shap.Explainer(booster(objective), None, 1, interactions=False)


def known_only(node: Node, row: Sequence[float], known: frozenset[int]) -> float:
    """What a tree says when only some features are known: at a split on another one both sides count, by how much
    training data went there. This is the value function that TreeSHAP (path dependent) is defined by."""
    if "leaf" in node:
        return float(node["leaf"])
    below = {child["nodeid"]: child for child in node["children"]}
    feature = int(node["split"].removeprefix("f"))
    if feature in known:
        value = row[feature]
        side = "missing" if math.isnan(value) else "yes" if value < np.float32(node["split_condition"]) else "no"
        return known_only(below[node[side]], row, known)
    return sum(
        float(child["cover"]) / float(node["cover"]) * known_only(child, row, known) for child in node["children"]
    )


def shapley(trees: Sequence[Node], row: Sequence[float]) -> list[float]:
    """Of each feature, by the definition; the value with nothing known is left out."""
    value = {
        frozenset(some): sum(known_only(tree, row, frozenset(some)) for tree in trees)
        for size in range(COUNT + 1)
        for some in combinations(range(COUNT), size)
    }
    weight = [math.factorial(n) * math.factorial(COUNT - n - 1) / math.factorial(COUNT) for n in range(COUNT)]
    return [
        sum(weight[len(some)] * (value[some | {f}] - value[some]) for some in value if f not in some)
        for f in range(COUNT)
    ]


NUMBERS = st.floats(-3, 3, width=32) | st.just(math.nan)
ROWS = st.lists(st.lists(NUMBERS, min_size=COUNT, max_size=COUNT), min_size=1, max_size=4)


@settings(deadline=None)
@given(ROWS)
def test_one_output_is_explained_as_brute_force_does(rows: list[list[float]]) -> None:
    for objective in ("reg:squarederror", "binary:logistic"):
        trees = [json.loads(text) for text in booster(objective).get_dump(with_stats=True, dump_format="json")]
        explained = explainer(objective).explain(np.array(rows, np.float32))
        for row, explanation in zip(np.array(rows, np.float32), explained, strict=True):
            assert explanation["contributions"] == pytest.approx(shapley(trees, row.tolist()), abs=1e-5)


@settings(deadline=None)
@given(ROWS)
def test_each_class_is_explained_as_brute_force_does(rows: list[list[float]]) -> None:
    trees = [json.loads(text) for text in booster("multi:softprob").get_dump(with_stats=True, dump_format="json")]
    explained = explainer("multi:softprob").explain(np.array(rows, np.float32))
    for row, explanation in zip(np.array(rows, np.float32), explained, strict=True):
        for number in range(3):
            found = [of_classes[number] for of_classes in explanation["contributions"]]
            assert found == pytest.approx(shapley(trees[number::3], row.tolist()), abs=1e-5)


@settings(deadline=None)
@given(ROWS, st.sampled_from(["reg:squarederror", "binary:logistic", "count:poisson"]))
def test_base_and_contributions_sum_to_the_margin(rows: list[list[float]], objective: str) -> None:
    matrix = np.array(rows, np.float32)
    margins = booster(objective).predict(xgboost.DMatrix(matrix), output_margin=True)
    values = booster(objective).predict(xgboost.DMatrix(matrix))
    for explanation, margin, value in zip(explainer(objective).explain(matrix), margins, values, strict=True):
        total = explanation["base_value"] + sum(explanation["contributions"])
        assert total == pytest.approx(float(margin), rel=1e-5, abs=1e-5)
        assert explanation["margin"] == pytest.approx(float(margin), rel=1e-6)
        assert explanation["prediction"] == pytest.approx(float(value), rel=1e-6)


def loaded(folder: Path, model: xgboost.Booster, **environment: str) -> shap.Explainer:
    model.save_model(folder / "model.ubj")
    return shap.load(folder, environment)


def asked(explainer: shap.Explainer, body: bytes, **headers: bytes) -> tuple[bytes, str]:
    answer = explainer.answer(
        Call(body, {name.replace("_", "-").encode(): value for name, value in headers.items()})
    )
    return answer.body, answer.content_type


def test_features_are_named_where_the_model_names_them(tmp_path: Path) -> None:
    names = ["grade", "years", "city", "remote"]
    explainer = loaded(tmp_path, trained("reg:squarederror", names=names))
    body, kind = asked(explainer, b"[[1, 2, null, 0], [0, 0, 0, 0]]", content_type=b"application/json")
    assert kind == "application/json"
    first, second = msgspec.json.decode(body)["explanations"]
    assert list(first["contributions"]) == list(second["contributions"]) == names
    assert first["prediction"] == pytest.approx(
        first["base_value"] + sum(first["contributions"].values()), rel=1e-5
    )


def test_csv_has_the_base_value_last(tmp_path: Path) -> None:
    explainer = loaded(tmp_path, booster("binary:logistic"))
    body, kind = asked(explainer, b"1,2,,0\n0,0,0,0", content_type=b"text/csv")
    rows = np.loadtxt(body.decode().splitlines(), delimiter=",")
    assert (kind, rows.shape) == ("text/csv", (2, COUNT + 1))
    margins = booster("binary:logistic").predict(
        xgboost.DMatrix(np.array([[1, 2, np.nan, 0], [0, 0, 0, 0]], np.float32)), output_margin=True
    )
    assert rows.sum(axis=1) == pytest.approx(margins, abs=1e-5)


def test_the_best_iteration_is_explained(tmp_path: Path) -> None:
    model = trained("reg:squarederror")
    model.set_attr(best_iteration="1")
    row = np.ones((1, COUNT), np.float32)
    [explanation] = loaded(tmp_path, model).explain(row)
    expected = float(model.predict(xgboost.DMatrix(row), iteration_range=(0, 2))[0])
    assert explanation["prediction"] == pytest.approx(expected, rel=1e-6)
    assert explanation["base_value"] + sum(explanation["contributions"]) == pytest.approx(expected, rel=1e-5)


def test_interactions_sum_to_the_contributions(tmp_path: Path) -> None:
    explainer = loaded(tmp_path, trained("reg:squarederror"), SHAP_INTERACTIONS="true")
    [explanation] = explainer.explain(np.array([[1, 2, 3, -1]], np.float32))
    pairs = np.array(explanation["interactions"])
    assert pairs.shape == (COUNT, COUNT)
    assert pairs == pytest.approx(pairs.T, abs=1e-5)
    assert pairs.sum(axis=1) == pytest.approx(np.array(explanation["contributions"]), abs=1e-4)
    assert np.abs(pairs - np.diag(np.diag(pairs))).max() > 1e-3


def test_the_shap_library_explains_the_same() -> None:
    """By its own code over the same trees: left to itself it would ask XGBoost, as the runtime does."""
    library = pytest.importorskip("shap", reason="shap brings 200 MB of numba and LLVM: brute force stands for it")
    rows = np.random.default_rng(2).normal(size=(50, COUNT)).astype(np.float32)
    for objective in ("reg:squarederror", "binary:logistic"):
        theirs = library.TreeExplainer(booster(objective), feature_perturbation="tree_path_dependent")
        theirs.model.model_type, theirs.model.original_model = "internal", None
        expected = np.asarray(theirs.shap_values(rows, check_additivity=False))
        found = [explanation["contributions"] for explanation in explainer(objective).explain(rows)]
        assert np.array(found) == pytest.approx(expected, abs=1e-5)
