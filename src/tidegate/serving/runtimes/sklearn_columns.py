"""Infers the column types of a fitted scikit-learn model: numbers, text or booleans.

scikit-learn stores the names of the columns that it was fitted with, but not their types. The first step that reads a
column shows its type: encoders store categories, imputers their fill values, vectorizers read text. Other columns
count as numbers, unless ``MODEL_COLUMNS`` in the model's environment declares them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.formats.column_values import EXACT
from tidegate.serving.formats.typed_rows import TypedInput

VARIABLE = "MODEL_COLUMNS"
NUMBER = TypedInput("", np.dtype(np.float64))
_TEXT = TypedInput("", np.dtype(object))
TYPES = {
    "number": NUMBER,
    "whole": TypedInput("", np.dtype(np.int64), exact=True),
    "truth": TypedInput("", np.dtype(np.bool_)),
    "text": TypedInput("", np.dtype(object), absent=np.nan),
}
"""Words in the variable."""
_INSIDE = ("best_estimator_", "regressor_", "estimator_", "_preprocessor")
"""Attributes of meta-estimators with the estimator that gets the columns unchanged."""
Found = dict[int, TypedInput]
"""Column (from 0) -> its type, without columns of unknown type."""


def inputs(model: Any, environment: Mapping[str, str]) -> list[TypedInput] | None:
    """The columns, or None if all are numbers that float64 holds. Raises Invalid for the environment, and
    ArtifactError if it names a column that the model does not have."""
    names = [str(name) for name in getattr(model, "feature_names_in_", ())]
    count = len(names) or int(getattr(model, "n_features_in_", None) or 1)
    found = _seen(model, list(range(count)))
    for name, kind in declared_types(environment).items():
        at = names.index(name) if name in names else int(name) if name.isdecimal() and not names else -1
        if not 0 <= at < count:
            raise ArtifactError(f"{VARIABLE} has {name!r}, which is no column of the model")
        found[at] = TYPES[kind]
    if all(one.dtype.kind in "fi" and not one.exact for one in found.values()):
        return None
    labels = names or list(map(str, range(count)))
    return [
        TypedInput(label, one.dtype, one.absent, one.texts, one.exact)
        for label, one in zip(labels, (found.get(at, NUMBER) for at in range(count)), strict=True)
    ]


def declared_types(environment: Mapping[str, str]) -> dict[str, str]:
    """Column -> its type, as the environment declares. Raises Invalid."""
    text = environment.get(VARIABLE)
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Invalid(f"{VARIABLE} is not JSON: {error}") from None
    if not isinstance(found, dict) or not all(kind in TYPES for kind in found.values()):
        raise Invalid(f'{VARIABLE} must be an object of types ({", ".join(TYPES)}), such as {{"land": "text"}}')
    return found


def reads_text_alone(model: Any) -> bool:
    """Whether the model takes a list of texts instead of a table: its first step is a vectorizer."""
    step = first_step(model)
    return _is_vectorizer(step) or bool(
        hasattr(step, "transformer_list") and all(reads_text_alone(one) for _, one in step.transformer_list)
    )


def first_step(model: Any) -> Any:
    """The estimator that gets the columns unchanged."""
    for name in _INSIDE:
        inner = getattr(model, name, None)
        if inner is not None and hasattr(inner, "get_params"):
            return first_step(inner)
    steps = [step for _, step in getattr(model, "steps", ()) if step not in (None, "passthrough")]
    return first_step(steps[0]) if steps else model


def _seen(model: Any, columns: Sequence[int]) -> Found:
    """The types that ``model`` shows of its columns; ``columns``: their positions in the whole table."""
    for name in _INSIDE:
        inner = getattr(model, name, None)
        if inner is not None and hasattr(inner, "get_params"):
            return _seen(inner, columns)
    if hasattr(model, "steps"):
        return _of_steps([step for _, step in model.steps if step not in (None, "passthrough")], columns)
    if hasattr(model, "transformers_"):
        return _of_transformers(model, columns)
    if hasattr(model, "transformer_list"):
        return _merge(_seen(one, columns) for _, one in model.transformer_list)
    if _is_vectorizer(model):
        return dict.fromkeys(columns, _TEXT)
    if hasattr(model, "categories_"):
        return {at: _of_categories(values) for at, values in zip(columns, model.categories_, strict=False)}
    if hasattr(model, "statistics_"):
        absent = None if model.missing_values is None else np.nan
        text = TypedInput("", np.dtype(object), absent)
        return {at: text for at, value in zip(columns, model.statistics_, strict=False) if isinstance(value, str)}
    return {}


def _of_steps(steps: Sequence[Any], columns: Sequence[int]) -> Found:
    """The types that successive steps show, as long as they keep the columns: an imputer fills missing values, and
    the encoder after it knows the categories."""
    found: Found = {}
    for step in steps:
        seen = _seen(step, columns)
        if not hasattr(step, "statistics_"):
            filled = any(one.dtype.kind == "O" for one in found.values())
            for at, one in seen.items():
                absent = found[at].absent if at in found and filled else one.absent
                found[at] = TypedInput("", one.dtype, absent, one.texts, one.exact)
            return found
        found |= seen
        if step.add_indicator or len(step.get_feature_names_out()) != len(columns):
            return found
    return found


def _of_transformers(model: Any, columns: Sequence[int]) -> Found:
    given = getattr(model, "_transformer_to_input_indices", {})
    parts = [
        _seen(one, [columns[at] for at in given.get(name, ())])
        for name, one, _ in model.transformers_
        if not isinstance(one, str)
    ]
    return _merge(parts)


def _merge(parts: Any) -> Found:
    """Merge findings: a column is text if one of its readers reads text, and else exact if one needs it so."""
    found: Found = {}
    for part in parts:
        for at, one in part.items():
            if at not in found or one.dtype.kind == "O" or (one.exact and found[at].dtype.kind != "O"):
                found[at] = one
    return found


def _of_categories(values: Any) -> TypedInput:
    kind = values.dtype.kind
    if kind in "fiub":
        exact = kind in "iuf" and any(abs(value) >= EXACT for value in values.tolist())
        dtype = np.dtype({"b": np.bool_, "i": np.int64, "u": np.int64}.get(kind, np.float64))
        return TypedInput("", dtype, exact=exact)
    texts = [value for value in values.tolist() if isinstance(value, str)]
    missing = [value for value in values.tolist() if value is None or value != value]
    if len(texts) + len(missing) != len(values):
        raise ArtifactError(
            "an encoder of the model has categories of text and of numbers in one column, which no request can tell"
            " apart; train with one type, or serve it by a script (tidegate/script)"
        )
    return TypedInput("", np.dtype(object), None if None in missing else np.nan, frozenset(texts))


def _is_vectorizer(model: Any) -> bool:
    return hasattr(model, "build_analyzer") or hasattr(model, "build_tokenizer")
