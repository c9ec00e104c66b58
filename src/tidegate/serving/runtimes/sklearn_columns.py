"""Infers the column types of a fitted scikit-learn model: numbers, text or booleans.

scikit-learn stores the names of the columns that it was fitted with, but not their types. The first step that reads a
column shows its type: encoders store categories, imputers their fill values, vectorizers read text. Other columns
count as numbers, unless ``MODEL_COLUMNS`` in the model's environment declares them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tidegate.domain.errors import ArtifactError
from tidegate.serving.formats.column_values import EXACT
from tidegate.serving.formats.typed_rows import TypedInput
from tidegate.serving.runtimes.categories import read_object

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
_PASSED_ON = TypedInput("", np.dtype(np.float64), truths=True)
"""A column that a column transformer passes through: numbers, or truth values, of which it makes numbers."""
_UNUSED = TypedInput("", np.dtype(object), None, unused=True)
"""A column that a column transformer drops."""
_INSIDE = ("best_estimator_", "regressor_", "estimator_", "_preprocessor")
"""Attributes of meta-estimators with the one estimator that gets the columns."""
Found = dict[int, TypedInput]
"""Column (from 0) -> its type, without columns of unknown type."""


def inputs(model: Any, environment: Mapping[str, str]) -> list[TypedInput] | None:
    """The columns, or None if all are numbers that float64 holds. Raises Invalid for the environment, and
    ArtifactError if it names a column that the model does not have."""
    names, count = names_of(model), count_of(model) or 1
    found = _read_types(model, list(range(count)))
    for name, kind in declared_types(environment).items():
        at = names.index(name) if name in names else int(name) if name.isdecimal() and not names else -1
        if not 0 <= at < count:
            raise ArtifactError(f"{VARIABLE} has {name!r}, which is no column of the model")
        found[at] = TYPES[kind]
    if all(one.dtype.kind in "fi" and not one.exact and not one.truths for one in found.values()):
        return None
    labels = names or list(map(str, range(count)))
    return [replace(found.get(at, NUMBER), name=label) for at, label in enumerate(labels)]


def names_of(model: Any) -> list[str]:
    """The names of the columns that the model was fitted with; empty if it does not have them."""
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        return [str(name) for name in names]
    whole = _readers_of_all(model)
    return names_of(whole[0]) if whole else []


def count_of(model: Any) -> int | None:
    """The number of its columns; None if it does not say."""
    count = getattr(model, "n_features_in_", None)
    if count is not None:
        return int(count)
    if hasattr(model, "X_thresholds_"):  # IsotonicRegression, which takes one
        return 1
    whole = _readers_of_all(model)
    return count_of(whole[0]) if whole else None


def _readers_of_all(model: Any) -> list[Any]:
    return [one for one, places in _inner(model) if places is None] or _steps(model)[:1]


def declared_types(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the type of each column that the environment declares: column -> type. Raises Invalid."""
    expected = f'of types ({", ".join(TYPES)}), such as {{"land": "text"}}'
    return read_object(environment, VARIABLE, lambda kind: kind in TYPES, expected)


def reads_text_alone(model: Any) -> bool:
    """Whether the model takes a list of texts instead of a table: its first step is a vectorizer."""
    inner = [one for one, _ in _inner(model)]
    if inner:
        return all(map(reads_text_alone, inner))
    steps = _steps(model)
    if steps:
        return reads_text_alone(steps[0])
    parts = getattr(model, "transformer_list", ())
    return _is_vectorizer(model) or bool(parts and all(reads_text_alone(one) for _, one in parts))


def _steps(model: Any) -> list[Any]:
    return [step for _, step in getattr(model, "steps", ()) if step not in (None, "passthrough")]


def _inner(model: Any) -> list[tuple[Any, Sequence[int] | None]]:
    """The fitted estimators to which a meta-estimator gives its columns, and which columns; None: all of them."""
    calibrated = getattr(model, "calibrated_classifiers_", None)
    if calibrated:
        return [(one.estimator, None) for one in calibrated]
    several = getattr(model, "estimators_", None)
    if several is not None and type(model).__module__.startswith("sklearn."):
        return _of_several(model, several)
    for name in _INSIDE:
        one = getattr(model, name, None)
        if one is not None and hasattr(one, "get_params"):
            chosen = getattr(model, "support_", None) if name == "estimator_" else None
            return [(one, None if chosen is None else np.flatnonzero(chosen).tolist())]
    return []


