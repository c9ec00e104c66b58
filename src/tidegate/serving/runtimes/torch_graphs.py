"""Searches the graph of a PyTorch model for reasons to score requests alone: state, randomness, work across rows.

TorchScript and ``torch.export`` programs are sequences of operators with schemas. The search traces values that
come from the request, and values in the model's own memory (parameters and buffers). It does not prove that rows
are independent, but finds what probes may miss, such as ``(rows == 42).any()``. It complements the probes
(``row_probes``) and the sampling of real batches (``scoring.rescoring``).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from typing import Any

import torch

# --- the operators of a PyTorch model's graph in order, for TorchScript and ``torch.export`` programs ---


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
"""Operators whose results do not depend on the values of their operands. The probes have many sizes, and so show
how a model uses the number of rows."""
_LENGTHS = _words("size len numel shape sym_size sym_numel")
_COMPARING = _words("eq ne lt gt le ge")
_JOINING = _words("__not__ __and__ __or__ block Bool")
"""Operators that combine decisions."""
_PASSING = _words("NumToTensor block ListConstruct TupleConstruct ListUnpack TupleUnpack")
"""Operators that return their operands."""
_HARMLESS = _JOINING | _words("RaiseException format Print")
_NUMERIC = ("number", "Scalar", "float", "complex")
"""Types of numeric arguments; integers are shapes."""
_NUMBER_OF = _words("Int Float Complex")
"""Operators that depend on values if their operand is a tensor."""


@dataclass(frozen=True)
class BatchingObstacle:
    """Why requests are scored alone. ``stateful``: the probes have changed the model's state."""

    reason: str
    stateful: bool


class _GraphValues:
    """Properties of a graph's values so far, by their names."""

    def __init__(self, inputs: Iterable[str]) -> None:
        self.from_request = set(inputs)
        """Computed from the request."""
        self.own: set[str] = set()
        """In the model's own memory."""
        self.counts: set[str] = set()
        """Computed from the number of rows, and no tensors."""
        self.decisions: set[str] = set()
        """Comparisons of such numbers."""
        self._memory: dict[str, set[str]] = {}
        """Name -> all names that share its memory."""

    def follow(self, step: OperatorStep) -> None:
        if step.shares:
            self._share({*step.values, *step.results})
        if self.from_request & step.values and step.operator not in _ABOUT:
            self.from_request.update(step.results)
            for operand in step.operands:
                for name in operand.values if operand.written else ():
                    self.from_request |= self._memory.get(name, {name})
        if step.kept or (step.shares and self.own & step.values):
            self.own.update(step.results)
        self._count(step)

    def _share(self, names: set[str]) -> None:
        joined = set(names).union(*(self._memory.get(name, set()) for name in names))
        for name in joined:
            self._memory[name] = joined

    def _count(self, step: OperatorStep) -> None:
        if step.operator in _LENGTHS:
            along_rows = step.constant("dim") in (None, UNKNOWN, 0)
            if along_rows and step.operands[0].tensor and self.from_request & step.values:
                self.counts.update(step.results)
        elif step.operator in _COMPARING and self.counts & step.values and not step.tensors:
            self.decisions.update(step.results)
        elif self.computes_with_count(step) or (self.counts & step.values and not step.tensors):
            picked = step.operands[-1].constant if step.operator in ("__getitem__", "getitem") else 0
            if not isinstance(picked, int) or picked == 0:
                self.counts.update(step.results[:1] if step.operator.endswith("Unpack") else step.results)
        if step.operator in _JOINING and self.decisions & step.values:
            self.decisions.update(step.results)

    def computes_with_count(self, step: OperatorStep) -> bool:
        """Whether a step uses the number of rows for more than a shape."""
        numeric = (one for one in step.operands if one.tensor or one.kind in _NUMERIC or step.operator in _PASSING)
        return any(self.counts & set(operand.values) for operand in numeric)


def of_script(model: Any) -> BatchingObstacle | None:
    """Search a TorchScript module in evaluation mode. None if nothing was found."""
    return _try_find(_of_script, model)


def of_program(program: Any) -> BatchingObstacle | None:
    """Search a ``torch.export.ExportedProgram``."""
    return _try_find(_of_program, program)


def find_state_of_script(model: Any) -> str:
    """How a TorchScript module in evaluation mode changes itself when it predicts; empty if it does not. What it does
    in training alone does not count."""
    graph = model.inlined_graph
    return _find_state(of_block(graph, {}), [value.debugName() for value in list(graph.inputs())[1:]])


