"""Messages of the Open Inference Protocol in the form of protocol buffers, for gRPC. Pure; both directions.

The few messages are written here by the protocol's numbers of fields, so that neither protobuf nor generated code is
needed. Unknown fields are skipped, as protocol buffers have it; a message that ends early, or a size beyond what is
there, is an error. Values of a tensor come in ``raw_input_contents``, as in the binary form of JSON requests, or
typed, in a list for each kind of number.
"""

import math
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegate.serving.formats import protobuf
from tidegate.serving.formats.protobuf import (
    FIXED32,
    FIXED64,
    VARINT,
    Field,
    data_of,
    message,
    read_fields,
    read_sides,
    refuse,
    string,
    text_of,
    varint,
)
from tidegate.serving.formats.v2_messages import (
    BYTES,
    TYPES,
    InferRequest,
    InferResponse,
    ModelMetadata,
    TensorMetadata,
    V2Tensor,
    WantedOutput,
    check_parameters,
    check_shape,
    read_binary,
    write_binary,
)

_LIST_OF = {
    "BOOL": 1,
    "INT8": 2,
    "INT16": 2,
    "INT32": 2,
    "INT64": 3,
    "UINT8": 4,
    "UINT16": 4,
    "UINT32": 4,
    "UINT64": 5,
    "FP32": 6,
    "FP64": 7,
    BYTES: 8,
}
"""Data type -> field of the typed contents."""
MOST_TENSORS = 10_000
"""More of them than a table has columns."""

# --- requests and responses ---


def read_infer_request(body: bytes) -> InferRequest:
    """Raises ModelFailed (400)."""
    given: dict[str, str] = {}
    inputs: list[memoryview] = []
    outputs: list[WantedOutput] = []
    raw: list[bytes] = []
    for number, _, value in read_fields(body):
        if number in (1, 2, 3):
            given[("", "model", "version", "id")[number]] = text_of(value)
        elif number == 4:
            _check_parameter("The request", value)
        elif number == 5:
            inputs.append(data_of(value))
        elif number == 6:
            outputs.append(_read_wanted(value))
        elif number == 7:
            raw.append(bytes(data_of(value)))
    tensors = _read_tensors(inputs, raw, "raw_input_contents")
    wanted = tuple(outputs) or None
    return InferRequest(
        tensors, given.get("id", ""), wanted, bool(raw), given.get("model", ""), given.get("version", "")
    )


def write_infer_request(request: InferRequest) -> bytes:
    described, raw = _write_tensors(5, 7, [(one, request.binary) for one in request.inputs])
    wanted = b"".join(message(6, string(1, one.name)) for one in request.outputs or ())
    return string(1, request.model) + string(2, request.version) + string(3, request.id) + described + wanted + raw


def read_infer_response(body: bytes) -> InferResponse:
    """Raises ModelFailed (400)."""
    given: dict[str, str] = {}
    outputs: list[memoryview] = []
    raw: list[bytes] = []
    for number, _, value in read_fields(body):
        if number in (1, 2, 3):
            given[("", "model", "version", "id")[number]] = text_of(value)
        elif number == 5:
            outputs.append(data_of(value))
        elif number == 6:
            raw.append(bytes(data_of(value)))
    tensors = _read_tensors(outputs, raw, "raw_output_contents")
    return InferResponse(given.get("model", ""), given.get("version", ""), tensors, given.get("id", ""))


def write_infer_response(response: InferResponse, request: InferRequest) -> bytes:
    """A response with the outputs that the request asks for, raw if its inputs were. Raises ModelFailed for an output
    that there is not."""
    chosen = [(one, request.binary) for one, _ in request.choose(response.outputs)]
    described, raw = _write_tensors(5, 6, chosen)
    return string(1, response.model) + string(2, response.version) + string(3, response.id) + described + raw


