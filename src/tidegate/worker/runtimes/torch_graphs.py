"""What the graph of a PyTorch model says against scoring requests together: state, chance, and work across rows.

TorchScript and ``torch.export`` programs are sequences of operators with schemas. Two things are followed through
them: what comes from the request, and what lies in the model's own memory (parameters and buffers). This is no proof
that rows are independent; it finds what trials may miss, such as ``(rows == 42).any()``. Trials (``row_probes``) and
the sampling of real batches (``worker.rescoring``) come beside it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch

_UNKNOWN = object()
"""In place of a constant: it is computed."""


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_RANDOM = _words(
    "rand rand_like randn randn_like randint randint_like randperm bernoulli bernoulli_ normal normal_ uniform_",
    "multinomial poisson binomial exponential_ geometric_ cauchy_ log_normal_ random_ rrelu_with_noise",
)
_DROPPING = _words(
    "dropout dropout_ feature_dropout feature_dropout_ alpha_dropout alpha_dropout_ feature_alpha_dropout",
    "feature_alpha_dropout_ native_dropout rrelu rrelu_",
)
_ACROSS = _words(
    "max min sum nansum mean nanmean std var std_mean var_mean prod any all norm linalg_vector_norm linalg_norm",
    "median nanmedian mode kthvalue quantile nanquantile amax amin aminmax argmax argmin logsumexp count_nonzero",
    "softmax log_softmax _softmax _log_softmax softmin cumsum cumprod cummax cummin logcumsumexp cumsum_ cumprod_",
    "sort argsort msort topk flip roll diff renorm",
)
"""Operators that work along an axis, or over all of them."""
_BY_VALUE = _words(
    "Bool item is_nonzero tolist IntImplicit FloatImplicit ScalarImplicit _local_scalar_dense equal allclose",
    "nonzero masked_select bincount histc unique_dim _unique _unique2 unique_consecutive corrcoef cov trace",
)
"""Operators whose results depend on the values of all rows."""
_ABOUT = _words("size dim ndimension numel len shape sym_size sym_numel dtype device layout prim_dtype")
"""Operators whose results do not depend on the values of their operands. What a model makes of the number of rows is
seen in trials, which are of many sizes."""
_NUMBER_OF = _words("Int Float Complex")
"""Like those by value, where their operand is a tensor."""


@dataclass(frozen=True)
class Finding:
    """Why requests are scored alone. ``stateful``: what a model remembers was changed by trying it."""

    reason: str
    stateful: bool


@dataclass
class _Operand:
    """An argument of an operator: the names of the values that it is made of, or a constant."""

    name: str
    values: tuple[str, ...] = ()
    constant: Any = _UNKNOWN
    written: bool = False
    tensor: bool = True


@dataclass
class _Step:
    operator: str
    operands: list[_Operand] = field(default_factory=list)
    results: tuple[str, ...] = ()
    shares: bool = False
    """The results lie in the memory of the operands."""
    kept: bool = False
    """The results are the model's own memory."""
    batch_lost: bool = False
    """The rows have no axis in the results, though they have one in an operand."""

    def constant(self, *names: str) -> Any:
        return next((one.constant for one in self.operands if one.name in names), None)


def of_script(model: Any) -> Finding | None:
    """Of a TorchScript module in evaluation mode; None where nothing speaks against batches."""
    return _unless_unreadable(_of_script, model)


def of_program(program: Any) -> Finding | None:
    """Of a ``torch.export.ExportedProgram``."""
    return _unless_unreadable(_of_program, program)


def _unless_unreadable(find: Callable[[Any], Finding | None], model: Any) -> Finding | None:
    try:
        return find(model)
    except Exception as error:  # PyTorch's own representation, which may change
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding(f"its graph cannot be followed ({said[:200]})", True)


def _of_script(model: Any) -> Finding | None:
    graph = model.inlined_graph
    return _find(_of_block(graph, {}), [value.debugName() for value in list(graph.inputs())[1:]])


def _of_program(program: Any) -> Finding | None:
    signature = program.graph_signature
    for name in signature.buffers_to_mutate.values():
        return Finding(f"it changes its buffer {name}", True)
    return _find(_of_nodes(program.graph.nodes, set(signature.user_inputs)), signature.user_inputs)


def _find(steps: Iterable[_Step], inputs: Iterable[str]) -> Finding | None:
    from_request, own = set(inputs), set[str]()
    for step in steps:
        values = {name for operand in step.operands for name in operand.values}
        if reason := _state(step, own):
            return Finding(reason, True)
        asked = bool(from_request & values)
        if reason := _chance(step) or (_across_rows(step, from_request) if asked else ""):
            return Finding(reason, False)
        if asked and step.operator not in _ABOUT:
            from_request.update(step.results)
        if step.kept or (step.shares and own & values):
            own.update(step.results)
    return None


def _state(step: _Step, own: set[str]) -> str:
    if step.operator == "SetAttr":
        return "it keeps state between requests"
    if any(operand.written and own & set(operand.values) for operand in step.operands):
        return f"it changes its own parameters or buffers ({step.operator})"
    return ""


def _chance(step: _Step) -> str:
    if step.operator in _RANDOM or (
        step.operator in _DROPPING and step.constant("train", "training") is not False
    ):
        return f"it draws numbers at random ({step.operator})"
    if step.operator in ("batch_norm", "native_batch_norm") and step.constant("training") is not False:
        return "it takes mean and variance from the batch"
    return ""


