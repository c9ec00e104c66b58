"""Evaluates an XGBoost model's trees by onnxruntime: the same sums at a fraction of the cost of a call.

The trees become one ONNX TreeEnsemble whose first tree is the base score, so that the additions are in XGBoost's
order. ``faster`` compares the result with the library on probe rows, and raises NotCovered if it differs or the kind
of model is not supported. Source: XGBoost's JSON model schema.

One row is scored in place: ``InferenceSession.run`` makes arrays of input and output for each call, and the results
of one row then pass numpy several times. For a request that finds nothing in the processor's caches, as among a few
hundred a second, that is a fifth of the worker's time. Here the row's bytes are copied into memory that the session
knows, and the sum is read out of it.
"""

import math
import threading
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
import onnx
import onnxruntime
import xgboost
from numpy.typing import NDArray

from tidegate.domain.decoding import prepare_type
from tidegate.serving.runtimes.objectives import LINKS, MOST_ODDS, TOLERANCE, Evaluation, Matrix, deviation
from tidegate.serving.runtimes.xgboost_document import File, Learner, NotCovered, TreeDocument, Trees, probes

CHECKED = 32
"""Probe rows that are compared when a model is loaded."""

OneRow = Callable[[bytes], "array[float] | None"]
"""From the float32 of one row to its one result, a float32; None while another thread uses it."""