def find_state_of_program(program: Any) -> str:
    """How a ``torch.export.ExportedProgram`` changes itself when it predicts; empty if it does not."""
    for name in program.graph_signature.buffers_to_mutate.values():
        return f"it changes its buffer {name}"
    wanted = program.graph_signature.user_inputs
    return _find_state(of_nodes(program.graph.nodes, set(wanted)), wanted)


def _find_state(steps: Iterable[OperatorStep], inputs: Iterable[str]) -> str:
    seen = _GraphValues(inputs)
    for step in steps:
        if _trains(step):
            return f"it is in training mode ({step.operator})"
        if reason := _state(step, seen):
            return reason
        seen.follow(step)
    return ""


def _trains(step: OperatorStep) -> bool:
    """Whether a step drops values, or changes the running mean of a norm. A norm without one takes the mean of the
    request's own rows in any mode."""
    if step.operator in _DROPPING:
        return step.constant("train", "training") is True
    norm = step.operator in ("batch_norm", "native_batch_norm", "instance_norm")
    return (
        norm and step.constant("training", "use_input_stats") is True and step.constant("running_mean") is not None
    )


def _try_find(find: Callable[[Any], BatchingObstacle | None], model: Any) -> BatchingObstacle | None:
    try:
        return find(model)
    except Exception as error:  # PyTorch's own representation, which may change
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return BatchingObstacle(f"its graph cannot be followed ({said[:200]})", True)


def _of_script(model: Any) -> BatchingObstacle | None:
    graph = model.inlined_graph
    return _find(of_block(graph, {}), [value.debugName() for value in list(graph.inputs())[1:]])


def _of_program(program: Any) -> BatchingObstacle | None:
    signature = program.graph_signature
    for name in signature.buffers_to_mutate.values():
        return BatchingObstacle(f"it changes its buffer {name}", True)
    return _find(of_nodes(program.graph.nodes, set(signature.user_inputs)), signature.user_inputs)


def _find(steps: Iterable[OperatorStep], inputs: Iterable[str]) -> BatchingObstacle | None:
    seen = _GraphValues(inputs)
    for step in steps:
        if reason := _state(step, seen):
            return BatchingObstacle(reason, True)
        if reason := _chance(step) or _explain_across_rows(step, seen) or _explain_by_number(step, seen):
            return BatchingObstacle(reason, False)
        seen.follow(step)
    return None


def _state(step: OperatorStep, seen: _GraphValues) -> str:
    if step.operator == "SetAttr":
        return "it keeps state between requests"
    if any(operand.written and seen.own & set(operand.values) for operand in step.operands):
        return f"it changes its own parameters or buffers ({step.operator})"
    return ""


def _chance(step: OperatorStep) -> str:
    dropping = step.operator in _DROPPING and step.constant("train", "training") is not False
    if step.operator in _RANDOM or dropping:
        return f"it draws numbers at random ({step.operator})"
    if step.operator in ("batch_norm", "native_batch_norm") and step.constant("training") is not False:
        return "it takes mean and variance from the batch"
    return ""


def _explain_across_rows(step: OperatorStep, seen: _GraphValues) -> str:
    if not seen.from_request & step.values:
        return ""
    first = step.operands[0]
    of_tensor = first.tensor and seen.from_request & set(first.values)
    if step.operator in _BY_VALUE or (step.operator in _NUMBER_OF and of_tensor):
        return f"what it does depends on the values of all rows ({step.operator})"
    if step.operator == FOREIGN:
        return "its graph cannot be followed"
    if step.batch_lost:
        return f"it combines rows ({step.operator})"
    if step.operator in _ACROSS and of_tensor and _over_rows(step):
        return f"it works over all rows ({step.operator})"
    return ""


def _over_rows(step: OperatorStep) -> bool:
    """Whether a step may work along the first axis. Two tensors (as in ``max``) are compared by element."""
    if any(operand.name == "other" for operand in step.operands):
        return False
    along = step.constant("dim", "dims", "axis")
    axes = along if isinstance(along, list | tuple) else [along]
    return not axes or any(axis is None or axis is UNKNOWN or axis == 0 for axis in axes)


def _explain_by_number(step: OperatorStep, seen: _GraphValues) -> str:
    """Whether the number of rows decides over more than shapes and errors."""
    decided = seen.decisions & step.values
    if decided and step.operator == "If":
        return "" if step.refuses else "what it does depends on the number of rows"
    looped = step.operator == "Loop" and step.operands and seen.counts & set(step.operands[0].values)
    used = step.tensors and seen.from_request & step.values and seen.computes_with_count(step)
    if looped or (used and step.operator not in _PASSING) or (decided and step.operator not in _HARMLESS):
        return f"it computes with the number of rows ({step.operator})"
    return ""