def _across_rows(step: _Step, from_request: set[str]) -> str:
    first = step.operands[0] if step.operands else _Operand("")
    of_tensor = first.tensor and from_request & set(first.values)
    if step.operator in _BY_VALUE or (step.operator in _NUMBER_OF and of_tensor):
        return f"what it does depends on the values of all rows ({step.operator})"
    if step.operator in ("fork", "PythonOp"):
        return f"its graph cannot be followed ({step.operator})"
    if step.batch_lost:
        return f"it combines rows ({step.operator})"
    if step.operator in _ACROSS and of_tensor and _over_rows(step):
        return f"it works over all rows ({step.operator})"
    return ""


def _over_rows(step: _Step) -> bool:
    """Whether it may work along the first axis. Two tensors of one name (``max``) are compared by element."""
    if any(operand.name == "other" for operand in step.operands):
        return False
    along = step.constant("dim", "dims", "axis")
    if step.operator in ("softmax", "log_softmax") and along is _UNKNOWN:
        return True
    axes = along if isinstance(along, list | tuple) else [along]
    return not axes or any(axis is None or axis is _UNKNOWN or axis == 0 for axis in axes)


# --- TorchScript ---


def _of_block(block: Any, constants: dict[str, Any]) -> Iterator[_Step]:
    """The operators of a block and of those within it, in their order."""
    for node in block.nodes():
        kind = node.kind().partition("::")[2]
        results = tuple(value.debugName() for value in node.outputs())
        if kind == "Constant":
            constants[results[0]] = node.output().toIValue()
            continue
        if kind == "ListConstruct":
            names = [value.debugName() for value in node.inputs()]
            constants[results[0]] = [constants.get(name, _UNKNOWN) for name in names]
        if kind == "GetAttr":
            if node.s("name") == "training" and str(node.output().type()) == "bool":
                constants[results[0]] = False  # it was set by eval()
            yield _Step(kind, results=results, kept=True)
            continue
        yield from _entered(node, kind, constants)
        yield _of_node(node, kind, results, constants)


def _entered(node: Any, kind: str, constants: dict[str, Any]) -> Iterator[_Step]:
    """The blocks within a node: their inputs are made of the node's, its results of theirs."""
    given = [_operand("", value, constants) for value in node.inputs()]
    taken = given[0].constant if kind == "If" else _UNKNOWN
    for place, block in enumerate(node.blocks()):
        if isinstance(taken, bool) and place != (0 if taken else 1):
            continue  # the branch for training, say
        yield _Step("block", given, tuple(value.debugName() for value in block.inputs()), shares=True)
        yield from _of_block(block, constants)
        returned = [_operand("", value, constants) for value in block.outputs()]
        yield _Step("block", returned, tuple(value.debugName() for value in node.outputs()), shares=True)


def _of_node(node: Any, kind: str, results: tuple[str, ...], constants: dict[str, Any]) -> _Step:
    schema = _schema(node)
    arguments = schema.arguments if schema is not None else []
    operands = []
    for place, value in enumerate(node.inputs()):
        argument = arguments[place] if place < len(arguments) else None
        operand = _operand(argument.name if argument is not None else "", value, constants)
        operand.written = argument is not None and _is_written(argument)
        operands.append(operand)
    return _Step(kind, operands, results, shares=schema is None or _shares(schema))


def _schema(node: Any) -> Any:
    text = node.schema()
    return None if text.startswith("(no") else _parsed(text)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:
    return torch._C.parse_schema(text)


def _operand(name: str, value: Any, constants: dict[str, Any]) -> _Operand:
    shown = value.debugName()
    kind = str(value.type())
    return _Operand(name, (shown,), constants.get(shown, _UNKNOWN), tensor="Tensor" in kind or "(" in kind)


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and bool(argument.alias_info.is_write)


def _shares(schema: Any) -> bool:
    return any(result.alias_info is not None for result in schema.returns)


# --- torch.export ---


def _of_nodes(nodes: Iterable[Any], inputs: set[str]) -> Iterator[_Step]:
    for node in nodes:
        if node.op in ("placeholder", "get_attr"):
            if node.name not in inputs:
                yield _Step(node.op, results=(node.name,), kept=True)
            continue
        if node.op != "call_function":
            continue
        schema = getattr(node.target, "_schema", None)
        name = schema.name.partition("::")[2] if schema is not None else getattr(node.target, "__name__", "")
        arguments = schema.arguments if schema is not None else []
        operands = [_of_argument(argument, node.args, node.kwargs, at) for at, argument in enumerate(arguments)]
        if schema is None:
            operands = [_Operand("", _names(value)) for value in (*node.args, *node.kwargs.values())]
        shares = schema is None or _shares(schema)
        yield _Step(name, operands, (node.name,), shares, batch_lost=_loses_batch(node))


def _of_argument(argument: Any, args: Any, kwargs: Any, place: int) -> _Operand:
    value = args[place] if place < len(args) else kwargs.get(argument.name, argument.default_value)
    names = _names(value)
    constant = _UNKNOWN if names else value
    return _Operand(argument.name, names, constant, _is_written(argument), "Tensor" in str(argument.type))


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, torch.fx.Node):
        return (value.name,)
    if isinstance(value, list | tuple):
        return tuple(name for one in value for name in _names(one))
    return ()


def _loses_batch(node: Any) -> bool:
    """Whether rows, an axis of any length in a tensor that comes in, have none in the tensors that go out."""
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
