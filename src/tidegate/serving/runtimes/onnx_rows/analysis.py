"""Follows the batch axis through a graph. See the package's docstring."""

from collections.abc import Sequence
from pathlib import Path

from tidegate.serving.runtimes.onnx_rows import arithmetic
from tidegate.serving.runtimes.onnx_rows.graph import CLASSICAL, Constant, Dims, Graph, Node, Subgraph, read
from tidegate.serving.runtimes.onnx_rows.operators import RANDOM, RULES, dropout
from tidegate.serving.runtimes.onnx_rows.shapes import Inputs
from tidegate.serving.runtimes.onnx_rows.values import Unproven, Value
from tidegate.serving.runtimes.onnx_rows.wire import Malformed

__all__ = ["Unproven", "prove", "prove_file"]

_COUNTING = frozenset({"Reshape", "Expand", "Tile", "ConstantOfShape", "Resize", "Upsample"})
"""Operators that take a shape, in which the number of rows may occur."""


def prove_file(path: Path, inputs: Sequence[str], output: str) -> None:
    """Raises Unproven unless each row of ``output`` depends on the same row of ``inputs`` alone."""
    try:
        graph = read(path)
    except (Malformed, OSError, ValueError) as error:
        raise Unproven(f"the graph cannot be followed: {error}") from None
    prove(graph, inputs, output)


def prove(graph: Graph, inputs: Sequence[str], output: str) -> None:
    """Prove it for a graph. ``inputs``: those with one row per row of the request, along their first axis."""
    known = {name: arithmetic.from_constant(constant) for name, constant in graph.constants.items()}
    for name in inputs:
        known[name] = _entry(name, graph.inputs.get(name))
    for node in required_nodes(graph, output, known):
        found = outputs_of(node, [known.get(name) if name else None for name in node.inputs], graph)
        for name, value in zip(node.outputs, found, strict=False):
            if name and value is not None:
                known[name] = value
    if output not in known:
        raise Unproven(f"output {output} is not one of those that an operator gives row by row")
    value = known[output]
    if value.axis != 0 or value.layout != (1, 1) or len(value.ranked) > 2:
        raise Unproven(f"output {output} does not have the rows along its first axis")


def _entry(name: str, dims: Dims | None) -> Value:
    if not dims or dims[0] is not None:
        raise Unproven(f"input {name} has no axis of any length for the rows")
    return Value((1, *dims[1:]), 0)


def required_nodes(graph: Graph, output: str, known: dict[str, Value]) -> list[Node]:
    """The operators that the output depends on, in the file's order, which is an order of evaluation."""
    makers: dict[str, Node] = {}
    for node in graph.nodes:
        for name in filter(None, node.outputs):
            if name in makers or name in known:
                raise Unproven(f"{node.shown}: {name} is made twice")
            makers[name] = node
    wanted, seen = [output], set()
    while wanted:
        maker = makers.get(wanted.pop())
        if maker is not None and id(maker) not in seen:
            seen.add(id(maker))
            wanted += filter(None, maker.inputs)
    return [node for node in graph.nodes if id(node) in seen]


def outputs_of(node: Node, inputs: Inputs, graph: Graph) -> list[Value]:
    """Raises Unproven."""
    try:
        _check(node, inputs, graph)
        return _outputs(node, inputs)
    except Unproven as why:
        raise Unproven(f"{node.shown}: {why}") from None
    except (ValueError, LookupError, TypeError, AssertionError, ArithmeticError) as error:
        raise Unproven(f"{node.shown}: {type(error).__name__}: {error}") from None


def _check(node: Node, inputs: Inputs, graph: Graph) -> None:
    missing = [name for name, value in zip(node.inputs, inputs, strict=True) if name and value is None]
    if missing:
        raise Unproven(f"{missing[0]} is not known row by row")
    if (node.domain, node.op) in graph.functions:
        raise Unproven("the file defines it itself")
    if any(isinstance(value, Subgraph) for value in node.attributes.values()):
        raise Unproven("it has a graph of its own")
    if node.op in RANDOM:
        raise Unproven("it draws numbers at random")


def _outputs(node: Node, inputs: Inputs) -> list[Value]:
    given = [value for value in inputs if value is not None]
    if node.domain == "" and node.op == "Constant":
        return [_constant(node)]
    if node.domain == "" and node.op == "Shape":
        return [arithmetic.shape_of(node, given[0])]
    if all(value.axis is None for value in given):
        computed = arithmetic.compute(node, inputs)
        if computed is not None:
            return [computed]
        if not any(value.counts for value in given):
            return _parameters(node, inputs)
    if any(value.counts for value in given) and (node.domain or node.op not in _COUNTING):
        raise Unproven("it computes with the number of rows")
    rule = RULES.get((node.domain, node.op))
    if rule is None:
        raise Unproven("it may let rows influence each other")
    return rule(node, inputs)


def _parameters(node: Node, inputs: Inputs) -> list[Value]:
    """Outputs that are computed from constants, and so independent of rows; the rule may know their shapes."""
    unknown = [Value(None)] * len(node.outputs)
    rule = RULES.get((node.domain, node.op))
    if rule is None and node.domain not in ("", CLASSICAL):
        raise Unproven("an operator that is not known")
    if rule is None:
        return unknown
    if rule is dropout:
        return dropout(node, inputs)
    try:
        found = rule(node, inputs)
    except Unproven:
        return unknown
    return [*found, *unknown[len(found) :]]


def _constant(node: Node) -> Value:
    for name, value in node.attributes.items():
        if name == "value" and isinstance(value, Constant):
            return arithmetic.from_constant(value)
        if name == "value_int" and isinstance(value, int):
            return Value((), None, (value,))
        if name in ("value_ints", "value_strings", "value_floats") and isinstance(value, tuple):
            whole = tuple(one for one in value if isinstance(one, int))
            return Value((len(value),), None, whole if len(whole) == len(value) else None)
        if name in ("value_float", "value_string"):
            return Value(())
    return Value(None)
