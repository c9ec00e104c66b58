"""The graph of an ONNX file: operators, names, small constants; weights are not read. Source: onnx.proto3."""

import math
import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.serving.runtimes.onnx_rows import wire
from tidegate.serving.runtimes.onnx_rows.wire import Field, Malformed

SMALL = 64
"""Elements up to which the values of a constant are read: enough for shapes, axes and scales."""
_FORMATS = {1: "f", 6: "i", 7: "q", 9: "?", 11: "d"}
"""TensorProto's data types whose small constants are read -> format of an element."""
WHOLE = (6, 7, 9)

Dims = tuple[int | None, ...]
"""None: any length."""


@dataclass(frozen=True)
class Constant:
    """A constant. ``numbers``: the elements, if they are few and numeric."""

    dims: Dims
    numbers: tuple[int | float, ...] | None


class Subgraph:
    """The body of a loop or a branch, which is not parsed."""


Attribute = int | float | bytes | tuple[int, ...] | tuple[float, ...] | tuple[bytes, ...] | Constant | Subgraph


@dataclass
class Node:
    """An operator. ``version``: that of the operator set of ``domain`` (empty for ONNX's own) in this file."""

    op: str = ""
    domain: str = ""
    name: str = ""
    version: int = 0
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def integer(self, name: str, default: int) -> int:
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise Malformed(f"attribute {name} of {self.op} is no integer")
        return value

    def integers(self, name: str) -> tuple[int, ...] | None:
        """None where it is not given."""
        value = self.attributes.get(name)
        if value is None:
            return None
        if not isinstance(value, tuple) or not all(isinstance(one, int) for one in value):
            raise Malformed(f"attribute {name} of {self.op} is no list of integers")
        return tuple(one for one in value if isinstance(one, int))

    def text(self, name: str, default: str) -> str:
        value = self.attributes.get(name, default.encode())
        if not isinstance(value, bytes):
            raise Malformed(f"attribute {name} of {self.op} is no text")
        return value.decode("utf-8", "replace")

    def length(self, *names: str) -> int:
        """Length of the first of these attributes that is a list with elements."""
        found = (self.attributes.get(name) for name in names)
        return next((len(one) for one in found if isinstance(one, tuple) and one), 0)

    @property
    def shown(self) -> str:
        prefix = f"{self.domain}." if self.domain else ""
        return f"{prefix}{self.op} ({self.name})" if self.name else f"{prefix}{self.op}"


@dataclass
class Graph:
    """``inputs``: name -> dims, None if the rank is unknown. ``functions``: operators that the file defines
    itself, as (domain, name)."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)
    inputs: dict[str, Dims | None] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    functions: set[tuple[str, str]] = field(default_factory=set)


def read(path: Path) -> Graph:
    """Raises Malformed, OSError, and ValueError for an empty file."""
    with path.open("rb") as file:
        return parse(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def parse(model: memoryview) -> Graph:
    """Raises Malformed, also for messages in several parts, which no serializer writes and readers merge."""
    graph = Graph()
    found: memoryview | None = None
    for tag, value in wire.fields(model):
        if tag == 7:
            if found is not None:
                raise Malformed("two graphs")
            found = wire.content(value)
        elif tag == 8:
            domain, version = _opset(wire.content(value))
            graph.versions[domain] = version
        elif tag == 25:
            graph.functions.add(_function(wire.content(value)))
    if found is None:
        raise Malformed("no graph")
    for tag, value in wire.fields(found):
        if tag == 1:
            graph.nodes.append(_node(wire.content(value), graph.versions))
        elif tag == 5:
            name, constant = _tensor(wire.content(value))
            graph.constants[name] = constant
        elif tag == 15:
            raise Malformed("sparse weights")
        elif tag == 11:
            name, dims = _input(wire.content(value))
            graph.inputs[name] = dims
    return graph


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _opset(message: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for tag, value in wire.fields(message):
        if tag == 1:
            domain = _domain(wire.text(value))
        elif tag == 2:
            version = wire.number(value)
    return domain, version


def _function(message: memoryview) -> tuple[str, str]:
    domain = name = ""
    for tag, value in wire.fields(message):
        if tag == 1:
            name = wire.text(value)
        elif tag == 10:
            domain = _domain(wire.text(value))
    return domain, name


def _node(message: memoryview, versions: dict[str, int]) -> Node:
    node = Node()
    attributes = []
    for tag, value in wire.fields(message):
        if tag == 1:
            node.inputs.append(wire.text(value))
        elif tag == 2:
            node.outputs.append(wire.text(value))
        elif tag == 3:
            node.name = wire.text(value)
        elif tag == 4:
            node.op = wire.text(value)
        elif tag == 5:
            attributes.append(wire.content(value))
        elif tag == 7:
            node.domain = _domain(wire.text(value))
    node.version = versions.get(node.domain, 0)
    for one in attributes:
        name = _name(one)
        if node.domain == CLASSICAL and name not in _SAID_BY_CLASSICAL:
            continue  # such as the nodes of a forest, which would take longer than everything else
        if name in node.attributes:
            raise Malformed(f"attribute {name} of {node.op} is given twice")
        node.attributes[name] = _attribute(name, one)
    return node


CLASSICAL = "ai.onnx.ml"
_SAID_BY_CLASSICAL = frozenset(
    {"targets", "n_targets", "classlabels_int64s", "classlabels_ints", "classlabels_strings"}
    | {"cats_int64s", "cats_strings"}
)
"""Attributes of ``ai.onnx.ml`` operators that define the shape of a result. None of them has a graph."""


def _name(attribute: memoryview) -> str:
    return next((wire.text(value) for tag, value in wire.fields(attribute) if tag == 1), "")


def _attribute(name: str, message: memoryview) -> Attribute:
    kind = 0
    single: dict[int, Field] = {}
    lists: dict[int, list[Field]] = {7: [], 8: [], 9: []}
    for tag, value in wire.fields(message):
        if tag == 20:
            kind = wire.number(value)
        elif tag in lists:
            lists[tag].append(value)
        elif tag in single:
            raise Malformed(f"attribute {name} has two values")
        else:
            single[tag] = value
    return _parse_value(name, kind, single, lists)


def _parse_value(name: str, kind: int, single: dict[int, Field], lists: dict[int, list[Field]]) -> Attribute:
    """The value of the attribute's declared type. Source: AttributeProto.AttributeType."""
    if kind == 1 and 2 in single:
        return wire.floats(single[2])[0]
    if kind == 2:
        return wire.number(single.get(3, 0))
    if kind == 3:
        return bytes(wire.content(single[4])) if 4 in single else b""
    if kind == 4 and 5 in single:
        return _tensor(wire.content(single[5]))[1]
    if kind in (5, 10):
        return Subgraph()
    if kind == 6:
        return tuple(one for value in lists[7] for one in wire.floats(value))
    if kind == 7:
        return tuple(one for value in lists[8] for one in wire.integers(value))
    if kind == 8:
        return tuple(bytes(wire.content(value)) for value in lists[9])
    raise Malformed(f"attribute {name} of type {kind}")


