"""Messages of the Open Inference Protocol ("V2"), and their form in JSON with binary tensors. Pure; both directions.

A message holds tensors: arrays with a name and a data type. In JSON the values of a tensor are a list, flat or nested
by its shape. With the binary extension they follow the JSON, whose length a header gives, and the tensor says how
many bytes are its own: little-endian, row by row, a text as its length in four bytes and UTF-8.

A message is checked while it is read: a value that its data type cannot hold, a list that does not have its shape, or
bytes that are missing or left over are errors of the client. Sizes are compared before anything is allocated.
"""

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegate.domain.decoding import prepare_type
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.json_encoding import named_infinities, unreadable
from tidegate.serving.formats.protobuf import MOST_SIDES
from tidegate.transform import strict_json

HEADER_LENGTH = b"inference-header-content-length"
"""HTTP header with the length of the JSON, where binary tensors follow it."""
BYTES, BF16 = "BYTES", "BF16"
TYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{
        f"{kind}INT{bits}": np.dtype(f"<{kind.lower() or 'i'}{bits // 8}")
        for kind in ("", "U")
        for bits in (8, 16, 32, 64)
    },
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
"""Data types of numbers, and how their values lie in memory."""
_OF_DTYPE = {dtype.name: name for name, dtype in TYPES.items()}
_LONGEST_SIDE = 2**31
_UNSUPPORTED = ("shared_memory_region", "classification", "sequence_id")
"""Parameters that ask for what is not done here."""


@dataclass(frozen=True)
class V2Tensor:
    """``values`` have its shape; of BYTES they are texts, of BF16 the same numbers in float32."""

    name: str
    datatype: str
    values: NDArray[Any]


@dataclass(frozen=True)
class WantedOutput:
    name: str
    binary: bool


@dataclass(frozen=True)
class InferRequest:
    """``outputs``: None asks for all. ``binary``: whether outputs for which nothing else is said are binary; over
    gRPC whether they are raw."""

    inputs: tuple[V2Tensor, ...]
    id: str = ""
    outputs: tuple[WantedOutput, ...] | None = None
    binary: bool = False
    model: str = ""
    version: str = ""

    def choose(self, tensors: Sequence[V2Tensor]) -> list[tuple[V2Tensor, bool]]:
        """The outputs that are asked for, each with whether it is binary. Raises ModelFailed for an unknown one."""
        if self.outputs is None:
            return [(one, self.binary) for one in tensors]
        by_name = {one.name: one for one in tensors}
        for wanted in self.outputs:
            if wanted.name not in by_name:
                raise refuse(
                    f"The model has no output {wanted.name[:100]!r}; its outputs are: {', '.join(by_name)}"
                )
        return [(by_name[one.name], one.binary) for one in self.outputs]


@dataclass(frozen=True)
class InferResponse:
    model: str
    version: str
    outputs: tuple[V2Tensor, ...]
    id: str = ""


def refuse(message: str) -> ModelFailed:
    return ModelFailed(400, f"{message}.")


def datatype_of(dtype: "np.dtype[Any] | str") -> str:
    """The data type of an array's values; BYTES for text."""
    return _OF_DTYPE.get(np.dtype(dtype).name, BYTES)


def make_tensor(name: str, values: NDArray[Any]) -> V2Tensor:
    """A tensor of an array of numbers or texts."""
    datatype = datatype_of(values.dtype)
    return V2Tensor(name, datatype, values.astype(object) if datatype == BYTES else values)


# --- tensors ---


def check_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    if len(shape) > MOST_SIDES or any(not 0 <= side < _LONGEST_SIDE for side in shape):
        raise refuse(f"{_quote(name)} has the shape {list(shape)[:MOST_SIDES]}, which no tensor can have")
    return tuple(shape)


def read_binary(name: str, datatype: str, shape: Sequence[int], data: bytes) -> V2Tensor:
    """A tensor of its bytes. Raises ModelFailed (400)."""
    sides = check_shape(name, shape)
    count = math.prod(sides)
    if datatype == BYTES:
        texts = np.empty(_check_count(name, sides, len(found := list(_split_texts(name, data)))), object)
        texts[:] = found
        return V2Tensor(name, datatype, texts.reshape(sides))
    dtype = np.dtype("<u2") if datatype == BF16 else _dtype(name, datatype)
    if len(data) != count * dtype.itemsize:
        raise refuse(
            f"{_quote(name)} has {len(data)} bytes; {count} values of {datatype} are {count * dtype.itemsize}"
        )
    values = np.frombuffer(data, dtype)
    if datatype == BF16:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    elif datatype == "BOOL" and (np.frombuffer(data, np.uint8) > 1).any():
        raise refuse(f"{_quote(name)} has a byte that is neither 0 nor 1, and is of BOOL")
    return V2Tensor(name, datatype, values.reshape(sides))


