"""PyTorch models, run in this process: TorchScript, and programs of ``torch.export``.

The model is the one ``.pt``, ``.pth`` or ``.ts`` file (TorchScript, ``torch.jit.save``) or ``.pt2`` file
(``torch.export.save``) of the model data. PyTorch's reader of ``.pt2`` falls back to unpickling, so such a file needs
trust in pickles. A state dict or a pickled module is rejected: it needs its class, and reading it runs code.

If the model takes a table of a known width and returns one tensor with a row for each of its rows, requests are
scored together, unless its graph (``torch_graphs``) or a probe (``row_probes``) shows that rows influence each
other. Other models answer requests one by one.
"""

import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tidegate.domain.errors import ArtifactError
from tidegate.serving.artifacts import zip_limits
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.contract.trust import PICKLE, TRUST, trusts

try:
    import numpy as np
    import torch

    from tidegate.serving.formats import rounding, row_decoder, tensors
    from tidegate.serving.runtimes import row_probes, torch_graphs
    from tidegate.serving.runtimes.devices.examples import examples_of
    from tidegate.serving.runtimes.error_messages import cause, head
    from tidegate.serving.runtimes.tabular_scorer import TabularScorer, default_accept, only, threads
    from tidegate.serving.scoring.batching import cap
except ImportError as missing:
    raise ArtifactError(
        f"PyTorch models need packages that are not installed ({missing.name}): pip install 'tidegate[pytorch]'"
    ) from None

if TYPE_CHECKING:
    from tidegate.serving.runtimes.devices.placement import Placement

_EXPORTED = ".pt2"
_SCRIPTS = (".pt", ".pth", ".ts")
_REACHING = re.compile(rb"\b(?:from_file|save|load_tensor)\b")
"""Names of TorchScript's operators that take a file name."""
_MOST_CODE = 64 << 20
_WIDEST = 1 << 16
"""Most columns when the width is searched for."""

_TRIAL = 0.25
"""Seconds of probes after which only the essential ones are run."""

Forward = Callable[..., Any]


class _Model(NamedTuple):
    forward: Forward
    inputs: list[tensors.TensorInput]
    find: Callable[[], torch_graphs.BatchingObstacle | None]
    """Searches the graph for reasons to score requests alone."""
    find_state: Callable[[], str]
    """Searches the graph for what a request leaves behind in the model."""


def load(
    model_dir: Path, environment: Mapping[str, str], placement: "Placement | None" = None
) -> TabularScorer | tensors.Tensors:
    """Raises ArtifactError for model data without exactly one usable model, with a ``.pt2`` without trust, or with a
    model that is another one on the device."""
    trusted = trusts(environment, PICKLE)
    path = only(model_dir, "PyTorch model", (*_SCRIPTS, _EXPORTED))
    torch.set_num_threads(threads(environment))
    accept, most = default_accept(environment), cap(environment)
    read = partial(_load_program if path.suffix == _EXPORTED else _load_script, path, trusted)
    model = read()
    if not model.inputs:
        raise ArtifactError(f"{path.name} takes no tensor")
    if state := _find_state(model):
        raise ArtifactError(f"{path.name}: {state}, so an answer may depend on the requests before; {_ADVICE}")
    width = _width(model.forward, model.inputs)
    shape = _answer_of_zeros(model.forward, width) if width is not None else None
    finding = model.find() if width is not None else None
    if finding is not None and finding.stateful:
        model = read()  # the search for the width may have changed its state
    forward = model.forward
    if width is None or shape is None or len(shape) > 2:
        _check_examples(path, _run(model.forward), model_examples := examples_of(model_dir, model.inputs))
        if placement is not None:
            forward = placement.library.forward(read, placement.guard)
            dtype = placement.library.computes_with(model.forward)
            placement.compare_examples(_run(model.forward), _run(forward), model_examples, dtype)
        return tensors.Tensors(_run(forward), model.inputs, accept)
    why, pool = _reason(model.inputs[0], finding), row_probes.matrix_pool(width)
    as_table = _one_by_one if _fixed_rows(model.inputs[0]) == 1 else _table
    if change := row_probes.find_change(as_table(model.forward), pool):
        raise ArtifactError(f"{path.name}: {change}; {_ADVICE}")
    if finding is not None and finding.stateful:
        forward = read().forward
    if placement is not None:
        forward = placement.library.forward(read, placement.guard)
        dtype = placement.library.computes_with(model.forward)
        placement.compare_rows(as_table(model.forward), as_table(forward), pool, dtype)
        most = placement.find_rows(environment) if not why else 1
        if finding is not None and finding.stateful:
            forward = placement.library.forward(read, placement.guard)
    table = TabularScorer(as_table(forward), row_decoder.Features(width), accept, batches=False)
    _decide_batching(table, why, pool, most)
    return table