def _tensor(message: memoryview) -> tuple[str, Constant]:
    name, kind, raw = "", 0, None
    dims: list[int] = []
    typed: list[int | float] = []
    for tag, value in wire.fields(message):
        if tag == 1:
            dims += wire.integers(value)
        elif tag == 2:
            kind = wire.number(value)
        elif tag == 8:
            name = wire.text(value)
        elif tag == 9:
            raw = wire.content(value)
        elif tag in (4, 5, 7, 10) and math.prod(dims) <= SMALL:
            typed += _decode_numbers(tag, value)
    return name, Constant(tuple(dims), _numbers(kind, math.prod(dims), raw, typed))


def _decode_numbers(tag: int, value: Field) -> list[int] | list[float]:
    if tag == 4:
        return wire.floats(value)
    if tag == 10:
        data = wire.content(value)
        return list(struct.unpack(f"<{len(data) // 8}d", data[: len(data) // 8 * 8]))
    return wire.integers(value)


def _numbers(
    kind: int, count: int, raw: memoryview | None, typed: list[int | float]
) -> tuple[int | float, ...] | None:
    if kind not in _FORMATS or count > SMALL:
        return None
    found = list(typed)
    if raw is not None:
        form = f"<{count}{_FORMATS[kind]}"
        if len(raw) != struct.calcsize(form):
            return None
        found = list(struct.unpack(form, raw))
    if len(found) != count:
        return None
    return tuple(int(one) if kind in WHOLE else one for one in found)


def _input(message: memoryview) -> tuple[str, Dims | None]:
    name, dims, typed = "", None, False
    for tag, value in wire.fields(message):
        if tag == 1:
            name = wire.text(value)
        elif tag == 2:
            if typed:
                raise Malformed(f"input {name} has two types")
            typed, dims = True, _dims(wire.content(value))
    return name, dims


def _dims(message: memoryview) -> Dims | None:
    """Dims of a tensor's TypeProto; None for other types and for a tensor of any rank."""
    tensor = [value for tag, value in wire.fields(message) if tag == 1]
    if len(tensor) != 1:
        return None
    shape = [value for tag, value in wire.fields(wire.content(tensor[0])) if tag == 2]
    if len(shape) != 1:
        return None
    dims: list[int | None] = []
    for tag, value in wire.fields(wire.content(shape[0])):
        if tag == 1:
            lengths = [one for number, one in wire.fields(wire.content(value)) if number == 1]
            dims.append(wire.number(lengths[-1]) if lengths else None)
    return tuple(dims)