def write_binary(tensor: V2Tensor) -> bytes:
    if tensor.datatype == BYTES:
        texts = (text.encode() for text in tensor.values.ravel().tolist())
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if tensor.datatype == BF16:
        return (np.ascontiguousarray(tensor.values, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    return np.ascontiguousarray(tensor.values, TYPES[tensor.datatype]).tobytes()


def read_values(name: str, datatype: str, shape: Sequence[int], data: Any) -> V2Tensor:
    """A tensor of the values of a JSON list, flat or nested by its shape. Raises ModelFailed (400)."""
    sides = check_shape(name, shape)
    if not isinstance(data, list):
        raise refuse(f"The data of {_quote(name)} must be a list")
    flat = data if not data or not isinstance(data[0], list) else list(_flatten(name, data, sides))
    _check_count(name, sides, len(flat))
    if datatype == BYTES:
        texts = np.empty(len(flat), object)
        texts[:] = _each(name, flat, lambda one: isinstance(one, str), "a text")
        return V2Tensor(name, datatype, texts.reshape(sides))
    dtype = _dtype(name, datatype)
    if dtype.kind == "f":
        values = _floats(name, dtype, flat)
    elif dtype.kind == "b":
        values = np.array(_each(name, flat, lambda one: isinstance(one, bool), "true or false"), dtype)
    else:
        limits = np.iinfo(dtype)
        whole = f"a whole number of {datatype}"
        values = np.array(_each(name, flat, _within(int(limits.min), int(limits.max)), whole), dtype)
    return V2Tensor(name, datatype, values.reshape(sides))


def _within(least: int, most: int) -> Callable[[Any], bool]:
    return lambda one: type(one) is int and least <= one <= most


def write_values(tensor: V2Tensor) -> list[Any]:
    """The values as a flat list for JSON: NaN is null, an infinite number its name."""
    flat: list[Any] = tensor.values.ravel().tolist()
    if tensor.values.dtype.kind == "f" and not np.isfinite(tensor.values).all():
        return [None if one != one else named_infinities(one) for one in flat]
    return flat


def _floats(name: str, dtype: "np.dtype[Any]", flat: list[Any]) -> NDArray[Any]:
    given = _each(
        name, flat, lambda one: one is None or type(one) is int or type(one) is float, "a number or null"
    )
    try:
        doubles = np.array([math.nan if one is None else one for one in given], np.float64)
    except OverflowError:  # an integer beyond doubles
        raise refuse(f"{_quote(name)} has a number that is too large for {dtype.name}") from None
    with np.errstate(over="ignore"):
        values = doubles.astype(dtype)
    if (np.isinf(values) & ~np.isinf(doubles)).any():
        raise refuse(f"{_quote(name)} has a number that is too large for {dtype.name}")
    return values


def _each(name: str, flat: list[Any], fits: Callable[[Any], bool], expected: str) -> list[Any]:
    for at, one in enumerate(flat):
        if not fits(one):
            shown = json.dumps(one)[:40]
            raise refuse(f"Value {at + 1} of {_quote(name)} is {shown}; expected {expected}")
    return flat


def _flatten(name: str, data: Any, sides: tuple[int, ...]) -> Iterator[Any]:
    if not sides:
        yield data
        return
    if not isinstance(data, list) or len(data) != sides[0]:
        raise refuse(f"The lists in the data of {_quote(name)} do not have its shape")
    if len(sides) == 1:
        yield from data
        return
    for one in data:
        yield from _flatten(name, one, sides[1:])


def _split_texts(name: str, data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if at + 4 > len(data) or end > len(data):
            raise refuse(f"The bytes of {_quote(name)} end within a text")
        try:
            yield data[at + 4 : end].decode()
        except UnicodeDecodeError:
            raise refuse(f"{_quote(name)} has a text that is not UTF-8") from None
        at = end


def _check_count(name: str, sides: tuple[int, ...], found: int) -> int:
    if found != math.prod(sides):
        raise refuse(f"{_quote(name)} has {found} values; its shape {list(sides)} holds {math.prod(sides)}")
    return found


def _dtype(name: str, datatype: str) -> "np.dtype[Any]":
    found = TYPES.get(datatype)
    if found is None:
        known = ", ".join((*TYPES, BYTES))
        extra = f", and {BF16} in binary form" if datatype == BF16 else ""
        raise refuse(f"{_quote(name)} has the datatype {datatype[:40]!r}; expected one of {known}{extra}")
    return found


def _quote(name: str) -> str:
    return f"The tensor {name[:100]!r}"


# --- JSON, with binary tensors after it ---


class _JsonTensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: Any = None


class _JsonOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _JsonRequest(msgspec.Struct):
    inputs: list[_JsonTensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_JsonOutput] | None = None


class _JsonResponse(msgspec.Struct):
    outputs: list[_JsonTensor]
    model_name: str = ""
    model_version: str | None = None
    id: str | None = None


def read_request(body: bytes, header: int | None = None) -> InferRequest:
    """``header``: the length of the JSON, if binary tensors follow it. Raises ModelFailed (400)."""
    given, rest = _read_json(body, header, _JsonRequest)
    binary = _flag(given.parameters, "binary_data_output", False)
    inputs = _tensors(given.inputs, rest)
    wanted = None
    if given.outputs:
        wanted = tuple(
            WantedOutput(one.name, _flag(one.parameters, "binary_data", binary)) for one in given.outputs
        )
        _distinct("output", [one.name for one in wanted])
    return InferRequest(inputs, given.id or "", wanted, binary)


def write_request(request: InferRequest) -> tuple[bytes, int | None]:
    """A request's body and, if binary tensors follow its JSON, the length of that."""
    about: dict[str, Any] = {"id": request.id} if request.id else {}
    if request.outputs is not None:
        about["outputs"] = [
            {"name": one.name, "parameters": {"binary_data": one.binary}} for one in request.outputs
        ]
    elif request.binary:
        about["parameters"] = {"binary_data_output": True}
    return _write_json(about, "inputs", [(one, request.binary) for one in request.inputs])


def read_response(body: bytes, header: int | None = None) -> InferResponse:
    """``header``: the length of the JSON, if binary tensors follow it. Raises ModelFailed (400)."""
    given, rest = _read_json(body, header, _JsonResponse)
    outputs = _tensors(given.outputs, rest)
    return InferResponse(given.model_name, given.model_version or "", outputs, given.id or "")


def write_response(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """A response's body with the outputs that the request asks for and, if binary tensors follow its JSON, the
    length of that. Raises ModelFailed for an output that there is not."""
    about: dict[str, Any] = {"model_name": response.model, "model_version": response.version}
    if response.id:
        about["id"] = response.id
    return _write_json(about, "outputs", request.choose(response.outputs))


def _write_json(
    about: dict[str, Any], key: str, tensors: Sequence[tuple[V2Tensor, bool]]
) -> tuple[bytes, int | None]:
    parts, described = [], []
    for one, binary in tensors:
        told: dict[str, Any] = {
            "name": one.name,
            "datatype": one.datatype,
            "shape": list(one.values.shape),
        }
        if binary or one.datatype == BF16:
            parts.append(write_binary(one))
            told["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            told["data"] = write_values(one)
        described.append(told)
    text = msgspec.json.encode({**about, key: described})
    return b"".join((text, *parts)), len(text) if parts else None


def _read_json(body: bytes, header: int | None, kind: "type[Any]") -> tuple[Any, memoryview]:
    length = len(body) if header is None else header
    if length > len(body):
        raise refuse(f"The JSON should have {length} bytes, and the body has {len(body)}")
    try:
        return msgspec.convert(_decode(body[:length]), prepare_type(kind)), memoryview(body)[length:]
    except msgspec.ValidationError as error:
        raise refuse(f"The JSON is no message of the protocol: {error}") from None


def _decode(text: bytes) -> Any:
    try:
        return strict_json.decode(text)
    except msgspec.DecodeError as error:
        if b"NaN" not in text and b"Infinity" not in text:
            raise unreadable(error, text) from None
    except RecursionError:
        raise refuse("The JSON is nested too deeply") from None
    except strict_json.RepeatedKey as error:
        raise refuse(f"The JSON is ambiguous: {error}") from None
    try:  # numbers that are not of JSON, and which clients in Python write nevertheless
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refuse(f"The JSON cannot be read: {error}") from None


def _tensors(given: Sequence[_JsonTensor], rest: memoryview) -> tuple[V2Tensor, ...]:
    _distinct("tensor", [one.name for one in given])
    at, found = 0, []
    for one in given:
        check_parameters(one.name, one.parameters or {})
        size = (one.parameters or {}).get("binary_data_size")
        if size is None:
            found.append(read_values(one.name, one.datatype, one.shape, one.data))
            continue
        if type(size) is not int or size < 0 or one.data is not None:
            raise refuse(
                f"{_quote(one.name)} has a binary_data_size that is no number of bytes, or data beside it"
            )
        if at + size > len(rest):
            raise refuse(f"{_quote(one.name)} should have {size} bytes, and {len(rest) - at} are there")
        found.append(read_binary(one.name, one.datatype, one.shape, bytes(rest[at : at + size])))
        at += size
    if at != len(rest):
        raise refuse(f"{len(rest) - at} bytes after the tensors belong to none of them")
    return tuple(found)


def check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    """Raises ModelFailed for parameters that ask for what is not done."""
    for one in _UNSUPPORTED:
        if parameters.get(one):
            raise refuse(f"{name[:100]!r} has the parameter {one}, which is not supported")


def _flag(parameters: Mapping[str, Any] | None, name: str, default: bool) -> bool:
    check_parameters("The request", parameters or {})
    value = (parameters or {}).get(name, default)
    if not isinstance(value, bool):
        raise refuse(f"The parameter {name} must be true or false")
    return value


def _distinct(what: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise refuse(f"The {what} {twice[:100]!r} is given twice")


# --- metadata ---


@dataclass(frozen=True)
class TensorMetadata:
    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelMetadata:
    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...] = field(default=())
    outputs: tuple[TensorMetadata, ...] = field(default=())