_ADVICE = (
    "save it in inference mode, by model.eval() before torch.jit.script, torch.jit.trace or torch.export, or, if that"
    " is what it is meant to do, serve it by a script (tidegate/script)"
)


def _find_state(model: _Model) -> str:
    """Empty also where the graph cannot be followed: the probes ask then."""
    try:
        return model.find_state()
    except Exception:  # PyTorch's own representation, which may change
        return ""


def _check_examples(path: Path, run: Callable[..., Any], examples: Sequence[tuple[Any, ...]]) -> None:
    """Raises ArtifactError if the model answers its examples differently the second time, after the others."""
    answers = [_answer_example(run, example) for example in (*examples, *examples)]
    for before, after in zip(answers[: len(examples)], answers[len(examples) :], strict=True):
        if before is not None and (after is None or not _same_answer(before, after)):
            raise ArtifactError(f"{path.name}: it answers the same request differently each time; {_ADVICE}")


def _answer_example(run: Callable[..., Any], example: tuple[Any, ...]) -> Any:
    """None: the model refuses it."""
    try:
        return run(*example)
    except ModelFailed:
        return None


def _same_answer(before: Any, after: Any) -> bool:
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same_answer(before[name], after[name]) for name in before)
    if isinstance(before, tuple):
        return len(before) == len(after) and all(map(_same_answer, before, after))
    if before.shape != after.shape or before.dtype.kind != "f":
        return bool(np.array_equal(before, after))
    return bool(np.allclose(before, after, rtol=rounding.RELATIVE, atol=rounding.RELATIVE, equal_nan=True))


def _reason(entry: tensors.TensorInput, finding: torch_graphs.BatchingObstacle | None) -> str:
    """Why requests cannot be scored together, as far as the graph shows; empty if it shows nothing."""
    if (rows := _fixed_rows(entry)) is not None:
        return f"the model takes {rows} row(s) at a time"
    return finding.reason if finding is not None else ""


def _fixed_rows(entry: tensors.TensorInput) -> int | None:
    """The only number of rows that the model takes; None: any."""
    return entry.shape[0] if entry.shape else None


def _decide_batching(table: TabularScorer, why: str, pool: row_probes.Pool, most: int) -> None:
    try:
        if not why:
            table.allow_batches(
                row_probes.judge(table.run, row_probes.ProbeBudget(pool, max(most, 2), _TRIAL)).scale
            )
    except row_probes.Dependent as dependent:
        why = str(dependent)
    if why:
        print(f"each request is scored alone: {why}", flush=True)


# --- reading ---


