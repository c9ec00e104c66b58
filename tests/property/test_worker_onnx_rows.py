"""A graph that is proven to keep rows apart does so, and answers never depend on who else asks."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import event, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.helper import make_node

from tests.batched_clients import alone, assert_alike, save_onnx, together
from tidegate.serving.runtimes import onnx as onnx_runtime
from tidegate.serving.runtimes.onnx_rows import Unproven, prove, read
from tidegate.serving.runtimes.tabular_scorer import TabularScorer

WIDTH = 4
SEEN = 7
"""Rows by which shapes are seen while a graph is made; constants may be as long."""
DRAW = Callable[[Any], Any]
RANDOM = np.random.default_rng(5)
ROWS = np.concatenate([RANDOM.normal(size=(5, WIDTH)), 1e3 * RANDOM.normal(size=(2, WIDTH))]).astype(np.float32)
OTHERS = np.concatenate([RANDOM.normal(size=(5, WIDTH)), np.full((2, WIDTH), 9.0)]).astype(np.float32)


class Building:
    """A graph that grows by one operator at a time; those that onnxruntime refuses are taken back."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "model.onnx"
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {"rows": (SEEN, WIDTH)}
        self.last = "rows"

    def constant(self, values: Any) -> str:
        name = f"c{len(self.weights)}"
        self.weights[name] = np.asarray(values)
        return name

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, which: int = 0, **attributes: Any) -> None:
        names = [f"t{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(make_node(op, inputs, names, **attributes))
        try:
            found = self.run(ROWS, names[which])
        except Exception:  # onnxruntime's errors have no class of their own
            self.nodes.pop()
            return
        if found.dtype != np.float32 or found.ndim == 0 or not 0 < found.size <= 4096:
            self.nodes.pop()
            return
        self.last = names[which]
        self.shapes[self.last] = found.shape

    def run(self, rows: NDArray[Any], output: str) -> Any:
        found = self.session(output).run([output], {"rows": rows})[0]
        return found

    def session(self, output: str) -> Any:
        save_onnx(self.path, self.nodes, self.weights, WIDTH, output=output)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[self.last]

    @property
    def rank(self) -> int:
        return len(self.shape)


def ints(values: Sequence[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def an_axis(draw: DRAW, graph: Building) -> int:
    return int(draw(st.integers(-graph.rank, graph.rank - 1))) if graph.rank else 0


def unary(draw: DRAW, graph: Building) -> None:
    graph.add(draw(st.sampled_from(["Relu", "Tanh", "Abs", "Neg", "Identity", "Sigmoid"])), [graph.last])


def with_constant(draw: DRAW, graph: Building) -> None:
    sides = [draw(st.sampled_from([1, side])) for side in graph.shape]
    cut = draw(st.integers(0, len(sides)))
    values = np.random.default_rng(3).normal(size=sides[cut:]).astype(np.float32)
    graph.add(draw(st.sampled_from(["Add", "Mul", "Max", "Sub"])), [graph.last, graph.constant(values)])


def with_another(draw: DRAW, graph: Building) -> None:
    other = draw(st.sampled_from(sorted(graph.shapes)))
    graph.add(draw(st.sampled_from(["Add", "Mul", "MatMul", "Min"])), draw(st.permutations([graph.last, other])))


def product(draw: DRAW, graph: Building) -> None:
    inner = graph.shape[-1] if draw(st.booleans()) or graph.rank < 2 else graph.shape[-2]
    weights = graph.constant(np.random.default_rng(4).normal(size=(inner, inner)).astype(np.float32))
    graph.add("MatMul", draw(st.permutations([graph.last, weights])))


def transpose(draw: DRAW, graph: Building) -> None:
    graph.add("Transpose", [graph.last], perm=draw(st.permutations(range(graph.rank))))


def reshape(draw: DRAW, graph: Building) -> None:
    size = int(np.prod(graph.shape))
    target = draw(
        st.one_of(
            st.permutations([-1, WIDTH]),
            st.permutations([-1, 2, 2]),
            st.permutations([1, -1, WIDTH]),
            st.sampled_from(
                [[0, -1], [-1], [0, 2, -1], [-1, 2], [2, -1, 2], [-1, 8], [0, 0, -1], [1, -1], [size]]
            ),
        )
    )
    graph.add("Reshape", [graph.last, graph.constant(ints(target))])


def reshape_by_count(draw: DRAW, graph: Building) -> None:
    """To a shape made of the number of rows, as exporters write it."""
    shape, count, back = (f"s{len(graph.nodes)}_{part}" for part in ("shape", "count", "back"))
    place, rest = draw(st.integers(0, 1)), draw(st.sampled_from([[-1], [2, -1], [WIDTH]]))
    zero = graph.constant(ints([0]))
    order = [count, graph.constant(ints(rest))]
    before = list(graph.nodes)
    graph.nodes += [
        make_node("Shape", ["rows"], [shape]),
        make_node("Gather", [shape, zero], [count], axis=0),
        make_node("Concat", order if place == 0 else order[::-1], [back], axis=0),
    ]
    kept = len(graph.nodes)
    graph.add("Reshape", [graph.last, back])
    if len(graph.nodes) == kept:
        graph.nodes[:] = before


def reduce(draw: DRAW, graph: Building) -> None:
    op = draw(st.sampled_from(["ReduceMean", "ReduceMax", "ReduceSumSquare", "ReduceL2"]))
    axes = draw(st.lists(st.integers(-graph.rank, max(graph.rank - 1, 0)), max_size=2))
    given = {"axes": axes} if axes else {}
    graph.add(op, [graph.last], keepdims=draw(st.integers(0, 1)), **given)


def along(draw: DRAW, graph: Building) -> None:
    op = draw(
        st.sampled_from(["Softmax", "LogSoftmax", "LpNormalization", "CumSum", "LayerNormalization", "TopK"])
    )
    axis = an_axis(draw, graph)
    if op == "CumSum":
        graph.add(op, [graph.last, graph.constant(np.array(axis, np.int64))])
    elif op == "TopK":
        graph.add(op, [graph.last, graph.constant(ints([1]))], outputs=2, axis=axis)
    elif op == "LayerNormalization":
        graph.add(op, [graph.last, graph.constant(np.array([1.5], np.float32))], axis=axis)
    else:
        graph.add(op, [graph.last], axis=axis)


def cut(draw: DRAW, graph: Building) -> None:
    axis = an_axis(draw, graph)
    begin, end = draw(st.sampled_from([(0, 1), (1, 2**40), (0, 2**40), (-2, -1), (0, 2)]))
    given = [graph.constant(ints([value])) for value in (begin, end, axis)]
    graph.add("Slice", [graph.last, *given])


def pick(draw: DRAW, graph: Building) -> None:
    places = draw(st.sampled_from([0, [0], [1, 0], [[0, 1]]]))
    graph.add("Gather", [graph.last, graph.constant(np.array(places, np.int64))], axis=an_axis(draw, graph))


def join(draw: DRAW, graph: Building) -> None:
    other = draw(st.sampled_from(sorted(graph.shapes)))
    graph.add("Concat", [graph.last, other], axis=an_axis(draw, graph))


def split(draw: DRAW, graph: Building) -> None:
    graph.add("Split", [graph.last], outputs=2, which=draw(st.integers(0, 1)), axis=an_axis(draw, graph))


def axes(draw: DRAW, graph: Building) -> None:
    axis = draw(st.integers(-graph.rank - 1, graph.rank))
    op = draw(st.sampled_from(["Squeeze", "Unsqueeze", "SqueezeAll", "Flatten"]))
    if op == "Flatten":
        graph.add(op, [graph.last], axis=axis)
    elif op == "SqueezeAll":
        graph.add("Squeeze", [graph.last])
    else:
        graph.add(op, [graph.last, graph.constant(ints([axis]))])


def repeat(draw: DRAW, graph: Building) -> None:
    numbers = [draw(st.sampled_from([1, 1, 2])) for _ in range(graph.rank)]
    graph.add("Tile", [graph.last, graph.constant(ints(numbers))])


def pad(draw: DRAW, graph: Building) -> None:
    pads = [draw(st.sampled_from([0, 0, 0, 1, -1])) for _ in range(2 * graph.rank)]
    graph.add("Pad", [graph.last, graph.constant(ints(pads))])


def expand(draw: DRAW, graph: Building) -> None:
    shape = f"s{len(graph.nodes)}"
    graph.nodes.append(make_node("Shape", [draw(st.sampled_from(sorted(graph.shapes)))], [shape]))
    kept = len(graph.nodes)
    graph.add("Expand", [graph.last, shape])
    if len(graph.nodes) == kept:
        graph.nodes.pop()


STEPS = [
    *(unary, with_constant, with_another, product, transpose, reshape, reshape_by_count, reduce, along, cut, pick),
    *(join, split, axes, repeat, pad, expand),
]


@given(st.data(), st.integers(1, 9))
def test_models_proven_row_independent_are_row_independent(data: st.DataObject, steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        graph = Building(Path(folder))
        for _ in range(steps):
            data.draw(st.sampled_from(STEPS))(data.draw, graph)
        if graph.rank > 2 or data.draw(st.booleans()):
            graph.add("Flatten", [graph.last], axis=1)
        if not graph.nodes:
            return
        session = graph.session(graph.last)
        try:
            prove(read(graph.path), ["rows"], [graph.last])
        except Unproven:
            event("not proven")
            return
        event(f"proven, {min(len(graph.nodes), 5)} operators")
        check(lambda rows: session.run([graph.last], {"rows": rows})[0])


def check(run: Callable[[NDArray[Any]], Any]) -> None:
    single = [run(ROWS[[row]]) for row in range(len(ROWS))]
    assert all(len(one) == 1 for one in single)
    expected = np.concatenate(single)
    scale = np.abs(np.where(np.isfinite(expected), expected, 0)).max(initial=1e-3)
    for size in (2, 3, SEEN):
        found = run(ROWS[:size])
        assert found.shape == expected[:size].shape
        np.testing.assert_allclose(found, expected[:size], rtol=1e-4, atol=1e-5 * scale)
    mixed = OTHERS.copy()
    mixed[[1, 4]] = ROWS[[1, 4]]
    np.testing.assert_array_equal(run(mixed)[[1, 4]], run(ROWS)[[1, 4]])


# --- whole models, answered to clients that ask at one time ---

W = RANDOM.normal(size=(WIDTH, WIDTH)).astype(np.float32)
WEIGHTS = {
    "w": W,
    "b": W[0],
    "none": ints([0]),
    "last": ints([1]),
    "pairs": ints([-1, 2 * WIDTH]),
    "image": ints([-1, 1, 2, 2]),
    "flat": ints([-1, WIDTH]),
    "floor": np.array(60, np.float32),
    "kernel": W[:1, :1].reshape(1, 1, 1, 1),
    "zero_point": np.array(128, np.uint8),
    "fine": np.array(0.05, np.float32),
}
Macro = Callable[[str, str], list[onnx.NodeProto]]
SAFE: list[Macro] = [
    lambda x, y: [make_node("MatMul", [x, "w"], [y])],
    lambda x, y: [make_node("Gemm", [x, "w", "b"], [y])],
    lambda x, y: [make_node("Tanh", [x], [y])],
    lambda x, y: [make_node("Softmax", [x], [y], axis=1)],
    lambda x, y: [make_node("LayerNormalization", [x, "b"], [y])],
    lambda x, y: [make_node("ReduceMax", [x], [y + "m"], axes=[1]), make_node("Sub", [x, y + "m"], [y])],
    lambda x, y: [
        make_node("Reshape", [x, "image"], [y + "i"]),
        make_node("Conv", [y + "i", "kernel"], [y + "c"]),
        make_node("Reshape", [y + "c", "flat"], [y]),
    ],
    lambda x, y: [
        make_node("QuantizeLinear", [x, "fine", "zero_point"], [y + "q"]),
        make_node("DequantizeLinear", [y + "q", "fine", "zero_point"], [y]),
    ],
    lambda x, y: [make_node("Scaler", [x], [y], domain="ai.onnx.ml", offset=[1.0] * 4, scale=[0.5] * 4)],
    lambda x, y: [make_node("Normalizer", [x], [y], domain="ai.onnx.ml", norm="L1")],
]
UNSAFE: list[Macro] = [
    lambda x, y: [make_node("ReduceMean", [x], [y + "m"], axes=[0]), make_node("Sub", [x, y + "m"], [y])],
    lambda x, y: [
        make_node("Abs", [x], [y + "a"]),
        make_node("ReduceMax", [y + "a"], [y + "m"], keepdims=0),
        make_node("Max", [y + "m", "floor"], [y + "f"]),
        make_node("Div", [x, y + "f"], [y]),
    ],
    lambda x, y: [
        make_node("DynamicQuantizeLinear", [x], [y + "q", y + "s", y + "z"]),
        make_node("DequantizeLinear", [y + "q", y + "s", y + "z"], [y]),
    ],
    lambda x, y: [make_node("Softmax", [x], [y], axis=0)],
    lambda x, y: [make_node("CumSum", [x, "none"], [y])],
    lambda x, y: [make_node("Gather", [x, "none"], [y + "f"], axis=0), make_node("Add", [x, y + "f"], [y])],
    lambda x, y: [
        make_node("Size", [x], [y + "n"]),
        make_node("Cast", [y + "n"], [y + "c"], to=1),
        make_node("Div", [x, y + "c"], [y]),
    ],
    lambda x, y: [make_node("Transpose", [x], [y + "t"]), make_node("Reshape", [y + "t", "flat"], [y])],
    lambda x, y: [
        make_node("Transpose", [x], [y + "t"]),
        make_node("MatMul", [y + "t", x], [y + "g"]),
        make_node("MatMul", [x, y + "g"], [y]),
    ],
]
REQUESTS = [
    ROWS[[0]],
    ROWS[1:3],
    ROWS[[5]],
    ROWS[[3]],
    100 * ROWS[[4]],
    ROWS[[0]],
    np.zeros((1, WIDTH), np.float32),
]


def model(macros: Sequence[Macro], folder: Path) -> TabularScorer:
    nodes = [
        node
        for number, macro in enumerate(macros)
        for node in macro("rows" if number == 0 else f"y{number}", f"y{number + 1}")
    ]
    used = {name for node in nodes for name in node.input}
    weights = {name: values for name, values in WEIGHTS.items() if name in used}
    save_onnx(folder / "model.onnx", nodes, weights, WIDTH, output=f"y{len(macros)}")
    return onnx_runtime.load(folder, {})


@given(st.lists(st.sampled_from(SAFE), min_size=1, max_size=5))
def test_models_of_operators_that_keep_rows_apart_are_batched(macros: list[Macro]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = model(macros, Path(folder))
        assert table.batches
        assert_alike(together(table, REQUESTS), alone(table, REQUESTS))


@given(
    st.lists(st.sampled_from(SAFE), max_size=2),
    st.sampled_from(UNSAFE),
    st.lists(st.sampled_from(SAFE), max_size=2),
)
def test_clients_of_a_model_that_mixes_rows_get_what_each_gets_alone(
    before: list[Macro], mixing: Macro, after: list[Macro]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = model([*before, mixing, *after], Path(folder))
        assert not table.batches
        assert_alike(together(table, REQUESTS), alone(table, REQUESTS))