def bind_row(
    session: onnxruntime.InferenceSession, names: tuple[str, str], features: int, objective: str
) -> OneRow | None:
    """Bind a session for calls with one row. ``names``: of the session's input and of its output, which has one
    column. None: the objective is none of those whose result for one sum is known here."""
    finish = _finish(objective)
    if finish is None:
        return None
    row, total = np.zeros((1, features), np.float32), np.zeros((1, 1), np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_input(names[0], onnxruntime.OrtValue.ortvalue_from_numpy(row))
    binding.bind_ortvalue_output(names[1], onnxruntime.OrtValue.ortvalue_from_numpy(total))
    given, found = row.data.cast("B"), total.data.cast("B").cast("f")
    run, free = session.run_with_iobinding, threading.Lock()

    def evaluate(values: bytes) -> "array[float] | None":
        if not free.acquire(blocking=False):
            return None
        try:
            given[:] = values
            run(binding)
            return finish(found[0])
        finally:
            free.release()

    return evaluate


def _finish(objective: str) -> "Callable[[float], array[float]] | None":
    kind = LINKS.get(objective)
    if kind == LINKS["binary:logistic"]:
        return to_probability
    return keep_sum if kind == LINKS["reg:squarederror"] else None


def keep_sum(total: float) -> "array[float]":
    return array("f", (total,))


def to_probability(total: float) -> "array[float]":
    """Compute the probability as ``objectives`` does, bit by bit. A float32 sum or quotient equals the float64 one,
    rounded, because float64 has more than twice the digits (Figueroa, "When is double rounding innocuous?")."""
    odds = -total
    made = array("f", (0.0,))
    if odds >= MOST_ODDS:
        return made
    made[0] = math.exp(odds)
    made[0] = 1.0 + made[0]
    made[0] = 1.0 / made[0]
    return made


MOST = 64
"""Rows up to which a call is faster than the library's."""


INPUT, OUTPUT = "rows", "sums"


class FastTrees(NamedTuple):
    """A model's trees by onnxruntime."""

    rows: Evaluation
    one: OneRow | None
    """The same for one row, bit by bit; None for a model that has it by ``rows`` alone."""


def faster(booster: xgboost.Booster, iterations: tuple[int, int], threads: int) -> FastTrees:
    """The model's evaluation by onnxruntime. Raises NotCovered if only the library can evaluate it."""
    try:
        if iterations != (0, 0):
            booster = booster[slice(*iterations)]
        learner = msgspec.json.decode(booster.save_raw("json"), type=prepare_type(File)).learner
        found = _evaluation(learner, booster.num_features(), threads)
        probed = _check(found.rows, booster, learner)
        if found.one is not None and not _same_bits(found, probed[-CHECKED:]):
            found = FastTrees(found.rows, None)
    except NotCovered:
        raise
    except Exception as error:  # onnxruntime's errors have no class of their own; the library is the fallback
        reason = " ".join(str(error).split())
        raise NotCovered(f"{type(error).__name__}: {reason[:300]}") from None
    return found


def _evaluation(learner: Learner, features: int, threads: int) -> FastTrees:
    objective, model = learner.objective.name, learner.gradient_booster.model
    if learner.gradient_booster.name != "gbtree" or model is None or objective not in LINKS:
        raise NotCovered(f"booster {learner.gradient_booster.name}, objective {objective}")
    if learner.learner_model_param.num_target not in ("0", "1") or any(t.categories_nodes for t in model.trees):
        raise NotCovered("several targets, or categories")
    classes = max(1, int(learner.learner_model_param.num_class))
    link, margin = LINKS[objective]
    base = np.array(msgspec.json.decode(f"[{learner.learner_model_param.base_score.strip('[]')}]"), np.float32)
    graph = _graph(model, np.broadcast_to(margin(base), (classes,)), features)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    run, outputs = session.run, [OUTPUT]
    if classes == 1:
        one = bind_row(session, (INPUT, OUTPUT), features, objective)
        return FastTrees(lambda rows: link(run(outputs, {INPUT: rows})[0][:, 0]), one)
    return FastTrees(lambda rows: link(run(outputs, {INPUT: rows})[0]), None)


def _graph(model: Trees, base: Matrix, features: int) -> bytes:
    trees = [TreeDocument([-1], [-1], [0], [float(value)], [0]) for value in base] + model.trees
    sums = [*range(len(base)), *model.tree_info]
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
    for number, (tree, output) in enumerate(zip(trees, sums, strict=True)):
        left = np.array(tree.left_children)
        leaves = np.flatnonzero(left < 0)
        values = np.array(tree.split_conditions, np.float32)
        columns["nodes_treeids"].append(np.full(len(left), number))
        columns["nodes_nodeids"].append(np.arange(len(left)))
        columns["nodes_featureids"].append(np.array(tree.split_indices))
        columns["nodes_truenodeids"].append(np.maximum(left, 0))
        columns["nodes_falsenodeids"].append(np.maximum(np.array(tree.right_children), 0))
        columns["nodes_missing_value_tracks_true"].append(np.array(tree.default_left))
        columns["nodes_values"].append(values)
        columns["nodes_modes"].append(np.where(left < 0, "LEAF", "BRANCH_LT"))
        columns["target_treeids"].append(np.full(len(leaves), number))
        columns["target_nodeids"].append(leaves)
        columns["target_ids"].append(np.full(len(leaves), output))
        columns["target_weights"].append(values[leaves])
    node = onnx.helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        [OUTPUT],
        domain="ai.onnx.ml",
        n_targets=len(base),
        **{name: np.concatenate(parts).tolist() for name, parts in columns.items()},
    )
    kind = onnx.TensorProto.FLOAT
    rows = onnx.helper.make_tensor_value_info(INPUT, kind, [None, features])
    out = onnx.helper.make_tensor_value_info(OUTPUT, kind, [None, len(base)])
    opset = [onnx.helper.make_opsetid("ai.onnx.ml", 3), onnx.helper.make_opsetid("", 17)]
    graph = onnx.helper.make_graph([node], "trees", [rows], [out])
    return bytes(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


_COLUMNS = (
    *("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids"),
    *("nodes_missing_value_tracks_true", "nodes_values", "nodes_modes"),
    *("target_treeids", "target_nodeids", "target_ids", "target_weights"),
)


def _same_bits(trees: FastTrees, probed: Matrix) -> bool:
    """Whether each of these rows has the same result by both evaluations."""
    if trees.one is None:
        return False
    for row in probed:
        found = trees.one(row.tobytes())
        if found is None or found.tobytes() != trees.rows(row[None]).tobytes():
            return False
    return True


def _check(evaluation: Evaluation, booster: xgboost.Booster, learner: Learner) -> Matrix:
    """The probe rows. Raises NotCovered if one, alone or in a batch, has another result than that of the library."""
    assert learner.gradient_booster.model is not None
    rows = probes(learner.gradient_booster.model.trees, booster.num_features())
    expected = booster.inplace_predict(rows, missing=np.nan, validate_features=False)
    alone = np.concatenate([evaluation(row[None]) for row in rows])
    for found in (alone, evaluation(rows)):
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise NotCovered(f"results of shape {found.shape} where the library gives {expected.shape}")
        off = deviation(found, expected, learner.objective.name)
        if not (off <= TOLERANCE).all():
            raise NotCovered(f"results differ by up to {np.max(off):.1e}")
    return rows
