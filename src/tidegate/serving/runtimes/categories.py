"""The categories that a model was trained with, where its file does not say them for certain.

XGBoost 3.2 measures text in characters and cuts it in bytes when it takes categories from pandas
(``_data_utils.npstr_to_arrow_strarr``): of a list with a character beyond ASCII, some categories are cut in the wrong
place and the end of the list is lost. LightGBM keeps the lists of pandas' category columns, but not which columns
they are of. What cannot be proven is refused when the model is loaded, and ``MODEL_CATEGORIES`` in its environment
may say it: a JSON object, column name -> list. What it says is compared with the file.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tidegate.domain.errors import ArtifactError, Invalid

VARIABLE = "MODEL_CATEGORIES"
Values = tuple[str, ...] | tuple[int | float, ...]


def given(environment: Mapping[str, str]) -> dict[str, Values]:
    """Column name -> its categories, in the order of their codes. Raises Invalid."""
    text = environment.get(VARIABLE)
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Invalid(f"{VARIABLE} is not JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(values, list) and values for values in found.values()):
        raise Invalid(f'{VARIABLE} must be an object such as {{"land": ["DE", "FR"]}}')
    return {name: values_of(values) for name, values in found.items()}


def values_of(categories: Sequence[Any]) -> Values:
    """All text or all numbers; of a list of both, a request sends text."""
    if all(isinstance(one, int | float) for one in categories):
        return tuple(categories)
    return tuple(str(one) for one in categories)


# --- XGBoost ---


def of_bytes(column: str, data: bytes, ends: Sequence[int], said: Values | None) -> tuple[str, ...]:
    """The text categories of an XGBoost column: ``data`` is cut at ``ends``, which begin with 0. ``said``: what the
    environment says they are. Raises ArtifactError."""
    pieces = [data[begin:end] for begin, end in pairwise(ends)]
    if said is not None:
        texts = [str(one) for one in said]
        by_characters = list(map(len, texts)) == list(map(len, pieces)) and _joined(texts).startswith(data)
        if not by_characters and [text.encode() for text in texts] != pieces:
            raise ArtifactError(f"{VARIABLE} does not agree with the model's categories of {column!r}")
        return tuple(texts)
    # All before the first character beyond ASCII is cut rightly, so that one is always among the bytes.
    if not data.isascii():
        shown = ", ".join(repr(piece.decode("utf-8", "backslashreplace")) for piece in pieces[:4])
        raise ArtifactError(
            f"the categories of {column!r} are not all ASCII, and XGBoost may have cut them in the wrong place when"
            f" the model was saved (it has {shown}); give them in {VARIABLE}, such as"
            f' {{"{column}": ["first", "second"]}}, or train with ASCII categories'
        )
    return tuple(piece.decode() for piece in pieces)


def _joined(texts: Sequence[str]) -> bytes:
    return "".join(texts).encode()


# --- LightGBM ---


def assigned(
    names: Sequence[str], lists: Sequence[Sequence[Any]], infos: Sequence[str], categorical: Sequence[int]
) -> dict[int, Values]:
    """Column (from 0) -> the list of categories that is its. ``lists`` are in the order of their columns; ``infos``:
    what the model says of each column's values, ``[least:most]``, codes such as ``-1:0:2``, or ``none``;
    ``categorical``: columns that splits compare as categories, be they of pandas' or of whole numbers. Raises
    ArtifactError where several columns may be meant."""
    if not lists:
        return {}
    columns = [_Seen(info, at in categorical) for at, info in enumerate(infos)]
    for fits in (_Seen.shows, _Seen.allows):
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


def agreed(names: Sequence[str], lists: Sequence[Sequence[Any]], said: Mapping[str, Values]) -> dict[int, Values]:
    """The same by what the environment says. Raises ArtifactError where the model says otherwise."""
    of = {names.index(name): values for name, values in said.items() if name in names}
    found = dict(sorted(of.items()))
    if len(of) != len(said) or list(found.values()) != [values_of(values) for values in lists]:
        raise ArtifactError(f"{VARIABLE} does not agree with the model's lists of categories and its columns")
    return found


class _Seen:
    """What a column's values were in training."""

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
        """Whether it looks like a column of that many categories: as a rule each of them is there."""
        if self.categorical:
            return self.allows(count)
        return self.range == (0, count - 1)

    def allows(self, count: int) -> bool:
        """Whether it may be one."""
        if self.codes is not None:
            return self.codes <= set(range(count))
        return self.range is None or (self.range[0] >= 0 and self.range[1] <= count - 1)


def _misread(values: Sequence[Any], column: _Seen) -> bool:
    """Whether a whole number that the column had in training would be taken for the category of another code, if the
    column were one of whole numbers and not the list's."""
    codes = column.codes or set()
    return any(str(value) == str(code) and at != code for at, value in enumerate(values) for code in codes)


def _leftmost(possible: Sequence[Sequence[bool]]) -> list[int] | None:
    """For each list the first column that may be its, after those of the lists before."""
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
