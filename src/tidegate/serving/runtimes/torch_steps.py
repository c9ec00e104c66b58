"""The operators of a PyTorch model's graph in order, for TorchScript and ``torch.export`` programs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from typing import Any

import torch

UNKNOWN = object()
"""Instead of a constant: a computed value."""
FOREIGN = "code of another kind"
"""Instead of an operator whose code is unknown."""


@dataclass
class Operand:
    """An argument of an operator: the names of its values, or a constant. ``kind``: its type in the schema."""

    name: str
    values: tuple[str, ...] = ()
    constant: Any = UNKNOWN
    written: bool = False
    tensor: bool = True
    kind: str = ""


@dataclass
class OperatorStep:
    operator: str
    operands: list[Operand] = field(default_factory=list)
    results: tuple[str, ...] = ()
    tensors: bool = True
    """Whether the results may be tensors."""
    shares: bool = False
    """The results share memory with the operands."""
    kept: bool = False
    """The results are in the model's own memory."""
    batch_lost: bool = False
    """The results have no axis for the rows, though an operand has one."""
    refuses: bool = False
    """One branch raises an error, and the other one does not."""

    @property
    def values(self) -> set[str]:
        return {name for operand in self.operands for name in operand.values}

    def constant(self, *names: str) -> Any:
        return next((one.constant for one in self.operands if one.name in names), None)


# --- TorchScript ---


def of_block(block: Any, constants: dict[str, Any]) -> Iterator[OperatorStep]:
    """The operators of a block and of its inner blocks, in order."""
    for node in block.nodes():
        kind = node.kind().partition("::")[2]
        results = tuple(value.debugName() for value in node.outputs())
        if kind == "Constant":
            constants[results[0]] = node.output().toIValue()
            continue
        if kind == "ListConstruct":
            names = [value.debugName() for value in node.inputs()]
            constants[results[0]] = [constants.get(name, UNKNOWN) for name in names]
        if kind == "GetAttr":
            if node.s("name") == "training" and str(node.output().type()) == "bool":
                constants[results[0]] = False  # it was set by eval()
            yield OperatorStep(kind, results=results, kept=True)
            continue
        yield from _enter_blocks(node, kind, constants)
        yield _of_node(node, kind, results, constants)
        if (known := _fold_constant(kind, node, constants)) is not UNKNOWN:
            constants[results[0]] = known


def _fold_constant(kind: str, node: Any, constants: dict[str, Any]) -> Any:
    """The result of a test of optional arguments, which decides between branches, if it is known."""
    given = list(node.inputs())
    known = [constants.get(value.debugName(), UNKNOWN) for value in given]
    if kind in ("__is__", "__isnot__") and None in known:
        other = given[1 - known.index(None)]
        if known == [None, None]:
            return kind == "__is__"
        if str(other.type()) == "Tensor" or constants.get(other.debugName(), UNKNOWN) is not UNKNOWN:
            return kind == "__isnot__"
    if kind == "__not__" and isinstance(known[0], bool):
        return not known[0]
    if kind in ("unchecked_cast", "unchecked_unwrap_optional"):
        return known[0]
    return UNKNOWN


def _enter_blocks(node: Any, kind: str, constants: dict[str, Any]) -> Iterator[OperatorStep]:
    """The inner blocks of a node: their inputs are the node's, and its results are theirs. A loop's inputs begin with
    its length and condition, those of its block with the iteration, and its results with the next condition."""
    given, results = list(node.inputs()), list(node.outputs())
    taken = _operand("", given[0], constants).constant if kind == "If" else UNKNOWN
    left: list[list[Any]] = []
    for place, block in enumerate(node.blocks()):
        if isinstance(taken, bool) and place != (0 if taken else 1):
            continue  # such as the branch for training
        inputs, returned = list(block.inputs()), list(block.outputs())
        if kind == "Loop":
            yield _alias(given[0], inputs[0], constants)
            yield from map(_alias, given[2:], inputs[1:], repeat(constants))
            returned = returned[1:]
        yield from of_block(block, constants)
        if kind == "Loop":  # an iteration gets the results of the one before
            yield from map(_alias, returned, inputs[1:], repeat(constants))
            yield from of_block(block, constants)
        yield from map(_alias, returned, results, repeat(constants))
        left.append([constants.get(one.debugName(), UNKNOWN) for one in returned])
    if kind == "If":
        for target, *values in zip(results, *left, strict=True):
            if all(value is values[0] for value in values):  # whichever branch was taken
                constants[target.debugName()] = values[0]