def _read_wanted(value: Any) -> WantedOutput:
    name = ""
    for number, _, inner in read_fields(data_of(value)):
        if number == 1:
            name = text_of(inner)
        elif number == 2:
            _check_parameter("The output", inner)
    return WantedOutput(name, False)


def _check_parameter(what: str, entry: Any) -> None:
    key, value = "", None
    for number, _, inner in read_fields(data_of(entry)):
        if number == 1:
            key = text_of(inner)
        elif number == 2:
            value = next((one for _, _, one in read_fields(data_of(inner))), None)
    check_parameters(what, {key: value})


def _read_tensors(described: Sequence[memoryview], raw: Sequence[bytes], where: str) -> tuple[V2Tensor, ...]:
    if raw and len(raw) != len(described):
        raise refuse(f"{where} has {len(raw)} entries for {len(described)} tensors")
    if len(described) > MOST_TENSORS:
        raise refuse(f"The message has {len(described)} tensors; it may have {MOST_TENSORS}")
    found, names = [], set()
    for at, data in enumerate(described):
        one = _read_tensor(data, raw[at] if raw else None)
        if one.name in names:
            raise refuse(f"The tensor {one.name[:100]!r} is given twice")
        names.add(one.name)
        found.append(one)
    return tuple(found)


def _read_tensor(data: memoryview, raw: bytes | None) -> V2Tensor:
    name, datatype = "", ""
    shape: list[int] = []
    contents: list[memoryview] = []
    for number, _, value in read_fields(data):
        if number == 1:
            name = text_of(value)
        elif number == 2:
            datatype = text_of(value)
        elif number == 3:
            shape += read_sides(value)
            check_shape(name, shape)
        elif number == 4:
            _check_parameter(f"The tensor {name[:100]!r}", value)
        elif number == 5 and len(data_of(value)):
            contents.append(value)
    if raw is None:
        return _read_contents(name, datatype, shape, chain.from_iterable(map(read_fields, contents)))
    if contents:
        raise refuse(f"The tensor {name[:100]!r} has contents beside raw ones")
    return read_binary(name, datatype, shape, raw)


def _read_contents(name: str, datatype: str, shape: Sequence[int], contents: Iterable[Field]) -> V2Tensor:
    wanted = _LIST_OF.get(datatype)
    if wanted is None:
        raise refuse(f"The tensor {name[:100]!r} of {datatype[:40]!r} has no typed contents; send it raw")
    sides = check_shape(name, shape)
    if datatype == BYTES:
        texts = bytearray()
        for number, _, value in contents:
            _check_field(name, number == wanted)
            texts += len(data_of(value)).to_bytes(4, "little") + value
        return read_binary(name, datatype, sides, bytes(texts))
    dtype = TYPES[datatype]
    values = (
        _read_floats(name, wanted, dtype, contents) if dtype.kind == "f" else _read_whole(name, wanted, contents)
    )
    if len(values) != math.prod(sides):
        raise refuse(f"The tensor {name[:100]!r} has {len(values)} values; its shape holds {math.prod(sides)}")
    if dtype.itemsize < 4 and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if len(values) and not limits.min <= int(values.min()) <= int(values.max()) <= limits.max:
            raise refuse(f"The tensor {name[:100]!r} has a value that is beyond {datatype}")
    return V2Tensor(name, datatype, values.astype(dtype).reshape(sides))


def _read_floats(name: str, wanted: int, dtype: "np.dtype[Any]", contents: Iterable[Field]) -> Any:
    """Numbers that are packed, or come one by one."""
    alone, found = FIXED32 if dtype.itemsize == 4 else FIXED64, bytearray()
    for number, wire, value in contents:
        _check_field(
            name, number == wanted and wire in (protobuf.BYTES, alone) and not len(value) % dtype.itemsize
        )
        found += value
    return np.frombuffer(bytes(found), dtype)


