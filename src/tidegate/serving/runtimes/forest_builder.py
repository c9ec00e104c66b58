"""Builds a ``forest`` from an XGBoost model: checks every node, and compares the forest with the library on probes.

The probe rows are at, just below and just above the thresholds, with and without missing values. A model that a
forest cannot represent, or with a different result, is NotCovered and is served by the library.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import xgboost
from numpy.typing import NDArray

from tidegate.domain.decoding import prepare_type
from tidegate.serving.formats import row_decoder
from tidegate.serving.runtimes.forest import Arrays, Forest, Head, index_type, pack, unpack
from tidegate.serving.runtimes.objectives import LINKS, TOLERANCE, deviation
from tidegate.serving.runtimes.xgboost_document import File, Learner, NotCovered, TreeDocument, Trees, probes

_ALONE = 5
"""Every fifth probe row is also evaluated alone, so that each kind of row is."""


def build_forest(
    booster: xgboost.Booster, features: row_decoder.Features, iterations: tuple[int, int], mark: str
) -> bytes:
    """The packed forest of a model that takes these features. Raises NotCovered."""
    if iterations != (0, 0):
        booster = booster[slice(*iterations)]
    try:
        learner = msgspec.json.decode(booster.save_raw("json"), type=prepare_type(File)).learner
    except msgspec.DecodeError as error:  # a leaf that is no finite number, too, which is no JSON
        raise NotCovered(f"a model of another form: {error}") from None
    model = _trees(learner)
    data = pack(*_build(learner, model, features, mark))
    _compare(unpack(data), booster, model)
    return data


def _trees(learner: Learner) -> Trees:
    objective, model = learner.objective.name, learner.gradient_booster.model
    if learner.gradient_booster.name != "gbtree" or model is None or objective not in LINKS:
        raise NotCovered(f"booster {learner.gradient_booster.name}, objective {objective}")
    if learner.learner_model_param.num_target not in ("0", "1") or any(t.categories_nodes for t in model.trees):
        raise NotCovered("several targets, or categories")
    if not model.trees:
        raise NotCovered("a model without trees")
    return model


def _build(learner: Learner, model: Trees, features: row_decoder.Features, mark: str) -> tuple[Head, Arrays]:
    outputs = max(1, int(learner.learner_model_param.num_class))
    margin = LINKS[learner.objective.name][1]
    given = msgspec.json.decode(
        f"[{learner.learner_model_param.base_score.strip('[]')}]", type=prepare_type(list[float])
    )
    base = np.broadcast_to(margin(np.array(given, np.float32)), (outputs,))
    of_output = [
        [t for t, to in zip(model.trees, model.tree_info, strict=True) if to == k] for k in range(outputs)
    ]
    if sum(map(len, of_output)) != len(model.trees):
        raise NotCovered("trees of outputs that the model does not have")
    arrays, depth = _arrays([tree for trees in of_output for tree in trees], features.count)
    counts = tuple(len(trees) for trees in of_output)
    sums = tuple(float(value) for value in base)
    nodes = len(arrays.limits)
    kinds = None if features.kinds is None else tuple(column.kind for column in features.kinds)
    if kinds and row_decoder.ValueKind.CATEGORY in kinds:
        raise NotCovered("categories")
    head = Head(mark, learner.objective.name, features.count, sums, counts, nodes, depth, features.names, kinds)
    return head, arrays


def _arrays(trees: Sequence[TreeDocument], features: int) -> tuple[Arrays, int]:
    sizes = [len(tree.left_children) for tree in trees]
    nodes = sum(sizes)
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    shift = np.repeat(roots, sizes)
    trees = [tree if _side_by_side(tree) else _reorder_nodes(tree) for tree in trees]
    left = np.concatenate([np.array(tree.left_children) for tree in trees])
    split = np.concatenate([np.array(tree.split_indices) for tree in trees])
    limits = np.concatenate([np.array(tree.split_conditions, np.float32) for tree in trees])
    to_right = np.concatenate([np.array(tree.default_left) for tree in trees]) == 0
    leaf = left < 0
    if not (len(left) == len(split) == len(limits) == len(to_right) == nodes):
        raise NotCovered("trees whose lists differ in length")
    if (split[~leaf] >= features).any() or not np.isfinite(limits).all():
        raise NotCovered("a split by a feature that the model does not have, or by no number")
    children = np.where(leaf, np.arange(nodes), left + shift)
    arrays = Arrays(
        limits,
        children.astype(index_type(nodes)),
        np.where(leaf, features, split).astype(index_type(features + 1)),
        np.packbits(to_right & ~leaf),
        roots.astype(np.uint32),
    )
    return arrays, _depth(children, roots)


def _side_by_side(tree: TreeDocument) -> bool:
    """Whether a tree has the library's order: children after their parent and adjacent, each with one parent."""
    left, right = np.array(tree.left_children), np.array(tree.right_children)
    inner = np.flatnonzero(left >= 0)
    pairs = left[inner]
    return bool(
        len(left) == len(right) == 2 * len(inner) + 1
        and (right[inner] == pairs + 1).all()
        and (pairs > inner).all()
        and (pairs + 1 < len(left)).all()
        and len(np.unique(pairs)) == len(pairs)
    )


def _reorder_nodes(tree: TreeDocument) -> TreeDocument:
    """Reorder a tree level by level. Raises NotCovered if it is not a tree."""
    count = len(tree.left_children)
    order, left = [0], []
    for node in order:
        child = tree.left_children[node]
        left.append(len(order) if child >= 0 else -1)
        if child >= 0:
            order += [child, tree.right_children[node]]
        if len(order) > count or not all(0 <= node < count for node in order[-2:]):
            raise NotCovered("nodes that make no tree")
    if len(set(order)) != count:
        raise NotCovered("nodes that no path, or more than one, leads to")
    return TreeDocument(
        left,
        [child + 1 if child >= 0 else -1 for child in left],
        [tree.split_indices[node] for node in order],
        [tree.split_conditions[node] for node in order],
        [tree.default_left[node] for node in order],
    )


def _depth(children: NDArray[Any], roots: NDArray[Any]) -> int:
    depth, at = 0, roots
    while len(inner := at[children[at] != at]):
        at = np.concatenate([children[inner], children[inner] + 1])
        depth += 1
    return depth


def _compare(forest: Forest, booster: xgboost.Booster, model: Trees) -> None:
    """Raises NotCovered if a probe row, alone or in a batch, has another result than that of the library."""
    rows = probes(model.trees, booster.num_features())
    expected = booster.inplace_predict(rows, missing=np.nan, validate_features=False)
    some = slice(None, None, _ALONE)
    alone = np.concatenate([forest.predict(row[None]) for row in rows[some]])
    for found, right in ((alone, expected[some]), (forest.predict(rows), expected)):
        if found.shape != right.shape or found.dtype != right.dtype:
            raise NotCovered(f"results of shape {found.shape} where the library gives {right.shape}")
        off = deviation(found, right, forest.head.objective)
        if not (off <= TOLERANCE).all():
            raise NotCovered(f"results differ by up to {np.max(off):.1e}")
