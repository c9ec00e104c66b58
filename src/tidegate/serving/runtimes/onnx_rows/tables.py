"""Rules of ``ai.onnx.ml``, the operators of classical models, as onnxruntime computes them.

Its kernels take a tensor of rank 1 for one row, so rows must lie along the first axis of a tensor of rank 2."""

from tidegate.serving.runtimes.onnx_rows.graph import Node
from tidegate.serving.runtimes.onnx_rows.shapes import Inputs, Rule
from tidegate.serving.runtimes.onnx_rows.values import Unproven, Value, along, data, fixed, product, same


def table(value: Value) -> Value:
    if len(value.ranked) != 2 or value.axis not in (None, 0):
        raise Unproven("its input is no table of rows")
    return value


def per_row(node: Node, inputs: Inputs) -> list[Value]:
    """Operators whose result has a row of the same width."""
    return [same(table(data(inputs)))]


def scored(width: str = "", default: int | None = None) -> Rule:
    """Regressors: a row with as many values as an attribute defines."""

    def rule(node: Node, inputs: Inputs) -> list[Value]:
        value = table(data(inputs))
        found = node.attributes.get(width, default)
        return [
            value.with_dims((value.ranked[0], found if isinstance(found, int) and found else None), value.axis)
        ]

    return rule


def classified(node: Node, inputs: Inputs) -> list[Value]:
    """Classifiers: a label and a row of scores."""
    value = table(data(inputs))
    width = node.length("classlabels_int64s", "classlabels_ints", "classlabels_strings")
    # Two classes of a linear model may have one score or two.
    known = width > 2 or (width == 2 and node.op == "TreeEnsembleClassifier")
    scores = (value.ranked[0], width if known else None)
    return [value.with_dims(value.ranked[:1], value.axis), value.with_dims(scores, value.axis)]


def joined(node: Node, inputs: Inputs) -> list[Value]:
    """FeatureVectorizer: columns side by side."""
    values = [table(data(inputs, number)) for number in range(len(inputs))]
    if len({(value.axis, value.outer, value.ranked[0]) for value in values}) > 1:
        raise Unproven("it joins rows with something else")
    return [values[0].with_dims((values[0].ranked[0], None), values[0].axis)]


def encoded(node: Node, inputs: Inputs) -> list[Value]:
    """OneHotEncoder: an additional last axis."""
    value = data(inputs)
    return [value.with_dims((*value.ranked, node.length("cats_int64s", "cats_strings") or None), value.axis)]


def extracted(node: Node, inputs: Inputs) -> list[Value]:
    """ArrayFeatureExtractor: columns at constant positions, or entries of a constant at each row's position."""
    value, places = data(inputs), data(inputs, 1)
    if places.axis is None:
        if len(value.ranked) < 2:
            along(value, -1)
        along(value, -1)
        return [value.with_dims((*value.ranked[:-1], product(places.ranked)), value.axis)]
    fixed(value)
    others = [length for at, length in enumerate(places.ranked) if at != places.axis]
    if set(others) - {1} or product(value.ranked[:-1]) != 1:
        raise Unproven("it picks from rows by rows")
    return [places.with_dims((1, places.factor), 1)]


def vectorized(node: Node, inputs: Inputs) -> list[Value]:
    """TfIdfVectorizer: a row of weights."""
    value = table(data(inputs))
    return [value.with_dims((value.ranked[0], None), value.axis)]
