"""Checks that the trees of a scikit-learn model are valid. scikit-learn traverses them without bounds checks, so
skops, which reads them as plain numbers, does not trust them by default: a forged tree would read beyond its
memory.

Decision trees and forests check the width of their rows before they traverse, so a tree that is consistent with its
own estimator is safe anywhere in a model. Gradient boosting passes rows to trees unchecked, and needs trust.
"""

import gc
from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.tree._tree import Tree

TREE = "sklearn.tree._tree.Tree"
"""Type that may be read because ``check`` verifies it before it is used."""
HARMLESS = (
    "sklearn.utils._bunch.Bunch",
    *(f"sklearn.neural_network._stochastic_optimizers.{name}Optimizer" for name in ("Adam", "SGD")),
)
"""Types of scikit-learn that skops does not know, and whose code is safe with any data."""
_SINGLE = {DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor}
_FORESTS = {
    RandomForestClassifier,
    RandomForestRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    IsolationForest,
}
_LEAF = -1


class UnsoundModel(ValueError):
    """A tree is invalid; the message says why."""


class NeedsTrust(ValueError):
    """A type cannot be checked; the message is its name."""


def check(model: Any) -> None:
    """Check every tree in a model. Raises UnsoundModel, and NeedsTrust if there are trees that cannot be checked, or
    objects beside trees that cannot be."""
    seen: set[int] = set()
    left: list[Any] = [model]
    strange: set[str] = set()
    trees = False
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type | ModuleType | FunctionType):
            continue
        seen.add(id(one))
        kind = type(one)
        if isinstance(one, Tree):
            raise UnsoundModel("a tree lies outside of a decision tree")
        if isinstance(one, BaseGradientBoosting | BaseHistGradientBoosting):
            raise NeedsTrust(_name(kind))
        if isinstance(one, np.ndarray) and kind is not np.ndarray:
            strange.add(_name(kind))
        trees |= kind in _SINGLE and "tree_" in vars(one)
        left += _parts(one)
    if trees and strange:
        raise NeedsTrust(", ".join(sorted(strange)))


def _parts(one: Any) -> Iterable[Any]:
    """The parts of an object, without the trees that were checked."""
    kind = type(one)
    if isinstance(one, np.ndarray):
        return list(one.view(np.ndarray).flat) if one.dtype.hasobject else ()
    if kind not in _SINGLE and kind not in _FORESTS:
        return () if isinstance(one, BuiltinFunctionType) and _plain(one) else gc.get_referents(one)
    held = vars(one)
    if any(hasattr(kind, name) for name in held):
        raise UnsoundModel(f"a {kind.__name__} has something in place of its own methods")
    if kind in _FORESTS:
        _forest(one, held)
        return list(held.values())
    if "tree_" in held:
        _check_single(one, held)
    return [value for name, value in held.items() if name != "tree_"]


def _plain(function: Any) -> bool:
    return isinstance(function.__self__, ModuleType | None)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _forest(one: Any, held: Mapping[str, Any]) -> None:
    trees = held.get("estimators_")
    if trees is None:
        return  # not fitted
    if type(trees) is not list or not trees or any(type(tree) not in _SINGLE for tree in trees):
        raise UnsoundModel("a forest has something else than trees")
    columns = _count(held, "n_features_in_")
    if type(one) is IsolationForest and _count(held, "_max_features") != columns:
        raise NeedsTrust(f"{_name(type(one))} with some of the columns for each tree")
    for tree in trees:
        other = vars(tree)
        if _count(other, "n_features_in_") != columns:
            raise UnsoundModel("a forest's trees take other columns than it does")
        if type(one) is not IsolationForest and _outputs(other) != _outputs(held):
            raise UnsoundModel("a forest's trees have other outputs than it does")


def _count(held: Mapping[str, Any], name: str) -> int:
    found = held.get(name)
    if (type(found) is not int and not isinstance(found, np.integer)) or found < 1:
        raise UnsoundModel(f"{name} is {found!r}, not a number of 1 or more")
    return int(found)


def _outputs(held: Mapping[str, Any]) -> list[int]:
    """Number of classes of each output; 1 for a number."""
    outputs = _count(held, "n_outputs_")
    if "n_classes_" not in held:
        return [1] * outputs
    classes = np.asarray(held["n_classes_"])
    if classes.dtype.kind != "i" or classes.size != outputs:
        raise UnsoundModel("the classes of a tree are not those of its outputs")
    return [int(number) for number in classes.ravel()]


def _check_single(one: Any, held: Mapping[str, Any]) -> None:
    tree = held["tree_"]
    if type(tree) is not Tree:
        raise UnsoundModel(f"a {type(one).__name__} has a {type(tree).__name__} for its tree")
    if _count(held, "n_features_in_") != tree.n_features:
        raise UnsoundModel("a tree takes other columns than its estimator")
    outputs = _outputs(held)
    if tree.n_outputs != len(outputs) or np.atleast_1d(tree.n_classes).tolist() != outputs:
        raise UnsoundModel("a tree has other outputs than its estimator")
    count = tree.node_count
    if count < 1:
        raise UnsoundModel("a tree has no nodes")
    if tree.value.shape != (count, len(outputs), max(outputs)) or not tree.value.size:
        raise UnsoundModel("a tree does not have a value for each node")
    _nodes(tree, count)


def _nodes(tree: Any, count: int) -> None:
    """Check that children come after their parents, as in scikit-learn's trees, so that every traversal ends."""
    left, right, split = tree.children_left, tree.children_right, tree.feature
    if not len(left) == len(right) == len(split) == count:
        raise UnsoundModel("a tree does not have as many nodes as it says")
    inner = np.flatnonzero(left != _LEAF)
    for children in (left[inner], right[inner]):
        if not ((children > inner) & (children < count)).all():
            raise UnsoundModel("a node's child is none of the nodes after it")
    if len(np.unique(np.concatenate((left[inner], right[inner])))) != 2 * len(inner):
        raise UnsoundModel("a node is the child of two")
    if not ((split[inner] >= 0) & (split[inner] < tree.n_features)).all():
        raise UnsoundModel("a tree splits by a column that the model does not take")
    level, depth = np.zeros(1, np.int64), 0
    while len(level := level[left[level] != _LEAF]):
        level, depth = np.concatenate((left[level], right[level])), depth + 1
    if depth > tree.max_depth:
        raise UnsoundModel("a tree is deeper than it says")
