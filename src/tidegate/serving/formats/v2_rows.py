"""Tensors of the Open Inference Protocol, and the requests and answers that runtimes and programs have. Pure; both
directions.

A table comes as one matrix, or as a tensor for each column. Where all its values are numbers that one type holds
exactly, runtimes get them as an array and never as text; otherwise as JSON, with whole numbers exact and text as
text.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegate.serving.contract.invocation import Answer
from tidegate.serving.contract.signature import TEXT, Form, ModelSignature, TensorSpec
from tidegate.serving.formats import content_types, npy
from tidegate.serving.formats.json_encoding import encode_json
from tidegate.serving.formats.v2_messages import (
    BYTES,
    InferRequest,
    TensorMetadata,
    V2Tensor,
    datatype_of,
    make_tensor,
    read_values,
    refuse,
    write_request,
)

JSON, NPY = content_types.JSON, content_types.NPY
PREDICTIONS = "predictions"
"""Name of the only output, as of the member of the native answer."""
_EXACT = 2**53
"""Whole numbers up to it are exact in float64."""
_INFINITE = {"Infinity": math.inf, "-Infinity": -math.inf}


class NativeRequest(NamedTuple):
    """The same request in the native API; ``names``: of its columns, if it has some and the body does not."""

    body: bytes
    content_type: str
    accept: str
    names: tuple[str, ...] = ()


# --- a request of a client, for a model here ---


def native_request(request: InferRequest, signature: ModelSignature | None) -> NativeRequest:
    """The request that asks the same in the native API. Raises ModelFailed (400)."""
    if not request.inputs:
        raise refuse("The request has no inputs")
    accept = NPY if signature is not None and signature.arrays else JSON
    if signature is None:
        return NativeRequest(_encode(_plain(request.inputs)), JSON, accept)
    inputs, specs = request.inputs, signature.inputs
    if signature.form is Form.TABLE:
        return _table(inputs, specs, accept)
    if signature.form is Form.TENSORS:
        several = f"{NPY}, {JSON};q=0.5"  # a model may give several tensors, which an array cannot hold
        return _tensors(inputs, specs, several if signature.arrays else accept)
    held = _frame(inputs, specs) if signature.form is Form.FRAME else _by_name(inputs)
    return NativeRequest(_encode(held), JSON, accept)


def message_of(request: InferRequest) -> NativeRequest:
    """The same request for a server of the protocol, without binary tensors. Raises ModelFailed (400)."""
    outputs = request.outputs and tuple(replace(one, binary=False) for one in request.outputs)
    body, length = write_request(replace(request, outputs=outputs, binary=False))
    if length is not None:
        raise refuse("A tensor of BF16 cannot be passed on; send FP32")
    return NativeRequest(body, JSON, JSON)


def _table(inputs: Sequence[V2Tensor], specs: Sequence[TensorSpec], accept: str) -> NativeRequest:
    names = tuple(spec.name for spec in specs) if len(specs) > 1 else ()
    if len(inputs) == 1 and (len(specs) != 1 or inputs[0].values.ndim > 1):
        [one] = inputs
        if len(specs) > 1 and one.name in names and one.values.shape[1:] in ((), (1,)):
            raise refuse(f"The request has the column {one.name!r} alone; the model takes {len(specs)}")
        if one.datatype == BYTES:
            rows = one.values.reshape(-1, 1) if one.values.ndim < 2 else one.values
            return NativeRequest(_encode(_nested(one.name, rows)), JSON, accept)
        return NativeRequest(npy.encode(one.values), NPY, accept, names)
    given = _in_order(inputs, specs if names else ())
    joint = _join(_columns(given))
    if joint is not None:
        return NativeRequest(npy.encode(joint), NPY, accept, names)
    return NativeRequest(_encode(_rows(given)), JSON, accept)


def _tensors(inputs: Sequence[V2Tensor], specs: Sequence[TensorSpec], accept: str) -> NativeRequest:
    for one in inputs:
        if one.datatype == BYTES:
            raise refuse(f"The tensor {one.name[:100]!r} is of BYTES, and the model takes numbers")
    if len(inputs) == 1 and len(specs) <= 1:
        return NativeRequest(npy.encode(inputs[0].values), NPY, accept)
    return NativeRequest(_encode(_by_name(_in_order(inputs, specs))), JSON, accept)


def _frame(inputs: Sequence[V2Tensor], specs: Sequence[TensorSpec]) -> Any:
    """The JSON of MLflow's scoring server, which compares the names of columns itself."""
    if len(inputs) == 1 and inputs[0].values.ndim == 2 and len(specs) != 1 and specs:
        [one] = inputs
        names = [spec.name for spec in specs]
        return {"dataframe_split": {"columns": names, "data": _nested(one.name, one.values)}}
    if specs or len(inputs) > 1:
        return {"dataframe_split": {"columns": [one.name for one in inputs], "data": _rows(inputs)}}
    return _by_name(inputs)


