"""The signature of a model: names, types and shapes of its inputs, as far as its runtime knows them. Pure."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

ANY = -1
"""A side of a shape that may have any length."""
INPUT = "input"
"""Name of the input of a model that has no names."""
TEXT = "object"
"""numpy's name of the type of text, beside those of numbers."""


class Form(StrEnum):
    """How requests hold what the model takes."""

    TABLE = "table"
    """Rows of columns: a list of lists in JSON, or an array where all are numbers."""
    TENSORS = "tensors"
    """One array, or a JSON object of several."""
    FRAME = "frame"
    """Named columns, in the JSON of MLflow's scoring server."""
    NESTED = "nested"
    """Tensors, in that JSON."""


class TensorSpec(NamedTuple):
    """``dtype``: numpy's name of the type; ``shape`` may hold ``ANY``."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class ModelSignature(NamedTuple):
    """``inputs``: of a table whose columns have no names, one matrix. Empty: unknown."""

    form: Form
    inputs: tuple[TensorSpec, ...] = ()
    arrays: bool = False
    """Whether its answers can be arrays that say the same as its JSON, ``{"predictions": ...}``."""


def describe_columns(names: Sequence[str] | None, dtypes: Sequence[str], arrays: bool = True) -> ModelSignature:
    """The signature of a table. ``dtypes``: of each column."""
    if names is None:
        dtype = dtypes[0] if len(set(dtypes)) == 1 else TEXT
        return ModelSignature(Form.TABLE, (TensorSpec(INPUT, dtype, (ANY, len(dtypes))),), arrays)
    inputs = tuple(TensorSpec(name, dtype, (ANY, 1)) for name, dtype in zip(names, dtypes, strict=True))
    return ModelSignature(Form.TABLE, inputs, arrays)


def find_signature(model: Any) -> ModelSignature | None:
    """The signature of an engine, or of what one is made around; None if it knows none."""
    found = getattr(model, "signature", None)
    return found if isinstance(found, ModelSignature) else None
