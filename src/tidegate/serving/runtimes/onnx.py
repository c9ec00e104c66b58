"""ONNX models, scored in this process by onnxruntime.

The model is the one ``.onnx`` file of the model data. It takes one float tensor of rows and columns, or named
inputs of one column each (float, double, int64, int32, bool, string), as converters create for tables. What an answer
holds of several outputs is chosen by ``onnx_outputs``. A missing value is NaN; a row for which the model then returns
no number is rejected. A model whose answer to the same rows changes with the requests between is refused.

Requests are scored together if the graph shows that rows are independent (``onnx_rows``) and no probe contradicts it
(``row_probes``).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidegate.domain.errors import ArtifactError

try:
    import numpy as np
    import onnxruntime
    from onnx import ModelProto

    from tidegate.serving.contract.invocation import ModelFailed
    from tidegate.serving.formats import rounding, row_decoder
    from tidegate.serving.formats.typed_rows import Columns, TypedInput, TypedRows
    from tidegate.serving.runtimes import onnx_outputs, row_probes
    from tidegate.serving.runtimes.error_messages import cause
    from tidegate.serving.runtimes.onnx_rows import Unproven, find_training, prove, read
    from tidegate.serving.runtimes.tabular_scorer import TabularScorer, default_accept, only, threads
    from tidegate.serving.runtimes.typed_scorer import ColumnTable
    from tidegate.serving.scoring.batching import cap
except ImportError as missing:
    raise ArtifactError(
        f"ONNX models need packages that are not installed ({missing.name}): pip install 'tidegate[onnx]'"
    ) from None

if TYPE_CHECKING:
    from tidegate.serving.runtimes.devices.placement import Placement

_TRIAL = 0.1
"""Seconds of the probes of a model whose graph shows that rows are independent."""
Feed = dict[str, Any]
"""Name of an input -> its values, one row for each of the request."""
_EXAMPLES = {"tensor(string)": "text"}
_TYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(string)": np.dtype(object),
}


def load(model_dir: Path, environment: Mapping[str, str], placement: "Placement | None" = None) -> TabularScorer:
    """Raises ArtifactError for model data without exactly one usable model, or that is another one on the device."""
    path = only(model_dir, "ONNX model", (".onnx",))
    accept, most = default_accept(environment), cap(environment)
    options = _options(environment)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no class of their own
        raise ArtifactError(f"{path.name} is not a whole ONNX model: {cause(error, path)}") from None
    model = read(path)
    if trained := find_training(model):
        raise ArtifactError(
            f"{path.name} was exported in training mode ({trained}), so {_IT_REMEMBERS}; {_ADVICE}"
        )
    outputs = onnx_outputs.choose(session.get_outputs(), model, environment, path.name)
    table, pool = _table(session, outputs, path, accept)
    if change := row_probes.find_change(table.run, pool):
        raise ArtifactError(f"{path.name}: {change}; {_ADVICE}")
    if placement is not None:
        with placement.library.opened(path, _options(environment), placement.guard) as on_device:
            on_cpu, (table, _) = table, _table(on_device, outputs, path, accept)
            placement.compare_rows(on_cpu.run, table.run, pool)
            on_device.confirm()
        most = placement.find_rows(environment)
    _decide_batching(table, model, session, outputs, pool, most)
    return table


_IT_REMEMBERS = "its answers would depend on the requests before"
_ADVICE = (
    "export it in inference mode (model.eval(), without training=TrainingMode.TRAINING), or, if that is what it is"
    " meant to do, serve it by a script (tidegate/script)"
)


def _options(environment: Mapping[str, str]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads(environment)
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def _table(
    session: Any, outputs: onnx_outputs.Outputs, path: Path, accept: str | None
) -> tuple[TabularScorer, row_probes.Pool]:
    inputs = session.get_inputs()
    fixed = next((one.shape[0] for one in inputs if one.shape and isinstance(one.shape[0], int)), 1)
    if fixed != 1:
        raise ArtifactError(
            f"{path.name} takes {fixed} rows at a time, no more and no fewer; export it with a batch axis of any"
            " length (dynamic_axes, or dynamic_shapes), or of 1"
        )
    if _is_matrix(inputs):
        return _matrix(session, outputs, path, accept), row_probes.matrix_pool(inputs[0].shape[1])
    if inputs and all(_is_column(one) for one in inputs):
        pool = row_probes.column_pool({one.name: _TYPES[one.type] for one in inputs})
        return _NamedColumns(session, outputs, accept), pool
    found = ", ".join(f"{one.name}: {one.type}{one.shape}" for one in inputs) or "nothing"
    raise ArtifactError(
        f"{path.name} must take one float tensor of rows and columns, or named inputs of one column; it takes {found}"
    )


def _decide_batching(
    table: TabularScorer,
    model: ModelProto | None,
    session: Any,
    outputs: onnx_outputs.Outputs,
    pool: row_probes.Pool,
    most: int,
) -> None:
    try:
        prove(model, [one.name for one in session.get_inputs()], outputs.tensors)
        table.allow_batches(
            row_probes.judge(table.run, row_probes.ProbeBudget(pool, max(most, 2), _TRIAL, known=True)).scale
        )
    except (Unproven, row_probes.Dependent) as why:
        print(f"each request is scored alone: {why}", flush=True)


def _is_matrix(inputs: Sequence[Any]) -> bool:
    if len(inputs) != 1 or inputs[0].type != "tensor(float)":
        return False
    shape = inputs[0].shape
    return len(shape) == 2 and isinstance(shape[1], int)


def _is_column(one: Any) -> bool:
    return one.type in _TYPES and len(one.shape) in (1, 2) and one.shape[1:] in ([], [1])


def _runner(session: Any, outputs: onnx_outputs.Outputs, row: Feed) -> Callable[[Feed], Any]:
    """The model as a function from inputs of several rows to their answers. A model that takes one row alone, by its
    declared inputs or when it is tried with ``row`` twice, is asked row by row."""

    def run(feed: Feed) -> Any:
        return outputs.join(session.run(outputs.names, feed), rounding.length(feed))

    def run_each(feed: Feed) -> Any:
        rows = range(rounding.length(feed))
        return np.concatenate([run(rounding.take(feed, slice(row, row + 1))) for row in rows])

    def takes(feed: Feed) -> bool:
        try:
            run(feed)
        except Exception:  # onnxruntime's errors have no class of their own
            return False
        return True

    single = any(one.shape and one.shape[0] == 1 for one in session.get_inputs())
    twice = {name: np.concatenate([values, values]) for name, values in row.items()}
    if not single and (takes(twice) or not takes(row)):
        return run
    print("the model takes one row at a time, so the rows of a request are scored one by one", flush=True)
    return run_each


def _matrix(session: Any, outputs: onnx_outputs.Outputs, path: Path, accept: str | None) -> TabularScorer:
    [entry] = session.get_inputs()
    columns = int(entry.shape[1])
    features = row_decoder.Features(columns, [entry.name] if columns == 1 else None)
    zeros = {entry.name: np.zeros((1, columns), dtype=np.float32)}
    run = _runner(session, outputs, zeros)
    try:
        run(zeros)
    except Exception as error:
        raise ArtifactError(f"{path.name} was read but cannot predict: {cause(error, path)}") from None

    def predict(rows: row_decoder.Matrix) -> Any:
        found = run({entry.name: rows})
        for row in _empty(found):
            if np.isnan(rows[row]).any():
                at = row_decoder.missing(rows[row : row + 1])
                assert at is not None
                raise ModelFailed(400, f"{features.place(row, at[1])}: {_NO_NUMBER}")
        return found

    return TabularScorer(predict, features, accept, batches=False)


_NO_NUMBER = "a missing value, for which the model gives no number."


class _NamedColumns(ColumnTable):
    """A ``batching.Scorer`` for a model with an input for each column."""

    def __init__(self, session: Any, outputs: onnx_outputs.Outputs, accept: str | None) -> None:
        inputs = session.get_inputs()
        self._session = session
        self._shapes = {one.name: (-1, 1) if len(one.shape) == 2 else (-1,) for one in inputs}
        typed = TypedRows([TypedInput(one.name, _TYPES[one.type]) for one in inputs])
        example = {one.name: np.array([_EXAMPLES.get(one.type, 0)], _TYPES[one.type]) for one in inputs}
        self._ask = _runner(session, outputs, self._feed(example))
        super().__init__(self._run, typed, accept, batches=False)

    def _feed(self, columns: Columns) -> Feed:
        return {name: columns[name].reshape(shape) for name, shape in self._shapes.items()}

    def _run(self, columns: Columns) -> Any:
        try:
            found = self._ask(self._feed(columns))
        except ModelFailed:
            raise
        except Exception as error:  # onnxruntime's errors have no class of their own
            raise ModelFailed(400, f"The model refuses the rows: {' '.join(str(error).split())}") from None
        for row in _empty(found):
            for column, name in enumerate(self._typed.names):
                if columns[name].dtype.kind == "f" and np.isnan(columns[name][row]):
                    raise ModelFailed(400, f"{self._features.place(row, column)}: {_NO_NUMBER}")
        return found


def _empty(found: Any) -> Sequence[int]:
    """Rows whose answer is not a number."""
    if found.dtype.kind != "f":
        return ()
    odd = np.isnan(found)
    if not odd.any():
        return ()
    return [int(row) for row in np.flatnonzero(odd if odd.ndim == 1 else odd.reshape(len(odd), -1).any(axis=1))]