def _by_name(inputs: Sequence[V2Tensor]) -> Any:
    if len(inputs) == 1:
        return {"inputs": _nested(inputs[0].name, inputs[0].values)}
    return {"inputs": {one.name: _nested(one.name, one.values) for one in inputs}}


def _plain(inputs: Sequence[V2Tensor]) -> Any:
    """For a model whose inputs are not known: lists as the tensor nests them, or an object for each row."""
    if len(inputs) == 1:
        return _nested(inputs[0].name, inputs[0].values)
    names = [one.name for one in inputs]
    return [dict(zip(names, row, strict=True)) for row in _rows(inputs)]


def _rows(inputs: Sequence[V2Tensor]) -> list[list[Any]]:
    columns = (_nested(one.name, column) for one, column in zip(inputs, _columns(inputs), strict=True))
    return list(map(list, zip(*columns, strict=True)))


def _in_order(inputs: Sequence[V2Tensor], specs: Sequence[TensorSpec]) -> Sequence[V2Tensor]:
    """The inputs in the model's order, by their names; as they are if it has none. Raises ModelFailed."""
    if not specs or (len(inputs) == len(specs) == 1):
        return inputs
    given, names = {one.name: one for one in inputs}, [spec.name for spec in specs]
    for name in given:
        if name not in names:
            raise refuse(f"The model has no input {name[:100]!r}; its inputs are: {', '.join(names[:50])}")
    for name in names:
        if name not in given:
            raise refuse(f"The request has no input {name!r}")
    return [given[name] for name in names]


def _columns(inputs: Sequence[V2Tensor]) -> list[NDArray[Any]]:
    """A column of each tensor. Raises ModelFailed for other shapes, and for different lengths."""
    found = []
    for one in inputs:
        shape = one.values.shape
        if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
            raise refuse(
                f"The tensor {one.name[:100]!r} has the shape {list(shape)}; where a request has several, each is one"
                " column, [rows] or [rows, 1]"
            )
        found.append(one.values.ravel())
    if len({len(column) for column in found}) > 1:
        lengths = ", ".join(f"{one.name[:40]}: {len(column)}" for one, column in zip(inputs, found, strict=True))
        raise refuse(f"The tensors have different numbers of rows ({lengths[:400]})")
    return found


