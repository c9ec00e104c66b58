"""ONNX models with one float tensor as input, scored in this process by onnxruntime.

The model is the one ``.onnx`` file of the model data. Of several outputs the last that is a tensor of numbers is
the prediction: a classifier's probabilities come after its labels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.model.errors import ArtifactError

try:
    import numpy as np
    import onnxruntime

    from tidegate.worker.runtimes import codecs
    from tidegate.worker.runtimes.tables import Table, default_accept, only, threads
except ImportError as missing:
    raise ArtifactError(
        f"ONNX models need packages that are not installed ({missing.name}): pip install 'tidegate[onnx]'"
    ) from None

_NUMBERS = frozenset({"tensor(float)", "tensor(double)", "tensor(int64)", "tensor(int32)"})


def load(model_dir: Path, environment: Mapping[str, str]) -> Table:
    """Raises ArtifactError for model data without exactly one usable model."""
    path = only(model_dir, "ONNX model", (".onnx",))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads(environment)
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    accept = default_accept(environment)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no class of their own
        raise ArtifactError(f"{path.name} is not a whole ONNX model: {' '.join(str(error).split())}") from None
    entry, columns = _input(session, path.name)
    output = _output(session, path.name)
    batches = not isinstance(session.get_inputs()[0].shape[0], int)

    def predict(rows: codecs.Matrix) -> Any:
        return _flat(session.run([output], {entry: rows})[0], len(rows))

    try:
        predict(np.zeros((1, columns), dtype=np.float32))
    except Exception as error:
        raise ArtifactError(f"{path.name} was read but cannot predict: {' '.join(str(error).split())}") from None
    return Table(predict, codecs.Features(columns), accept, batches)


def _input(session: Any, name: str) -> tuple[str, int]:
    """The input's name and its number of columns."""
    inputs = session.get_inputs()
    shape = inputs[0].shape if inputs else []
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(shape) != 2 or not isinstance(shape[1], int):
        found = ", ".join(f"{one.name}: {one.type}{one.shape}" for one in inputs) or "nothing"
        raise ArtifactError(f"{name} must take one float tensor of rows and columns; it takes {found}")
    return str(inputs[0].name), int(shape[1])


def _output(session: Any, name: str) -> str:
    fitting = [one.name for one in session.get_outputs() if one.type in _NUMBERS]
    if not fitting:
        found = ", ".join(f"{one.name}: {one.type}" for one in session.get_outputs())
        raise ArtifactError(f"{name} gives no tensor of numbers, but {found}")
    return str(fitting[-1])


def _flat(found: Any, rows: int) -> Any:
    """One value per row where a row has one column."""
    if found.ndim == 0 or len(found) != rows or found.ndim > 2:
        raise ValueError(f"the model gives the shape {found.shape} for {rows} rows")
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