def _of_several(model: Any, several: Any) -> list[tuple[Any, Sequence[int] | None]]:
    places = getattr(model, "estimators_features_", None)
    fitted = [
        (one, None if places is None else places[at].tolist())
        for at, one in enumerate(several.flat if isinstance(several, np.ndarray) else several)
        if hasattr(one, "get_params")
    ]
    return [*fitted, (_READS_ALL, None)] if getattr(model, "passthrough", False) is True else fitted


class _ReadsAll:
    """The stand-in for the final estimator of a stack with ``passthrough``, which reads all columns as numbers."""


_READS_ALL = _ReadsAll()


def _read_types(model: Any, columns: Sequence[int]) -> Found:
    """The types that ``model`` shows of its columns; ``columns``: their positions in the whole table."""
    inner = _inner(model)
    if inner:
        return _merge((at, _read_types(one, at)) for one, at in _place_inner(inner, columns))
    if hasattr(model, "steps"):
        return _of_steps(_steps(model), columns)
    if hasattr(model, "transformers_"):
        return _of_transformers(model, columns)
    if hasattr(model, "transformer_list"):
        return _merge((columns, _read_types(one, columns)) for _, one in model.transformer_list if one != "drop")
    if _is_vectorizer(model):
        return dict.fromkeys(columns, _TEXT)
    if hasattr(model, "categories_"):
        return {at: _of_categories(values) for at, values in zip(columns, model.categories_, strict=False)}
    if hasattr(model, "statistics_"):
        absent = None if model.missing_values is None else np.nan
        text = TypedInput("", np.dtype(object), absent)
        return {at: text for at, value in zip(columns, model.statistics_, strict=False) if isinstance(value, str)}
    return {}


def _place_inner(
    inner: Sequence[tuple[Any, Sequence[int] | None]], columns: Sequence[int]
) -> Iterator[tuple[Any, Sequence[int]]]:
    """Yield each inner model with its columns. Where models select columns, all columns were read as numbers for the
    selection, including those that are left out of it."""
    for one, places in inner:
        yield one, columns if places is None else [columns[at] for at in places]
    if any(places is not None for _, places in inner):
        yield _READS_ALL, columns


def _of_steps(steps: Sequence[Any], columns: Sequence[int]) -> Found:
    """The types that successive steps show, as long as they keep the columns: an imputer fills missing values, and
    the encoder after it knows the categories."""
    found: Found = {}
    for step in steps:
        seen = _read_types(step, columns)
        if not hasattr(step, "statistics_"):
            filled = any(one.dtype.kind == "O" for one in found.values())
            for at, one in seen.items():
                if not (one.unused and step is not steps[0]):  # the imputer before it has read it
                    absent = found[at].absent if at in found and filled else one.absent
                    found[at] = replace(one, absent=absent)
            return found
        found |= seen
        if step.add_indicator or len(step.get_feature_names_out()) != len(columns):
            return found
    return found


def _of_transformers(model: Any, columns: Sequence[int]) -> Found:
    given = getattr(model, "_transformer_to_input_indices", {})
    parts = []
    for name, one, _ in model.transformers_:
        places = [columns[at] for at in given.get(name, ())]
        if one == "drop":
            parts.append((places, dict.fromkeys(places, _UNUSED)))
        elif _passes_on(one):
            parts.append((places, dict.fromkeys(places, _PASSED_ON)))
        else:
            parts.append((places, _read_types(one, places)))
    return _merge(parts)


def _passes_on(one: Any) -> bool:
    plain = type(one).__name__ == "FunctionTransformer" and getattr(one, "func", one) is None
    return one == "passthrough" or plain or (hasattr(one, "steps") and not _steps(one))


def _merge(parts: Iterable[tuple[Sequence[int], Found]]) -> Found:
    """Merge what the readers of some columns show: text if one of them reads text, and else exact if one needs it so;
    unused if all of them drop it. A reader that shows nothing of one of its columns reads a number."""
    found: Found = {}
    for columns, part in parts:
        for at in columns:
            one = part.get(at, NUMBER)
            if at not in found or _rank(one) > _rank(found[at]):
                found[at] = one
    return {at: one for at, one in found.items() if one is not NUMBER}


def _rank(one: TypedInput) -> int:
    if one.unused:
        return 0
    if one.dtype.kind == "O":
        return 5
    if one.exact:
        return 4
    return 2 if one.truths else 1 if one is NUMBER else 3


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