def _join(columns: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    """One array of all columns; None if no type of numbers holds all values exactly."""
    kinds = {column.dtype for column in columns}
    if any(kind.kind == "O" for kind in kinds):
        return None
    joint = np.result_type(*kinds)
    if joint.kind == "f":
        bound = min(_EXACT, 2 ** (np.finfo(joint).nmant + 1))
        for column in columns:
            if (
                column.dtype.kind in "iu"
                and len(column)
                and not -bound <= int(column.min()) <= int(column.max()) <= bound
            ):
                return None
    return np.ascontiguousarray(np.stack([column.astype(joint) for column in columns], axis=1))


def _nested(name: str, values: NDArray[Any]) -> Any:
    """Nested lists for JSON: NaN is null. Raises ModelFailed for infinity, which JSON has no number for."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return values.tolist()
    if np.isinf(values).any():
        raise refuse(f"The tensor {name[:100]!r} has an infinite value, which cannot be passed on to the model")
    cells = values.astype(object)
    cells[np.isnan(values)] = None
    return cells.tolist()


_encode = msgspec.json.encode


# --- the answer of a model here, for a client ---


def outputs_of(answer: Answer) -> list[V2Tensor]:
    """The outputs of a native answer. Raises ModelFailed (500) for one that tensors cannot hold."""
    kind = content_types.kind_of(answer.content_type)
    if kind == NPY:
        return [make_tensor(PREDICTIONS, _read_array(answer.body))]
    if kind == JSON and answer.body:
        return _of_json(msgspec.json.decode(answer.body), answer.body)
    return [_text(PREDICTIONS, answer.body)]


def _read_array(body: bytes) -> NDArray[Any]:
    shape, by_column, dtype, data = npy.split(body)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")


def _of_json(value: Any, body: bytes) -> list[V2Tensor]:
    if isinstance(value, dict) and len(value) == 1:
        [(name, value)] = value.items()
        if name != PREDICTIONS and not isinstance(value, dict):
            return [_array(name, value, body)]
    if isinstance(value, dict) and value:
        return [_array(name, one, msgspec.json.encode(one)) for name, one in value.items()]
    if isinstance(value, list) and value and all(isinstance(one, dict) and one for one in value):
        names = list(value[0])
        if all(list(one) == names for one in value):
            return [
                _array(name, cells := [one[name] for one in value], msgspec.json.encode(cells)) for name in names
            ]
    return [_array(PREDICTIONS, value, body)]


def _array(name: str, value: Any, text: bytes) -> V2Tensor:
    """A tensor of nested lists of one kind of value; one text, as JSON, of anything else."""
    shape, flat = [], value if isinstance(value, list) else [value]
    if isinstance(value, list):
        shape.append(len(value))
        while flat and all(isinstance(one, list) for one in flat):
            if len({len(one) for one in flat}) > 1:
                return _text(name, text)
            shape.append(len(flat[0]))
            flat = [cell for one in flat for cell in one]
    values = _typed(flat)
    return _text(name, text) if values is None else make_tensor(name, values.reshape(shape or [1]))


def _typed(flat: list[Any]) -> NDArray[Any] | None:
    kinds = {type(one) for one in flat}
    if kinds == {bool}:
        return np.array(flat, bool)
    if kinds == {int}:
        if all(-(2**63) <= one < 2**63 for one in flat):
            return np.array(flat, np.int64)
        return np.array(flat, np.uint64) if all(0 <= one < 2**64 for one in flat) else None
    if kinds == {str} and not set(flat) <= _INFINITE.keys():
        texts = np.empty(len(flat), object)
        texts[:] = flat
        return texts
    numbers = [_INFINITE.get(one) if type(one) is str else math.nan if one is None else one for one in flat]
    if not all(type(one) is float or (type(one) is int and abs(one) <= _EXACT) for one in numbers):
        return None
    return np.array(numbers, np.float64)


def _text(name: str, body: bytes) -> V2Tensor:
    values = np.empty(1, object)
    values[0] = body.decode("utf-8", "replace")
    return V2Tensor(name, BYTES, values)


# --- what people and other parts of the platform read of an exchange in arrays ---


def readable_request(native: NativeRequest) -> NativeRequest:
    """The request as JSON."""
    if native.content_type != NPY:
        return native
    rows = _nested("", npy.read(native.body))
    held: Any = (
        {"dataframe_split": {"columns": native.names, "data": rows}} if native.names else {"instances": rows}
    )
    return NativeRequest(_encode(held), JSON, JSON)


def readable_answer(answer: Answer, most: int | None = None) -> Answer:
    """The answer as the JSON of the native API. ``most``: rows, of a large one."""
    if content_types.kind_of(answer.content_type) != NPY:
        return answer
    return content_types.write(_read_array(answer.body)[:most], JSON)


# --- metadata ---


def row_of_zeros(width: int) -> NDArray[Any]:
    return np.zeros((1, width), np.float32)


def metadata_of(spec: TensorSpec) -> TensorMetadata:
    return TensorMetadata(spec.name, BYTES if spec.dtype == TEXT else datatype_of(spec.dtype), spec.shape)


# --- rows of a client of the native API, for a server of the protocol ---


def tensors_of_rows(rows: Sequence[Sequence[Any]], inputs: Sequence[TensorMetadata]) -> list[V2Tensor]:
    """Tensors of rows, each of which lists its values in the order of the server's inputs: a matrix where its
    metadata has one input, or a tensor for each column. Raises ModelFailed (400)."""
    width = len(rows[0]) if rows else 0
    if len(inputs) == 1:
        [only] = inputs
        shape = (len(rows),) if len(only.shape) == 1 and width == 1 else (len(rows), width)
        flat = [cell for row in rows for cell in row]
        return [read_values(only.name, only.datatype, shape, flat)]
    if any(len(row) != len(inputs) for row in rows):
        raise refuse(f"Each row must have {len(inputs)} values, one for each input of the model")
    return [
        read_values(one.name, one.datatype, (len(rows), 1)[: max(1, len(one.shape))], [row[at] for row in rows])
        for at, one in enumerate(inputs)
    ]


def answer_of(outputs: Sequence[V2Tensor]) -> Answer:
    """The native answer to a response: its only output as the predictions, or several by their names. An output of
    the shape [rows, 1] has a number for each row."""
    arrays = {one.name: one.values for one in outputs}
    values = {name: (one.ravel() if one.shape[1:] == (1,) else one).tolist() for name, one in arrays.items()}
    only: Any = next(iter(values.values())) if len(values) == 1 else values
    return Answer(encode_json({PREDICTIONS: only}), JSON)