def _read_whole(name: str, wanted: int, contents: Iterable[Field]) -> Any:
    """The same of whole numbers and truths."""
    found = array("Q")
    for number, wire, value in contents:
        _check_field(name, number == wanted and wire in (protobuf.BYTES, VARINT))
        if wire == VARINT:
            found.append(value)
        else:
            found.frombytes(_varints(value).tobytes())
    values = np.array(found, np.uint64)
    if wanted == _LIST_OF["BOOL"]:
        return values != 0
    if wanted == _LIST_OF["INT32"]:  # of int32, which a negative number extends to 64 bits
        return values.astype(np.uint32).view(np.int32)
    if wanted == _LIST_OF["INT64"]:
        return values.view(np.int64)
    return values.astype(np.uint32) if wanted == _LIST_OF["UINT32"] else values


def _check_field(name: str, good: bool) -> None:
    if not good:
        raise refuse(f"The tensor {name[:100]!r} has contents of another type than its own")


def _write_tensors(field: int, raw_field: int, tensors: Sequence[tuple[V2Tensor, bool]]) -> tuple[bytes, bytes]:
    """The tensors, and their contents where these are raw: of all, if one of them has no typed ones."""
    raw = any(binary or one.datatype not in _LIST_OF for one, binary in tensors)
    described, contents = b"", b""
    for one, _ in tensors:
        told = string(1, one.name) + string(2, one.datatype)
        told += message(3, b"".join(map(varint, one.values.shape)))
        if raw:
            contents += message(raw_field, write_binary(one), empty=True)
        else:
            told += message(5, _write_contents(one), empty=True)
        described += message(field, told)
    return described, contents


def _write_contents(one: V2Tensor) -> bytes:
    field, flat = _LIST_OF[one.datatype], one.values.ravel()
    if one.datatype == BYTES:
        return b"".join(message(field, text.encode(), empty=True) for text in flat.tolist())
    if flat.dtype.kind == "f":
        return message(field, flat.astype(TYPES[one.datatype]).tobytes())
    return message(field, b"".join(varint(int(value) % 2**64) for value in flat.tolist()))


# --- the other calls ---


def write_model_metadata(model: ModelMetadata) -> bytes:
    body = string(1, model.name) + b"".join(string(2, one) for one in model.versions) + string(3, model.platform)
    for field, tensors in ((4, model.inputs), (5, model.outputs)):
        for one in tensors:
            shape = b"".join(varint(side % 2**64) for side in one.shape)
            body += message(field, string(1, one.name) + string(2, one.datatype) + message(3, shape))
    return body


def read_model_metadata(body: bytes) -> ModelMetadata:
    """Raises ModelFailed (400)."""
    given: dict[int, list[Any]] = {1: [], 2: [], 3: [], 4: [], 5: []}
    for number, _, value in read_fields(body):
        if number in (1, 2, 3):
            given[number].append(text_of(value))
        elif number in (4, 5):
            given[number].append(_read_tensor_metadata(data_of(value)))
    name, platform = "".join(given[1][-1:]), "".join(given[3][-1:])
    return ModelMetadata(name, tuple(given[2]), platform, tuple(given[4]), tuple(given[5]))


def _read_tensor_metadata(data: memoryview) -> TensorMetadata:
    name, datatype = "", ""
    shape: list[int] = []
    for number, _, value in read_fields(data):
        if number == 1:
            name = text_of(value)
        elif number == 2:
            datatype = text_of(value)
        elif number == 3:
            shape += read_sides(value)
    return TensorMetadata(name, datatype, tuple(shape))


def _varints(data: memoryview) -> NDArray[np.uint64]:
    """All numbers of a packed field."""
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    if len(octets) and (not len(ends) or ends[-1] != len(octets) - 1):
        raise refuse("The message ends early")
    begins = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    lengths = ends - begins + 1
    if len(lengths) and lengths.max() > 10:
        raise refuse("The message has a number that is too long")
    values = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max()) if len(lengths) else 0):
        there = lengths > place
        septets = (octets[begins[there] + place] & 0x7F).astype(np.uint64)
        values[there] |= septets << np.uint64(7 * place)
    return values