def _alias(source: Any, target: Any, constants: dict[str, Any]) -> OperatorStep:
    """A value under another name."""
    operand = _operand("", source, constants)
    return OperatorStep("block", [operand], (target.debugName(),), _may_be_tensor(target), shares=True)


def _of_node(node: Any, kind: str, results: tuple[str, ...], constants: dict[str, Any]) -> OperatorStep:
    schema = _schema(node)
    arguments = schema.arguments if schema is not None else []
    operands = []
    for place, value in enumerate(node.inputs()):
        argument = arguments[place] if place < len(arguments) else None
        operand = _operand(argument.name if argument is not None else "", value, constants)
        operand.written = argument is not None and _is_written(argument)
        operand.kind = str(argument.type) if argument is not None else ""
        operands.append(operand)
    tensors = any(_may_be_tensor(value) for value in node.outputs())
    return OperatorStep(
        FOREIGN if kind in ("fork", "PythonOp") else kind,
        operands,
        results,
        tensors,
        shares=schema is None or _shares(schema),
        refuses=kind == "If" and any(_raises(block) for block in node.blocks()),
    )


def _raises(block: Any) -> bool:
    return any(node.kind() == "prim::RaiseException" for node in block.nodes())


def _may_be_tensor(value: Any) -> bool:
    kind = str(value.type())
    return "Tensor" in kind or "(" in kind


def _schema(node: Any) -> Any:
    text = node.schema()
    return None if text.startswith("(no") else _parse(text)


@lru_cache(maxsize=1024)
def _parse(text: str) -> Any:
    return torch._C.parse_schema(text)


def _operand(name: str, value: Any, constants: dict[str, Any]) -> Operand:
    shown = value.debugName()
    return Operand(name, (shown,), constants.get(shown, UNKNOWN), tensor=_may_be_tensor(value))


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and bool(argument.alias_info.is_write)


def _shares(schema: Any) -> bool:
    return any(result.alias_info is not None for result in schema.returns)


# --- torch.export ---


def of_nodes(nodes: Iterable[Any], inputs: set[str]) -> Iterator[OperatorStep]:
    for node in nodes:
        if node.op in ("placeholder", "get_attr"):
            if node.name not in inputs:
                yield OperatorStep(node.op, results=(node.name,), kept=True)
            continue
        if node.op != "call_function":
            continue
        schema = getattr(node.target, "_schema", None)
        name = schema.name.partition("::")[2] if schema is not None else _python(node.target)
        arguments = schema.arguments if schema is not None else []
        operands = [_of_argument(argument, node.args, node.kwargs, at) for at, argument in enumerate(arguments)]
        if schema is None:
            operands = [Operand("", _names(value)) for value in (*node.args, *node.kwargs.values())]
        shares = schema is None or _shares(schema)
        found = node.meta.get("val")
        tensors = found is None or any(True for _ in _tensors(found))
        yield OperatorStep(name, operands, (node.name,), tensors, shares, batch_lost=_loses_batch(node))


def _python(target: Any) -> str:
    """The name of a Python function on numbers and tuples."""
    return (
        str(target.__name__) if getattr(target, "__module__", "") in ("_operator", "math", "builtins") else FOREIGN
    )


def _of_argument(argument: Any, args: Any, kwargs: Any, place: int) -> Operand:
    value = args[place] if place < len(args) else kwargs.get(argument.name, argument.default_value)
    names = _names(value)
    constant = UNKNOWN if names else value
    kind = str(argument.type)
    return Operand(argument.name, names, constant, _is_written(argument), "Tensor" in kind, kind)


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, torch.fx.Node):
        return (value.name,)
    if isinstance(value, list | tuple):
        return tuple(name for one in value for name in _names(one))
    return ()


def _loses_batch(node: Any) -> bool:
    """Whether an axis of variable length, the rows, occurs in the inputs but not in the results."""
    given = [value for name in node.all_input_nodes for value in _tensors(name.meta.get("val"))]
    found = list(_tensors(node.meta.get("val")))
    return bool(found) and any(map(_is_open, given)) and not any(map(_is_open, found))


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)


def _is_open(tensor: Any) -> bool:
    return any(not isinstance(side, int) for side in tensor.shape)
