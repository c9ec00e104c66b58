"""Examples of what a model of tensors takes: from a file in the model data, or made up from what it declares."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tidegate.domain.errors import ArtifactError
from tidegate.serving.artifacts import zip_limits
from tidegate.serving.contract.invocation import ModelFailed
from tidegate.serving.formats.tensors import TensorInput

FILE = "probe.npz"
"""File of the model data with an array for each input, by its name."""
_OPEN = (1, 2, 8)
"""Lengths that are tried for axes of any length."""


def examples_of(folder: Path, inputs: Sequence[TensorInput]) -> list[tuple[Any, ...]]:
    """Arguments for the model, none if nothing is known of them. Raises ArtifactError for a bad file."""
    path = folder / FILE
    if path.is_file():
        return [_read(path, inputs)]
    if any(one.shape is None or one.dtype is None for one in inputs):
        return []
    random = np.random.default_rng(0)
    return [tuple(_make(one, length, random) for one in inputs) for length in _OPEN]


def _read(path: Path, inputs: Sequence[TensorInput]) -> tuple[Any, ...]:
    zip_limits.check(path)
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as found:
            return tuple(one.fit(found[one.name]) for one in inputs)
    except KeyError:
        names = ", ".join(one.name for one in inputs)
        raise ArtifactError(f"{FILE} must have an array for each input of the model: {names}") from None
    except ModelFailed as error:
        raise ArtifactError(f"{FILE} does not fit the model: {error.message}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{FILE} is not a file of numpy's arrays: {error}") from None


def _make(one: TensorInput, length: int, random: np.random.Generator) -> Any:
    """Whole numbers are 0 or 1, which most vocabularies have."""
    shape = [length if side is None else side for side in one.shape or ()]
    dtype = one.dtype or "float32"
    if dtype == "bool":
        return random.random(shape) < 0.5
    if dtype.startswith(("int", "uint")):
        return random.integers(0, 2, shape).astype(dtype)
    return random.normal(size=shape).astype("float32" if dtype == "bfloat16" else dtype)