def _load_script(path: Path, trusted: bool, device: str = "cpu") -> _Model:
    _check_script(path, trusted)
    try:
        model = torch.jit.load(str(path), map_location=device).eval()
        arguments = list(model.forward.schema.arguments)[1:]
    except Exception as error:  # PyTorch's errors have no class of their own
        raise ArtifactError(
            f"{path.name} is not a whole TorchScript model: {_describe_broken(error, path)}"
        ) from None
    widths = list(dict.fromkeys(int(one.shape[1]) for one in model.parameters() if one.ndim == 2))
    inputs = []
    for argument in arguments:
        if str(argument.type) == "Tensor":
            inputs.append(tensors.TensorInput(argument.name, widths=tuple(widths)))
        elif not argument.has_default_value():
            raise ArtifactError(f"{path.name}: its input {argument.name} is a {argument.type}; expected tensors")
    return _Model(
        model, inputs, partial(torch_graphs.of_script, model), partial(torch_graphs.find_state_of_script, model)
    )


def _check_script(path: Path, trusted: bool) -> None:
    """Check the archive before PyTorch reads it: a pickle is rejected before it can run code, and so, without trust,
    is a program with an operator that reads or writes files."""
    advice = (
        "save the model with torch.jit.script(model).save(...), or torch.jit.trace(model, example).save(...),"
        " which need no class to be loaded"
    )
    with path.open("rb") as content:
        if content.read(1) == b"\x80":
            raise ArtifactError(f"{path.name} is a pickle of PyTorch's old format; {advice}")
    zip_limits.check(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
            used = set() if trusted else _find_file_operators(archive)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"{path.name} is not a whole TorchScript model: {cause(error, path)}") from None
    if used:
        raise ArtifactError(
            f"{path.name} uses {', '.join(sorted(used))}, by which it can read or write files; leave it out, or, if"
            f" you trust who made it, set {TRUST}=pickle for the server and in the model's environment"
        )
    if "constants.pkl" in names:
        return
    if "archive_format" in names or "models/model.json" in names:
        raise ArtifactError(f"{path.name} is a program of torch.export; call the file .pt2")
    if "data.pkl" in names:
        raise ArtifactError(f"{path.name} is a state dict or a pickled module, not TorchScript; {advice}")
    raise ArtifactError(f"{path.name} is not a TorchScript model; {advice}")


def _find_file_operators(archive: zipfile.ZipFile) -> set[str]:
    """The operators in a TorchScript archive's code that access files. PyTorch ignores case in entry names, and of
    two equal names may read another one than Python, so those are an error. Raises ValueError."""
    entries = archive.infolist()
    names = [entry.filename.lower() for entry in entries]
    if len(set(names)) < len(names):
        raise ValueError("it holds two files of one name")
    code = [entry for entry in entries if entry.filename.lower().endswith(".py")]
    if sum(entry.file_size for entry in code) > _MOST_CODE:
        raise ValueError(f"it holds more than {_MOST_CODE} bytes of code")
    return {word.decode() for entry in code for word in _REACHING.findall(archive.read(entry))}


def _load_program(path: Path, trusted: bool, device: str = "cpu") -> _Model:
    if not trusted:
        raise ArtifactError(
            f"{path.name} is read by torch.export.load, which may unpickle; save the model as TorchScript, or, if you"
            f" trust who made it, set {TRUST}=pickle for the server and in the model's environment"
        )
    try:
        program = torch.export.load(str(path))
        if device != "cpu":
            from torch.export.passes import move_to_device_pass  # noqa: PLC0415  # half a second

            program = move_to_device_pass(program, device)
        wanted = list(program.graph_signature.user_inputs)
        found = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
        inputs = [_declared_input(name, found[name]) for name in wanted]
        find_state = partial(torch_graphs.find_state_of_program, program)
        return _Model(program.module(), inputs, partial(torch_graphs.of_program, program), find_state)
    except ArtifactError as error:
        raise ArtifactError(f"{path.name}: {error.message}") from None
    except Exception as error:  # a broken file may raise anything
        raise ArtifactError(
            f"{path.name} is not a whole program of torch.export: {_describe_broken(error, path)}"
        ) from None


