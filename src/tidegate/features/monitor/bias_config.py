"""Reads an analysis_config.json: which groups are compared, and which outcomes are good for somebody. Pure."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.domain.errors import Invalid

IGNORED = ("dataset_type", "methods", "report", "version")
"""Members that change nothing: requests say of what type they are, and all measures are computed."""
KNOWN = ("label_values_or_threshold", "facet", "group_variable", "headers", "label", *IGNORED)
MOST_FACETS = 20
Scalar = str | float


@dataclass(frozen=True)
class Facet:
    """``values``: those of the group that is compared with all others, or one threshold; empty: each value is
    compared in turn."""

    name: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class BiasConfig:
    """``headers``: of the columns of a request; empty: its rows have names of their own. ``positive``: outcomes that
    are good, or one threshold; ``group``: a column in whose groups facets are compared, too."""

    label: str
    positive: tuple[Scalar, ...]
    facets: tuple[Facet, ...]
    headers: tuple[str, ...] = ()
    group: str = ""


def read_config(content: bytes) -> BiasConfig:
    """Raises Invalid."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise Invalid("it is no JSON") from None
    if not isinstance(document, dict):
        raise Invalid("it is no object")
    strange = sorted(document.keys() - set(KNOWN))
    if strange:
        raise Invalid(f"{strange[0]} is not supported: leave it out")
    headers = document.get("headers") or []
    if not isinstance(headers, list) or not all(isinstance(one, str) for one in headers):
        raise Invalid("headers is no list of names")
    label = _column(document.get("label", "label"), headers, "label")
    group = document.get("group_variable")
    return BiasConfig(
        label,
        _values(document.get("label_values_or_threshold"), "label_values_or_threshold", 1),
        _facets(document.get("facet"), headers),
        tuple(one for one in headers if one != label),
        "" if group is None else _column(group, headers, "group_variable"),
    )


def _facets(given: Any, headers: Sequence[str]) -> tuple[Facet, ...]:
    """Raises Invalid."""
    found = [given] if isinstance(given, dict) else given
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise Invalid("facet is no list of objects with name_or_index")
    if len(found) > MOST_FACETS:
        raise Invalid(f"there are {len(found)} facets: give {MOST_FACETS} at most")
    return tuple(
        Facet(
            _column(one.get("name_or_index"), headers, "name_or_index"),
            _values(one.get("value_or_threshold", []), "value_or_threshold", 0),
        )
        for one in found
    )


def _column(given: Any, headers: Sequence[str], what: str) -> str:
    """Raises Invalid."""
    if isinstance(given, int) and not isinstance(given, bool):
        if not 0 <= given < len(headers):
            raise Invalid(f"{what} is {given}, and there are {len(headers)} headers")
        return headers[given]
    if not isinstance(given, str) or not given:
        raise Invalid(f"{what} is {given!r}: give the name of a column")
    if headers and what != "label" and given not in headers:
        raise Invalid(f"{what} is {given!r}, which is not among the headers")
    return given


def _values(given: Any, what: str, least: int) -> tuple[Scalar, ...]:
    """Raises Invalid."""
    found = given if isinstance(given, list) else [given]
    plain = all(isinstance(one, str) or _is_number(one) for one in found)
    if not plain or len(found) < least:
        raise Invalid(f"{what} is {str(given)[:200]}: give a list of values, or of one threshold")
    return tuple(float(one) if isinstance(one, (int, float)) else one for one in found)


def _is_number(given: Any) -> bool:
    """JSON may say NaN, beyond which nothing is."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return False
    try:
        return math.isfinite(given)
    except OverflowError:
        return False


def name_value(value: Scalar) -> str:
    return value if isinstance(value, str) else f"{value:.12g}"


def column_of(row: Mapping[str, Any], name: str) -> Any:
    """Raises Invalid: no request has the column."""
    if name not in row:
        raise Invalid(f"requests have no column {name!r}: they have {', '.join(list(row)[:8])}")
    return row[name]
