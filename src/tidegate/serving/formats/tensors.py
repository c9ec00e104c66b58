"""Requests and answers with tensors of any shape, for models that take more than a table of numbers.

In: ``application/x-npy`` (one tensor), or JSON: nested lists, alone or as ``inputs`` or ``instances``; for a model of
several inputs ``inputs`` is an object with one entry for each. Out: JSON ``{"predictions": ...}``, with an object
where the model gives named tensors and a list where it gives several, or ``application/x-npy`` for a single one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tidegate.serving.contract.invocation import Answer, Call, ModelFailed
from tidegate.serving.contract.signature import ANY, Form, ModelSignature, TensorSpec
from tidegate.serving.formats import npy, row_decoder
from tidegate.serving.formats.exact_cast import Inexact, array_of, cast
from tidegate.serving.formats.json_encoding import encode_json, parse_json
from tidegate.transform.csv_lines import without_bom

_KINDS = {"f": "float32", "i": "int64", "u": "int64", "b": "bool"}
"""Kind of numpy's type -> type for inputs without a declared type."""


@dataclass(frozen=True)
class TensorInput:
    """One input: numpy's name of its type, its shape (None: any length), and, if the model does not declare them,
    ``widths`` that its weights suggest."""

    name: str
    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None
    widths: tuple[int, ...] = ()

    @property
    def spec(self) -> TensorSpec:
        """For clients: of an input without a declared type, that of most models; without a shape, one side."""
        shape = (ANY,) if self.shape is None else tuple(ANY if side is None else side for side in self.shape)
        return TensorSpec(self.name, self.dtype or "float32", shape)

    def fit(self, value: Any) -> Any:
        """Convert an array to the model's type and shape. Raises ModelFailed (400)."""
        if value.dtype.kind not in _KINDS:
            raise ModelFailed(400, f"{self.name} has values of type {value.dtype}; send numbers.")
        if self.shape is not None:
            expected = "x".join("any" if side is None else str(side) for side in self.shape)
            pairs = zip(self.shape, value.shape, strict=False)
            if value.ndim != len(self.shape) or any(want not in (None, got) for want, got in pairs):
                found = "x".join(map(str, value.shape)) or "a single value"
                raise ModelFailed(400, f"{self.name} has the shape {found}; the model takes {expected}.")
        try:
            return cast(value, self.dtype or _KINDS[value.dtype.kind])
        except Inexact as wrong:
            place = "".join(f"[{side}]" for side in wrong.place)
            raise ModelFailed(400, f"{self.name}{place}: {wrong}.") from None


class Tensors:
    """A ``thread_engine.Handler`` around ``run``, which returns an array, or a tuple or dict of arrays."""

    threads = 2

    def __init__(self, run: Callable[..., Any], inputs: Sequence[TensorInput], accept: str | None) -> None:
        self._run = run
        self._inputs = inputs
        self._accept = accept

    @cached_property
    def signature(self) -> ModelSignature:
        return ModelSignature(Form.TENSORS, tuple(one.spec for one in self._inputs), arrays=True)

    def answer(self, call: Call) -> Answer:
        kind = row_decoder.kind_of(call.content_type) if call.content_type else row_decoder.JSON
        wanted = row_decoder.choose(call.accept, self._accept or kind)
        found = self._run(*self._read(call.body, kind))
        table = isinstance(found, np.ndarray) and found.ndim in (1, 2)
        if table or (wanted == row_decoder.NPY and isinstance(found, np.ndarray)):
            return row_decoder.write(found, wanted)
        if wanted != row_decoder.JSON and row_decoder.JSON not in call.accept:
            raise ModelFailed(406, f"The model gives what {wanted} cannot hold; accept {row_decoder.JSON}.")
        return Answer(encode_json({"predictions": _to_plain(found)}), row_decoder.JSON)

    def _read(self, body: bytes, kind: str) -> list[Any]:
        if kind == row_decoder.JSON:
            given = self._parse(body)
        elif kind == row_decoder.NPY:
            given = [npy.read(body)]
        else:
            raise ModelFailed(
                415, f"Content type {kind!r} is not supported; send {row_decoder.JSON} or {row_decoder.NPY}."
            )
        if len(given) != len(self._inputs):
            names = ", ".join(one.name for one in self._inputs)
            raise ModelFailed(
                400, f"The model has {len(self._inputs)} inputs: {names}; send a JSON object of them."
            )
        return [one.fit(value) for one, value in zip(self._inputs, given, strict=True)]

    def _parse(self, body: bytes) -> list[Any]:
        value = parse_json(without_bom(body))
        if isinstance(value, dict):
            names = [name for name in ("inputs", "instances") if name in value]
            if not names:
                raise ModelFailed(400, "The JSON has none of 'inputs' and 'instances'.")
            if len(names) > 1:
                raise ModelFailed(400, "The JSON has both 'inputs' and 'instances'; send one of them.")
            if "columns" in value:
                raise ModelFailed(
                    400, "The JSON has 'columns', and the model takes tensors, which have none; leave it out."
                )
            value = value[names[0]]
        if not isinstance(value, dict):
            return [_array(value, self._inputs[0])]
        for one in self._inputs:
            if one.name not in value:
                raise ModelFailed(400, f"The inputs have no {one.name!r}.")
        for name in value:
            if name not in [one.name for one in self._inputs]:
                raise ModelFailed(400, f"The model has no input {name!r}.")
        return [_array(value[one.name], one) for one in self._inputs]


def _array(value: Any, one: TensorInput) -> Any:
    """Convert JSON to an array. JSON has one type of number: integers become float32 unless the model declares a
    type."""
    if not isinstance(value, list):
        raise ModelFailed(400, f"{one.name} must be a list of numbers, or of lists of them.")
    dtype = one.dtype or "float32"
    try:
        found = array_of(_cells(value, truths=dtype == "bool"), dtype)
        if found.dtype.kind not in _KINDS:
            raise ValueError
        return cast(found, dtype)
    except Inexact as wrong:
        place = "".join(f"[{side}]" for side in wrong.place)
        raise ModelFailed(400, f"{one.name}{place}: {wrong}.") from None
    except (ValueError, TypeError, OverflowError):
        raise ModelFailed(400, f"{one.name} must be lists of numbers of one length each.") from None


def _cells(value: Any, truths: bool) -> Any:
    """Replace null by NaN. Raises TypeError for text, which numpy would parse as a number, and for booleans among
    numbers."""
    if isinstance(value, list):
        return [_cells(one, truths) for one in value]
    if isinstance(value, str | dict) or (isinstance(value, bool) and not truths):
        raise TypeError
    return math.nan if value is None else value


def _to_plain(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _to_plain(one) for name, one in found.items()}
    if isinstance(found, tuple):
        return [_to_plain(one) for one in found]
    return found.tolist()
