"""Whether the trees of a scikit-learn model hold together. Its code walks them without looking, so skops, which reads
them as plain numbers, leaves it to its caller whether to trust them: a forged one would reach beyond its memory.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

TREES = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""Types that may be read where ``check`` looks at them before they are used."""
HARMLESS = (
    "sklearn.utils._bunch.Bunch",
    *(f"sklearn.neural_network._stochastic_optimizers.{name}Optimizer" for name in ("Adam", "SGD")),
)
"""Types of scikit-learn's that skops does not know, without code that could be led astray."""
_LEAF = -1


class Unsound(ValueError):
    """The message says what."""


def check(model: Any) -> None:
    """Looks at every tree in what a file held. Raises Unsound."""
    seen: set[int] = set()
    left: list[tuple[Any, int]] = [(model, 0)]
    while left:
        one, columns = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        name = f"{type(one).__module__}.{type(one).__qualname__}"
        if name == TREES[0]:
            _tree(one.children_left, one.children_right, one.feature, columns, one.children_left == _LEAF)
        elif name == TREES[1]:
            _predictor(one, columns)
        else:
            left += [(part, _columns(one, columns)) for part in _parts(one)]


def _columns(holder: Any, above: int) -> int:
    """How many columns the trees in ``holder`` are given."""
    own = getattr(holder, "n_features_in_", None)
    if own is None:
        return above
    if not isinstance(own, int | np.integer) or own < 1:
        raise Unsound(f"it says that it takes {own!r} columns")
    rounds = getattr(holder, "n_trees_per_iteration_", None)
    stages = getattr(holder, "estimators_", None)
    if rounds is not None and isinstance(stages, np.ndarray):  # gradient boosting gives its trees rows unseen
        if stages.ndim != 2 or stages.shape[1] != rounds:
            raise Unsound("it does not have as many trees in each round as it says")
        if any(tree.n_features_in_ != own for tree in stages.flat):
            raise Unsound("its trees take other columns than it does")
    return int(own)


def _parts(one: Any) -> Iterator[Any]:
    if isinstance(one, Mapping):
        yield from one.values()
    elif isinstance(one, list | tuple | set):
        yield from one
    elif isinstance(one, np.ndarray):
        yield from one.flat if one.dtype == object else ()
    elif not isinstance(one, type):
        yield from getattr(one, "__dict__", {}).values()


def _predictor(one: Any, columns: int) -> None:
    nodes = one.nodes
    leaf = nodes["is_leaf"] != 0
    _tree(nodes["left"], nodes["right"], nodes["feature_idx"], columns, leaf)
    categorical = ~leaf & (nodes["is_categorical"] != 0)
    if (nodes["bitset_idx"][categorical] >= len(one.raw_left_cat_bitsets)).any():
        raise Unsound("a tree splits by categories that it does not have")


def _tree(left: Any, right: Any, feature: Any, columns: int, leaf: Any) -> None:
    """A child comes after its parent, as scikit-learn builds trees, so that every walk ends."""
    if not len(left):
        raise Unsound("a tree has no nodes")
    inner = np.flatnonzero(~leaf)
    for children in (left[inner].astype(np.int64), right[inner].astype(np.int64)):
        if not ((children > inner) & (children < len(left))).all():
            raise Unsound("a node's child is none of the nodes after it")
    split = feature[inner]
    if not ((split >= 0) & (split < columns)).all():
        raise Unsound("a tree splits by a column that the model does not take")
