"""Models of every kind hold together; a number that is damaged in one is seen before XGBoost reads it."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.runtimes import ubjson, xgboost_checks

RANDOM = np.random.default_rng(4)
ROWS = RANDOM.normal(size=(300, 5)).astype(np.float32)
VALUES = ROWS @ np.arange(5) + RANDOM.normal(size=300)
CODES = np.where(np.arange(5) == 2, np.floor(np.abs(ROWS) * 3), ROWS)


def trained(form: str, label: Any = VALUES, rows: Any = ROWS, types: Any = None, **settings: object) -> bytes:
    matrix = xgboost.DMatrix(rows, label, feature_types=types, enable_categorical=types is not None)
    booster = xgboost.train({"nthread": 1, "max_depth": 4, **settings}, matrix, 6)
    return bytes(booster.save_raw(form))


def document(form: str, **settings: Any) -> Any:
    data = trained(form, **settings)
    return json.loads(data) if form == "json" else ubjson.parse(data)


@pytest.mark.parametrize("form", ["ubj", "json"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"objective": "binary:logistic", "label": VALUES > 0},
        {"objective": "multi:softprob", "num_class": 3, "label": np.digitize(VALUES, [-1, 1])},
        {"label": np.stack([VALUES, -VALUES], axis=1)},
        {"label": np.stack([VALUES, -VALUES], axis=1), "multi_strategy": "multi_output_tree"},
        {"booster": "dart", "rate_drop": 0.5},
        {"booster": "gblinear", "verbosity": 0},
        {"gamma": 20.0},
        {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0},
        {"tree_method": "exact", "gamma": 5.0},
        {"num_parallel_tree": 3},
        {"rows": CODES, "types": ["q", "q", "c", "q", "q"], "max_cat_to_onehot": 1},
        {"max_depth": 0, "max_leaves": 1, "grow_policy": "lossguide"},
    ],
)
def test_a_model_of_every_kind_holds_together(form: str, settings: dict[str, Any]) -> None:
    xgboost_checks.check(document(form, **settings))


def tree(model: Any) -> Any:
    return model["learner"]["gradient_booster"]["model"]["trees"][2]


DAMAGES: list[tuple[Callable[[Any], object], str]] = [
    (lambda m: tree(m)["left_children"].pop(), "tree 2: left_children has"),
    (lambda m: tree(m)["split_conditions"].append(1), "tree 2: split_conditions has"),
    (lambda m: tree(m)["left_children"].__setitem__(0, 10**6), "tree 2: a node's child is none of its nodes"),
    (lambda m: tree(m)["right_children"].__setitem__(0, 0), "tree 2: a node's child is none of its nodes"),
    (
        lambda m: tree(m)["right_children"].__setitem__(1, tree(m)["left_children"][0]),
        "is the child of two others",
    ),
    (lambda m: tree(m)["left_children"].__setitem__(-1, -7), "tree 2: a leaf has children"),
    (lambda m: tree(m)["parents"].__setitem__(1, 2), "tree 2: a node is not its children's parent"),
    (lambda m: tree(m)["parents"].__setitem__(0, 10**6), "tree 2: a node's parent is none of its nodes"),
    (
        lambda m: tree(m)["split_indices"].__setitem__(0, 5),
        "tree 2: it splits by a feature that the model does not",
    ),
    (lambda m: tree(m)["tree_param"].__setitem__("num_nodes", "3000000000"), "tree 2: 3000000000 nodes"),
    (lambda m: tree(m)["tree_param"].__setitem__("num_nodes", "x"), "another form"),
    (lambda m: tree(m).pop("parents"), "it lacks"),
    (lambda m: m["learner"]["gradient_booster"]["model"]["trees"].pop(), "as many trees as it says"),
    (lambda m: m["learner"]["gradient_booster"]["model"]["tree_info"].__setitem__(0, 1), "belongs to a class"),
    (lambda m: m["learner"]["gradient_booster"]["model"]["iteration_indptr"].__setitem__(-1, 9), "its rounds"),
    (lambda m: m.pop("learner"), "it lacks"),
]


@pytest.mark.parametrize(("damage", "why"), DAMAGES)
def test_a_damaged_number_is_seen(damage: Callable[[Any], object], why: str) -> None:
    model = document("json")
    damage(model)
    with pytest.raises(xgboost_checks.DamagedModel) as caught:
        xgboost_checks.check(model)
    assert why in str(caught.value)


def test_damaged_leaves_of_several_values_are_seen() -> None:
    label = np.stack([VALUES, -VALUES], axis=1)
    model = document("json", label=label, multi_strategy="multi_output_tree")
    leaf = tree(model)["left_children"].index(-1)
    tree(model)["right_children"][leaf] = 10**6
    with pytest.raises(xgboost_checks.DamagedModel, match="a leaf's values"):
        xgboost_checks.check(model)


def test_damaged_categories_are_seen() -> None:
    model = document("json", rows=CODES, types=["q", "q", "c", "q", "q"], max_cat_to_onehot=1)
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    forked = next(tree for tree in trees if tree["categories_nodes"])
    forked["categories_sizes"][0] = 10**9
    with pytest.raises(xgboost_checks.DamagedModel, match="its categories are not those of its nodes"):
        xgboost_checks.check(model)


def test_damaged_weights_of_a_linear_model_are_seen() -> None:
    model = document("json", booster="gblinear", verbosity=0)
    model["learner"]["gradient_booster"]["model"]["weights"].pop()
    with pytest.raises(xgboost_checks.DamagedModel, match="weights has 5 entries where 6 belong"):
        xgboost_checks.check(model)


SMALL = document("ubj", max_depth=2)


@given(
    tree=st.integers(0, 5),
    name=st.sampled_from(["left_children", "right_children", "parents", "split_indices"]),
    at=st.integers(0, 6),
    value=st.one_of(st.integers(-3, 12), st.sampled_from([2**31 - 1, -(2**31)])),
    cut=st.booleans(),
)
def test_trees_looked_at_together_are_those_that_hold_alone(
    tree: int, name: str, at: int, value: int, cut: bool
) -> None:
    model = copy.deepcopy(SMALL)
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    damaged = trees[tree][name].copy()
    damaged[at % len(damaged)] = value
    trees[tree][name] = damaged[:-1] if cut else damaged
    try:
        for each in trees:
            xgboost_checks._tree(each, 5)
    except xgboost_checks.DamagedModel:
        holds = False
    else:
        holds = True
    assert xgboost_checks._are_sound(trees, 5) == holds


def test_trees_of_another_form_are_looked_at_alone() -> None:
    """Then nothing is said of them together, not even where they hold."""
    trees = copy.deepcopy(SMALL)["learner"]["gradient_booster"]["model"]["trees"]
    assert xgboost_checks._are_sound(trees, 5)
    for name, value in (
        ("left_children", trees[1]["left_children"].tolist()),
        ("parents", trees[1]["parents"].astype(">f4")),
        ("tree_param", {**trees[1]["tree_param"], "size_leaf_vector": "2"}),
        ("tree_param", {"num_nodes": "x"}),
        ("tree_param", {"num_nodes": str(2**70)}),
        ("categories", np.zeros(1, ">i4")),
        ("sum_hessian", trees[1]["sum_hessian"][:-1]),
        ("split_conditions", trees[1]["split_conditions"][:-1]),
        ("parents", None),
    ):
        other = [*trees[:1], {**trees[1], name: value}, *trees[2:]]
        assert not xgboost_checks._are_sound(other, 5), name
    assert not xgboost_checks._are_sound([], 5)
