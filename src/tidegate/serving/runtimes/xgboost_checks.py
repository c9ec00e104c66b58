"""Checks the trees of an XGBoost file before XGBoost reads them: it trusts their indexes, and a damaged number
makes it read beyond its memory, or traverse a tree forever.

Takes the document from ``ubjson.parse`` or a JSON parser. Source: XGBoost's JSON model schema.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_PER_NODE = ("left_children", "right_children", "split_indices", "split_conditions", "default_left", "parents")
_MAY_LACK = ("split_type",)
_INDEXES = ("left_children", "right_children", "parents", "split_indices")
_PER_LEAF = ("base_weights", "loss_changes", "sum_hessian")
_CATEGORIES = ("categories_nodes", "categories_segments", "categories_sizes", "categories")
_MOST = 2**31 - 1


class DamagedModel(ValueError):
    """A model is damaged; the message says where and how."""


def check(document: Any) -> None:
    """Raises DamagedModel for a model that XGBoost must not read. Errors that XGBoost detects are left to it."""
    try:
        learner = document["learner"]
        parameters = learner["learner_model_param"]
        features = _number(parameters["num_feature"])
        groups = max(1, _number(parameters["num_class"]), _number(parameters.get("num_target", "1")))
        booster = learner["gradient_booster"]
        if booster["name"] == "gblinear":
            _linear(booster["model"], features, groups)
        else:
            _trees(booster["gbtree"] if booster["name"] == "dart" else booster, features, groups)
            if booster["name"] == "dart":
                _check_same_length("weight_drop", booster["weight_drop"], len(booster["gbtree"]["model"]["trees"]))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, DamagedModel):
            raise
        raise DamagedModel(f"it lacks what belongs to a model, or has it in another form ({error})") from None


def _linear(model: Mapping[str, Any], features: int, groups: int) -> None:
    _check_same_length("weights", model["weights"], (features + 1) * groups)


def _trees(booster: Mapping[str, Any], features: int, groups: int) -> None:
    model = booster["model"]
    trees = model["trees"]
    if _number(model["gbtree_model_param"]["num_trees"]) != len(trees):
        raise DamagedModel("it does not have as many trees as it says")
    info = np.asarray(model["tree_info"], np.int64)
    _check_same_length("tree_info", info, len(trees))
    if len(info) and not (info.min() >= 0 and info.max() < groups):
        raise DamagedModel("a tree belongs to a class that the model does not have")
    steps = np.asarray(model.get("iteration_indptr", ()), np.int64)
    if len(steps) and (steps[0] != 0 or steps[-1] != len(trees) or (np.diff(steps) < 0).any()):
        raise DamagedModel("its rounds are not those of its trees")
    if _are_sound(trees, features):
        return
    for number, tree in enumerate(trees):
        try:
            _tree(tree, features)
        except DamagedModel as damaged:
            raise DamagedModel(f"tree {number}: {damaged}") from None


def _are_sound(trees: Sequence[Mapping[str, Any]], features: int) -> bool:
    """Whether all trees pass what ``_tree`` checks, at a fifth of its cost: their arrays are checked as one. False
    for trees of other forms, too: they are checked one by one, which also says what is wrong."""
    try:
        sizes = np.array([_size(tree) for tree in trees], np.int64)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return False
    if not len(sizes) or sizes.min() <= 0:
        return False
    left, right, parents, split = (
        np.concatenate([tree[name] for tree in trees], dtype=np.int64) for name in _INDEXES
    )
    first, limits = np.repeat(np.cumsum(sizes) - sizes, sizes), np.repeat(sizes, sizes)
    inner = left >= 0
    at = np.flatnonzero(inner)
    pairs = np.concatenate([left[at], right[at]])
    if not ((left[~inner] == -1) & (right[~inner] == -1)).all():
        return False
    if not ((pairs > 0) & (pairs < np.tile(limits[at], 2))).all():
        return False
    children = pairs + np.tile(first[at], 2)
    return bool(
        (np.bincount(children) <= 1).all()
        and (parents[children] == np.tile(at - first[at], 2)).all()
        and (((parents >= 0) & (parents < limits)) | np.isin(parents, (-1, _MOST))).all()
        and ((split[at] >= 0) & (split[at] < features)).all()
    )


def _size(tree: Mapping[str, Any]) -> int:
    """The number of nodes of a tree of the usual form: one value per leaf, no categories, indexes in integer arrays,
    all of the right length; otherwise 0."""
    parameters = tree["tree_param"]
    nodes = _number(parameters["num_nodes"])
    usual = (
        nodes <= _MOST
        and _number(parameters.get("size_leaf_vector", "1")) <= 1
        and all(len(tree[name]) == nodes for name in _PER_NODE)
        and all(len(tree[name]) == nodes for name in (*_MAY_LACK, *_PER_LEAF) if name in tree)
        and not ("categories_nodes" in tree and any(len(tree[name]) for name in _CATEGORIES))
        and all(isinstance(tree[name], np.ndarray) and tree[name].dtype.kind == "i" for name in _INDEXES)
    )
    return nodes if usual else 0


def _tree(tree: Mapping[str, Any], features: int) -> None:
    parameters = tree["tree_param"]
    nodes = _number(parameters["num_nodes"])
    if not 0 < nodes <= _MOST:
        raise DamagedModel(f"{nodes} nodes")
    width = max(1, _number(parameters.get("size_leaf_vector", "1")))
    for name in (*_PER_NODE, *(name for name in _MAY_LACK if name in tree)):
        if name == "split_conditions" and width > 1:
            continue
        _check_same_length(name, tree[name], nodes)
    for name in _PER_LEAF:
        if name in tree and len(tree[name]) not in (nodes, nodes * width):
            raise DamagedModel(f"{name} has {len(tree[name])} entries for {nodes} nodes")
    left, right = (np.array(tree[name], np.int64) for name in ("left_children", "right_children"))
    if width > 1 and "leaf_weights" in tree:
        # The right child of a leaf is its index among the values of leaves.
        leaf = left == -1
        if not ((right[leaf] >= 0) & ((right[leaf] + 1) * width <= len(tree["leaf_weights"]))).all():
            raise DamagedModel("a leaf's values are not among those of the leaves")
        right[leaf] = -1
    _children(left, right, np.asarray(tree["parents"], np.int64), nodes)
    inner = left >= 0
    split = np.asarray(tree["split_indices"], np.int64)[inner]
    if len(split) and not (split.min() >= 0 and split.max() < features):
        raise DamagedModel("it splits by a feature that the model does not have")
    if "categories_nodes" in tree:
        _categories(tree, nodes)


def _children(left: Any, right: Any, parents: Any, nodes: int) -> None:
    """Check that each node except the first has at most one parent, so that every traversal ends."""
    inner = left >= 0
    if not ((left[~inner] == -1) & (right[~inner] == -1)).all():
        raise DamagedModel("a leaf has children")
    children = np.concatenate([left[inner], right[inner]])
    if len(children) and not (children.min() > 0 and children.max() < nodes):
        raise DamagedModel("a node's child is none of its nodes")
    if len(children) and np.bincount(children).max() > 1:
        raise DamagedModel("a node is the child of two others")
    at = np.flatnonzero(inner)
    if not ((parents[left[at]] == at) & (parents[right[at]] == at)).all():
        raise DamagedModel("a node is not its children's parent")
    if not (((parents >= 0) & (parents < nodes)) | np.isin(parents, (-1, _MOST))).all():
        raise DamagedModel("a node's parent is none of its nodes")


def _categories(tree: Mapping[str, Any], nodes: int) -> None:
    at, begin, size, listed = (np.asarray(tree[name], np.int64) for name in _CATEGORIES)
    _check_same_length(_CATEGORIES[1], begin, len(at))
    _check_same_length(_CATEGORIES[2], size, len(at))
    fitting = (at >= 0) & (at < nodes) & (begin >= 0) & (size >= 0) & (begin + size <= len(listed))
    if not fitting.all() or (len(listed) and listed.min() < 0):
        raise DamagedModel("its categories are not those of its nodes")


def _check_same_length(name: str, values: Any, length: int) -> None:
    if len(values) != length:
        raise DamagedModel(f"{name} has {len(values)} entries where {length} belong")


def _number(text: Any) -> int:
    return int(str(text))
