"""Recovers the categories that a model was trained with, if its file is ambiguous.

XGBoost 3.2 measures text in characters and cuts it in bytes when it takes categories from pandas
(``_data_utils.npstr_to_arrow_strarr``): if a list has a character beyond ASCII, some categories are cut in the wrong
place and the end of the list is lost. LightGBM stores the lists of pandas' category columns, but not their columns. A
model whose categories cannot be proven is rejected at load, unless ``MODEL_CATEGORIES`` in its environment declares
them: a JSON object, column name -> list, which is checked against the file.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tidegate.domain.errors import ArtifactError, Invalid

VARIABLE = "MODEL_CATEGORIES"
Values = tuple[str, ...] | tuple[int | float, ...]


def read_object(
    environment: Mapping[str, str], variable: str, fits: Callable[[object], bool], expected: str
) -> dict[str, Any]:
    """The JSON object in a variable; empty without one. Raises Invalid unless each value ``fits``."""
    text = environment.get(variable)
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Invalid(f"{variable} is not JSON: {error}") from None
    if not isinstance(found, dict) or not all(map(fits, found.values())):
        raise Invalid(f"{variable} must be an object {expected}")
    return found


def declared_categories(environment: Mapping[str, str]) -> dict[str, Values]:
    """Column name -> its categories, in the order of their codes. Raises Invalid."""

    def fits(values: object) -> bool:
        return isinstance(values, list) and bool(values)

    found = read_object(environment, VARIABLE, fits, 'such as {"land": ["DE", "FR"]}')
    return {name: values_of(values) for name, values in found.items()}


def values_of(categories: Sequence[Any]) -> Values:
    """The categories as all text or all numbers; as text if a list has both."""
    if all(isinstance(one, int | float) for one in categories):
        return tuple(categories)
    return tuple(str(one) for one in categories)


# --- XGBoost ---


def of_bytes(column: str, data: bytes, ends: Sequence[int], declared: Values | None) -> tuple[str, ...]:
    """The text categories of an XGBoost column: ``data`` is cut at ``ends``, which begin with 0. ``declared``:
    those that the environment declares. Raises ArtifactError."""
    pieces = [data[begin:end] for begin, end in pairwise(ends)]
    if declared is not None:
        texts = [str(one) for one in declared]
        by_characters = list(map(len, texts)) == list(map(len, pieces)) and _join(texts).startswith(data)
        if not by_characters and [text.encode() for text in texts] != pieces:
            raise ArtifactError(f"{VARIABLE} does not agree with the model's categories of {column!r}")
        return tuple(texts)
    # Everything before the first character beyond ASCII is cut correctly, so that character is in the bytes.
    if not data.isascii():
        shown = ", ".join(repr(piece.decode("utf-8", "backslashreplace")) for piece in pieces[:4])
        raise ArtifactError(
            f"the categories of {column!r} are not all ASCII, and XGBoost may have cut them in the wrong place when"
            f" the model was saved (it has {shown}); give them in {VARIABLE}, such as"
            f' {{"{column}": ["first", "second"]}}, or train with ASCII categories'
        )
    return tuple(piece.decode() for piece in pieces)


def _join(texts: Sequence[str]) -> bytes:
    return "".join(texts).encode()


# --- LightGBM ---


def assign_lists(
    names: Sequence[str], lists: Sequence[Sequence[Any]], infos: Sequence[str], categorical: Sequence[int]
) -> dict[int, Values]:
    """Assign LightGBM's lists of categories to columns: column (from 0) -> list. ``lists`` are in the order of their
    columns; ``infos``: the model's summary of each column's values, ``[least:most]``, codes such as ``-1:0:2``, or
    ``none``; ``categorical``: columns that splits compare as categories, pandas' or whole numbers. Raises
    ArtifactError if the assignment is ambiguous."""
    if not lists:
        return {}
    columns = [_TrainingValues(info, at in categorical) for at, info in enumerate(infos)]
    for fits in (_TrainingValues.shows, _TrainingValues.allows):
        possible = [[fits(column, len(values)) for column in columns] for values in lists]
        first, last = _leftmost(possible), _rightmost(possible)
        if first is None or last is None:
            continue
        usual = sorted(categorical)
        harmless = len(usual) == len(lists) and all(possible[k][at] for k, at in enumerate(usual))
        harmless = harmless and not any(map(_misread, lists, (columns[at] for at in usual)))
        if first == last or harmless:
            chosen = first if first == last else usual
            return {at: values_of(values) for at, values in zip(chosen, lists, strict=True)}
        break
    raise ArtifactError(
        "the model has lists of categories, but does not say which columns they are of (an ordered category, or"
        f" whole numbers as categories, are among its {len(names)} columns); give them in {VARIABLE}, such as"
        f' {{"{names[0]}": ["first", "second"]}}'
    )


def match_declared(
    names: Sequence[str], lists: Sequence[Sequence[Any]], declared: Mapping[str, Values]
) -> dict[int, Values]:
    """The same as the environment declares. Raises ArtifactError if the model contradicts it."""
    of = {names.index(name): values for name, values in declared.items() if name in names}
    found = dict(sorted(of.items()))
    if len(of) != len(declared) or list(found.values()) != [values_of(values) for values in lists]:
        raise ArtifactError(f"{VARIABLE} does not agree with the model's lists of categories and its columns")
    return found


class _TrainingValues:
    """The values of a column in training."""

    def __init__(self, info: str, categorical: bool) -> None:
        self.categorical = categorical
        self.codes: set[int] | None = None
        self.range: tuple[float, float] | None = None
        if info.startswith("["):
            least, _, most = info.strip("[]").partition(":")
            self.range = float(least), float(most)
        elif info != "none":
            self.codes = {int(code) for code in info.split(":")} - {-1}

    def shows(self, count: int) -> bool:
        """Whether it looks like a column with so many categories: usually each of them occurs."""
        if self.categorical:
            return self.allows(count)
        return self.range == (0, count - 1)

    def allows(self, count: int) -> bool:
        """Whether it may be a column with so many categories."""
        if self.codes is not None:
            return self.codes <= set(range(count))
        return self.range is None or (self.range[0] >= 0 and self.range[1] <= count - 1)


def _misread(values: Sequence[Any], column: _TrainingValues) -> bool:
    """Whether a whole number from training would be read as the category of another code, if the column held whole
    numbers and not this list."""
    codes = column.codes or set()
    return any(str(value) == str(code) and at != code for at, value in enumerate(values) for code in codes)


def _leftmost(possible: Sequence[Sequence[bool]]) -> list[int] | None:
    """For each list the first possible column, after those of the lists before it."""
    found: list[int] = []
    for row in possible:
        begin = found[-1] + 1 if found else 0
        at = next((at for at in range(begin, len(row)) if row[at]), None)
        if at is None:
            return None
        found.append(at)
    return found


def _rightmost(possible: Sequence[Sequence[bool]]) -> list[int] | None:
    found = _leftmost([row[::-1] for row in possible[::-1]])
    return None if found is None else [len(possible[0]) - 1 - at for at in reversed(found)]