def _declared_input(name: str, value: Any) -> tensors.TensorInput:
    if not isinstance(value, torch.Tensor):
        raise ArtifactError(f"its input {name} is a {type(value).__name__}; expected tensors")
    shape = tuple(int(side) if isinstance(side, int) else None for side in value.shape)
    return tensors.TensorInput(name, str(value.dtype).removeprefix("torch."), shape)


# --- running ---


def _run(forward: Forward) -> Callable[..., Any]:
    """The model as a function from arrays to arrays, or tuples and dicts of them."""

    def run(*arrays: Any) -> Any:
        try:
            with torch.inference_mode():
                return _arrays(forward(*map(_tensor, arrays)))
        except (MemoryError, SystemError, ModelFailed):
            raise
        except Exception as error:  # a TorchScript model may raise anything
            message = _message(error)
            raise ModelFailed(
                500 if "allocate memory" in message else 400, f"The model refuses this: {message}"
            ) from None

    return run


def _tensor(array: Any) -> torch.Tensor:
    """A tensor that the model may modify."""
    return torch.from_numpy(array.copy())


def _arrays(found: Any) -> Any:
    if isinstance(found, torch.Tensor):
        return (
            found.detach().cpu().float().numpy() if found.dtype == torch.bfloat16 else found.detach().cpu().numpy()
        )
    if isinstance(found, dict):
        return {str(name): _arrays(one) for name, one in found.items()}
    if isinstance(found, tuple | list):
        return tuple(_arrays(one) for one in found)
    return np.asarray(found)


def _table(forward: Forward) -> Callable[[row_decoder.Matrix], Any]:
    """The model as a function with one row of the answer per row; it raises ValueError for any other answer."""
    run = _run(forward)

    def predict(rows: row_decoder.Matrix) -> Any:
        found = run(rows)
        if not isinstance(found, np.ndarray) or found.ndim == 0 or len(found) != len(rows):
            shape = getattr(found, "shape", type(found).__name__)
            raise ValueError(f"the model gives {shape} for {len(rows)} rows")
        return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found

    return predict


def _one_by_one(forward: Forward) -> Callable[[row_decoder.Matrix], Any]:
    """The same for a model that takes one row: it is asked for each row of a request."""
    predict = _table(forward)

    def predict_each(rows: row_decoder.Matrix) -> Any:
        return np.concatenate([predict(rows[row : row + 1]) for row in range(len(rows))])

    return predict_each


def _width(forward: Forward, inputs: list[tensors.TensorInput]) -> int | None:
    """The number of columns of the model's table; None if it takes other inputs or any width."""
    [first, *more] = inputs
    if more or first.dtype not in (None, "float32"):
        return None
    if first.shape is not None:
        return first.shape[1] if len(first.shape) == 2 and first.shape[0] != 0 else None
    run = _run(forward)

    def takes(columns: int) -> bool:
        try:
            run(np.zeros((1, columns), dtype=np.float32))
        except (ModelFailed, ValueError, TypeError):
            return False
        return True

    fitting = (width for width in first.widths if 0 < width <= _WIDEST and takes(width))
    found = next(fitting, None)
    return found if found is not None and not takes(found + 1) else None


def _answer_of_zeros(forward: Forward, width: int) -> tuple[int, ...] | None:
    """The shape of the answer to rows of zeros; None if it has not one row per row."""
    try:
        return tuple(_table(forward)(np.zeros((1, width), dtype=np.float32)).shape)
    except (ModelFailed, ValueError):
        return None


def _describe_broken(error: Exception, path: Path) -> str:
    return cause(error, path) if isinstance(error, zipfile.BadZipFile) or not head(path) else _message(error)


def _message(error: Exception) -> str:
    """The cause in one line, without the trace through the model's code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next(
        (line for line in reversed(lines) if "Error: " in line), lines[0] if lines else type(error).__name__
    )
    return told.removeprefix("RuntimeError: ").partition(". This is an internal miniz error")[0]
