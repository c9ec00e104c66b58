"""A sample of a request to an endpoint, made from what its model takes as far as an instance knows that. Pure but for
the question to the instances."""

import asyncio
import json
import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.gateway.dependencies import Gateway
from tidegate.serving.contract.signature import ANY, INPUT, TEXT, Form, ModelSignature, TensorSpec

PATIENCE = 0.5
"""Seconds that the page waits for the instances."""
MOST_VALUES = 200
"""Values of a sample; of a model that takes more, the page says what it takes and has none."""
LONGEST, MOST_SIDES = 256, 16
"""Characters of a name or a type, and sides of a shape; a model with more of them is one that is not known."""
CSV, JSON = "text/csv", "application/json"


@dataclass(frozen=True)
class SampleRequest:
    """``shell``: the body as a word of a shell; ``python``: as an expression."""

    content_type: str
    body: str
    shell: str = ""
    python: str = ""

    @classmethod
    def quote(cls, content_type: str, body: str) -> "SampleRequest":
        return cls(content_type, body, shlex.quote(body), repr(body.encode()))


@dataclass(frozen=True)
class ModelInputs:
    """Description of a model's inputs, for a sentence, and a sample unless that would be too long."""

    described: str
    sample: SampleRequest | None


async def read_inputs(gateway: Gateway, endpoint: str, config: str | None) -> ModelInputs | None:
    """Ask the endpoint's instances what their model takes, those with ``config`` first. None: none of them knows."""
    try:
        async with asyncio.timeout(PATIENCE):
            found = await gateway.models(endpoint, 0)
    except TimeoutError:
        return None
    pages = [
        one["signature"]
        for one in sorted(found, key=lambda one: one.get("config") != config)
        if "signature" in one
    ]
    known = next((one for one in map(parse_signature, pages) if one is not None), None)
    return None if known is None else describe_inputs(known)


class _Input(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(max_length=LONGEST)]
    dtype: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=ANY)]], msgspec.Meta(max_length=MOST_SIDES)]


class _Signature(msgspec.Struct):
    form: Form
    inputs: Annotated[list[_Input], msgspec.Meta(min_length=1)]


def parse_signature(page: object) -> ModelSignature | None:
    """Read a signature as a worker's page has it, which a model's own code may have written; None for one that is
    unknown, or of another release."""
    try:
        found = msgspec.convert(page, prepare_type(_Signature))
    except msgspec.ValidationError:
        return None
    if any(0 in one.shape for one in found.inputs):
        return None  # such an array is empty
    return ModelSignature(
        found.form, tuple(TensorSpec(one.name, one.dtype, tuple(one.shape)) for one in found.inputs)
    )


def describe_inputs(signature: ModelSignature) -> ModelInputs | None:
    """None: what is declared does not say how a request looks."""
    inputs = signature.inputs
    if signature.form is Form.TENSORS and any(one.shape == (ANY,) for one in inputs):
        return None  # the runtime declares this where it knows no shape
    sample = None if sum(map(_count, inputs)) > MOST_VALUES else _make_sample(signature)
    if signature.form is Form.TABLE and _is_matrix(inputs):
        return ModelInputs(f"rows of {_count_columns(_count(inputs[0]))} without names", sample)
    if signature.form in (Form.TABLE, Form.FRAME):
        return ModelInputs(f"rows of {_count_columns(len(inputs))}: {_join(one.name for one in inputs)}", sample)
    return ModelInputs(_join(map(_describe_tensor, inputs)), sample)


def _make_sample(signature: ModelSignature) -> SampleRequest:
    inputs = signature.inputs
    if signature.form is Form.TABLE:
        values = [_field(inputs[0])] * _count(inputs[0]) if _is_matrix(inputs) else map(_field, inputs)
        return SampleRequest.quote(CSV, ",".join(values))
    if signature.form is Form.FRAME:
        columns = [one.name for one in inputs]
        return _write_json({"dataframe_split": {"columns": columns, "data": [[_value(one) for one in inputs]]}})
    nested = {one.name: _nest(one.shape, _value(one)) for one in inputs}
    return _write_json({"inputs": nested if len(nested) > 1 else next(iter(nested.values()))})


def _write_json(document: object) -> SampleRequest:
    return SampleRequest.quote(JSON, json.dumps(document))


def _is_matrix(inputs: Sequence[TensorSpec]) -> bool:
    return len(inputs) == 1 and inputs[0].name == INPUT


def _count(one: TensorSpec) -> int:
    return math.prod(1 if side == ANY else side for side in one.shape)


def _count_columns(count: int) -> str:
    return "one column" if count == 1 else f"{count} columns"


def _join(words: Iterable[str]) -> str:
    """Join names, of many the first ones."""
    listed = list(words)
    return ", ".join(listed[:MOST_VALUES]) + (", ..." if len(listed) > MOST_VALUES else "")


def _describe_tensor(one: TensorSpec) -> str:
    sides = " x ".join("any" if side == ANY else str(side) for side in one.shape)
    return f"{one.name} ({one.dtype}, {sides or 'a single value'})"


def _field(one: TensorSpec) -> str:
    """A field of a CSV. Flags and whole numbers among floats take 1, too."""
    return "text" if _is_text(one) else "1"


def _value(one: TensorSpec) -> Any:
    if _is_text(one):
        return "text"
    return {"f": 1.0, "b": True}.get(one.dtype[0], 1)


def _is_text(one: TensorSpec) -> bool:
    return one.dtype == TEXT or one.dtype.startswith("str")


def _nest(shape: Sequence[int], value: Any) -> Any:
    for side in reversed(shape):
        value = [value] * (1 if side == ANY else side)
    return value
