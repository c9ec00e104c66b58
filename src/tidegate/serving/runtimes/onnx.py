"""ONNX models, scored in this process by onnxruntime.

The model is the one ``.onnx`` file of the model data. It takes one float tensor of rows and columns, or named
inputs of one column each (float, double, int64, int32, bool, string), as converters create for tables. Of several
outputs the prediction is the last one that is a tensor of numbers: a classifier's probabilities follow its labels. A
missing value is NaN; a row for which the model then returns no number is rejected.

Requests are scored together if the graph shows that rows are independent (``onnx_rows``) and no probe contradicts it
(``row_probes``).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidegate.domain.errors import ArtifactError

try:
    import numpy as np
    import onnxruntime

    from tidegate.serving.contract.invocation import ModelFailed
    from tidegate.serving.formats import row_decoder
    from tidegate.serving.formats.typed_rows import Columns, TypedInput, TypedRows
    from tidegate.serving.runtimes import row_probes
    from tidegate.serving.runtimes.error_messages import cause
    from tidegate.serving.runtimes.onnx_rows.analysis import Unproven, prove_file
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
_NUMBERS = frozenset({"tensor(float)", "tensor(double)", "tensor(int64)", "tensor(int32)"})
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
    output = _output(session, path.name)
    table, pool = _table(session, output, path, accept)
    if placement is not None:
        with placement.library.opened(path, _options(environment), placement.guard) as on_device:
            on_cpu, (table, _) = table, _table(on_device, output, path, accept)
            placement.compare_rows(on_cpu.run, table.run, pool)
            on_device.confirm()
        most = placement.find_rows(environment)
    _decide_batching(table, path, session, output, pool, most)
    return table


def _options(environment: Mapping[str, str]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads(environment)
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def _table(session: Any, output: str, path: Path, accept: str | None) -> tuple[TabularScorer, row_probes.Pool]:
    inputs = session.get_inputs()
    if _is_matrix(inputs):
        return _matrix(session, output, path, accept), row_probes.matrix_pool(inputs[0].shape[1])
    if inputs and all(_is_column(one) for one in inputs):
        pool = row_probes.column_pool({one.name: _TYPES[one.type] for one in inputs})
        return Named(session, output, accept), pool
    found = ", ".join(f"{one.name}: {one.type}{one.shape}" for one in inputs) or "nothing"
    raise ArtifactError(
        f"{path.name} must take one float tensor of rows and columns, or named inputs of one column; it takes {found}"
    )


def _decide_batching(
    table: TabularScorer, path: Path, session: Any, output: str, pool: row_probes.Pool, most: int
) -> None:
    try:
        prove_file(path, [one.name for one in session.get_inputs()], output)
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


def _matrix(session: Any, output: str, path: Path, accept: str | None) -> TabularScorer:
    [entry] = session.get_inputs()
    columns = int(entry.shape[1])
    features = row_decoder.Features(columns, [entry.name] if columns == 1 else None)

    def predict(rows: row_decoder.Matrix) -> Any:
        found = _flat(session.run([output], {entry.name: rows})[0], len(rows))
        for row in _empty(found):
            if np.isnan(rows[row]).any():
                at = row_decoder.missing(rows[row : row + 1])
                assert at is not None
                raise ModelFailed(400, f"{features.place(row, at[1])}: {_NO_NUMBER}")
        return found

    try:
        predict(np.zeros((1, columns), dtype=np.float32))
    except Exception as error:
        raise ArtifactError(f"{path.name} was read but cannot predict: {cause(error, path)}") from None
    return TabularScorer(predict, features, accept, batches=False)


_NO_NUMBER = "a missing value, for which the model gives no number."


class Named(ColumnTable):
    """A ``batching.Scorer`` for a model with an input for each column."""

    def __init__(self, session: Any, output: str, accept: str | None) -> None:
        inputs = session.get_inputs()
        self._session = session
        self._output = output
        self._shapes = {one.name: (-1, 1) if len(one.shape) == 2 else (-1,) for one in inputs}
        typed = TypedRows([TypedInput(one.name, _TYPES[one.type]) for one in inputs])
        super().__init__(self._run, typed, accept, batches=False)

    def _run(self, columns: Columns) -> Any:
        given = {name: columns[name].reshape(shape) for name, shape in self._shapes.items()}
        try:
            found = self._session.run([self._output], given)[0]
        except ModelFailed:
            raise
        except Exception as error:  # onnxruntime's errors have no class of their own
            raise ModelFailed(400, f"The model refuses the rows: {' '.join(str(error).split())}") from None
        found = _flat(found, self.size(columns))
        for row in _empty(found):
            for column, name in enumerate(self._typed.names):
                if columns[name].dtype.kind == "f" and np.isnan(columns[name][row]):
                    raise ModelFailed(400, f"{self._features.place(row, column)}: {_NO_NUMBER}")
        return found


def _output(session: Any, name: str) -> str:
    fitting = [one.name for one in session.get_outputs() if one.type in _NUMBERS]
    if not fitting:
        found = ", ".join(f"{one.name}: {one.type}" for one in session.get_outputs())
        raise ArtifactError(f"{name} gives no tensor of numbers, but {found}")
    return str(fitting[-1])


def _flat(found: Any, rows: int) -> Any:
    """A flat array of values if there is one column."""
    if found.ndim == 0 or len(found) != rows or found.ndim > 2:
        raise ValueError(f"the model gives the shape {found.shape} for {rows} rows")
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


def _empty(found: Any) -> Sequence[int]:
    """Rows whose answer is not a number."""
    odd = np.isnan(found)
    if not odd.any():
        return ()
    return [int(row) for row in np.flatnonzero(odd if odd.ndim == 1 else odd.any(axis=1))]
