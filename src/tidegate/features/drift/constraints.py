"""Reads SageMaker's constraints.json of a baseline: what a window's rows must keep. Pure."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.features.drift.column_limits import ColumnLimits

USUAL_THRESHOLD = 0.1
_MODES = ("Enabled", "Disabled")
_OVERRIDES = ("monitoringConfigOverrides", "monitoring_config_overrides")
KINDS = ("Integral", "Fractional", "String", "Unknown")


@dataclass(frozen=True)
class Constraints:
    """``least``: the smallest distance that matters, ``texts``: of columns of texts, None: the same; ``compared``:
    distributions are compared with the baseline's; ``emits``: metrics are published."""

    document: dict[str, Any]
    least: float
    texts: float | None
    compared: bool
    emits: bool
    limits: Mapping[str, ColumnLimits]


def read_constraints(content: bytes, columns: Iterable[str]) -> Constraints:
    """Read the constraints of a baseline with these columns. Raises Invalid for a document that is no
    constraints.json, belongs to other columns, or turns off all checks."""
    try:
        document = json.loads(content)
        features = {str(feature["name"]): dict(feature) for feature in document["features"]}
        common = dict(document.get("monitoring_config") or {})
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Invalid(f"this is no constraints.json of a baseline: {type(error).__name__} {error}") from None
    strange = sorted(features.keys() ^ set(columns))
    if strange:
        raise Invalid(f"its features are not those of the statistics: {', '.join(strange[:5])}")
    if not _is_on(common, "evaluate_constraints"):
        raise Invalid("its evaluate_constraints is Disabled: nothing would be checked")
    distribution = _section(common, "distribution_constraints")
    texts = distribution.get("categorical_comparison_threshold")
    return Constraints(
        document,
        _distance(distribution.get("comparison_threshold", USUAL_THRESHOLD), "comparison_threshold"),
        None if texts is None else _distance(texts, "categorical_comparison_threshold"),
        _is_on(distribution, "perform_comparison"),
        _is_on(common, "emit_metrics"),
        {name: _read_limits(name, feature, common) for name, feature in features.items()},
    )


def _read_limits(name: str, feature: dict[str, Any], common: dict[str, Any]) -> ColumnLimits:
    """Raises Invalid."""
    where = f" of feature {name!r}"
    own: dict[str, Any] = {}
    for key in _OVERRIDES:
        own |= _section(feature, key, where)
    distribution = _section(own, "distribution_constraints", where)
    kind = str(feature.get("inferred_type") or "")
    if kind not in ("", *KINDS):
        raise Invalid(f"inferred_type{where} is {kind!r}: give {', '.join(KINDS)}")
    completeness = feature.get("completeness")
    domain = _section(feature, "string_constraints", where).get("domains")
    if domain is not None and not isinstance(domain, list):
        raise Invalid(f"domains{where} is no list")
    least = distribution.get("comparison_threshold")
    merged = {**common, **own}
    non_negative = _section(feature, "num_constraints", where).get("is_non_negative", False)
    if not isinstance(non_negative, bool):
        raise Invalid(f"is_non_negative{where} is {non_negative!r}: give true or false")
    return ColumnLimits(
        None if completeness is None else _share(completeness, f"completeness{where}"),
        non_negative,
        kind,
        _share(merged.get("datatype_check_threshold", 1.0), f"datatype_check_threshold{where}"),
        None if domain is None else frozenset(str(value) for value in domain),
        _share(merged.get("domain_content_threshold", 1.0), f"domain_content_threshold{where}"),
        None if least is None else _distance(least, f"comparison_threshold{where}"),
        _is_on(distribution, "perform_comparison", where),
    )


def _section(given: Mapping[str, Any], name: str, where: str = "") -> dict[str, Any]:
    """Raises Invalid."""
    found = given.get(name)
    if found is not None and not isinstance(found, dict):
        raise Invalid(f"{name}{where} is no object")
    return found or {}


def _is_on(given: Mapping[str, Any], name: str, where: str = "") -> bool:
    """Raises Invalid."""
    mode = given.get(name, "Enabled")
    if mode not in _MODES:
        raise Invalid(f"{name}{where} is {mode!r}: give {' or '.join(_MODES)}")
    return bool(mode == "Enabled")


def _share(value: object, name: str) -> float:
    """Raises Invalid."""
    number = _number(value)
    if not 0 <= number <= 1:
        raise Invalid(f"its {name} is {value!r}: give one from 0 to 1")
    return number


def _distance(value: object, name: str) -> float:
    """Raises Invalid."""
    number = _number(value)
    if not 0 < number < 1:
        raise Invalid(f"its {name} is {value!r}: give one between 0 and 1")
    return number


def _number(value: object) -> float:
    """Return a number; NaN for a value that is none, or is too large for one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
