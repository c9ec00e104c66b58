"""Constraints of a model's quality: made of a baseline, read from a constraints.json, and checked. Pure.

SageMaker suggests the baseline's own values as thresholds, and reports each value beyond them; half of all windows
of a model that has not changed would then be reported. Here a suggested threshold is widened by the error of the
baseline, and a window violates one if it is beyond it by more than the window's own error explains.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.features.monitor.measures import MEASURE, Measures
from tidegate.features.monitor.model_quality import ProblemType
from tidegate.statistics.significance import upper_binomial

LESS, GREATER = "LessThanThreshold", "GreaterThanThreshold"
SURE = 2.58
"""Standard errors: one measure of 200 is further off by chance, on the bad side."""
CHANCE = 0.005
"""The same as a probability."""
FEWEST = 10
"""Pairs, such as those with the label 1, below which a measure of them cannot be said."""
SHARES = frozenset(
    {
        "recall",
        "precision",
        "accuracy",
        "weighted_recall",
        "true_positive_rate",
        "true_negative_rate",
        "false_positive_rate",
        "false_negative_rate",
    }
)
"""Measures that are a share of pairs."""
SECTIONS = {
    ProblemType.BINARY: "binary_classification",
    ProblemType.MULTICLASS: "multiclass_classification",
    ProblemType.REGRESSION: "regression",
}
AMOUNTS = frozenset(("mae", "mse", "rmse", "r2"))
CONSTRAINED = {
    ProblemType.BINARY: {
        **dict.fromkeys(("recall", "precision", "accuracy", "true_positive_rate", "true_negative_rate"), LESS),
        **dict.fromkeys(("false_positive_rate", "false_negative_rate"), GREATER),
        **dict.fromkeys(("auc", "f0_5", "f1", "f2"), LESS),
    },
    ProblemType.MULTICLASS: dict.fromkeys(
        ("accuracy", "weighted_recall", "weighted_precision", "weighted_f0_5", "weighted_f1", "weighted_f2"), LESS
    ),
    ProblemType.REGRESSION: {**dict.fromkeys(("mae", "mse", "rmse"), GREATER), "r2": LESS},
}


@dataclass(frozen=True)
class Threshold:
    """``operator``: when it is violated, in SageMaker's words."""

    value: float
    operator: str


@dataclass(frozen=True)
class ThresholdCheck:
    """``violations``: in SageMaker's shape; ``unsaid``: measures with a threshold that cannot be said; ``close``:
    those that are beyond theirs by no more than chance explains."""

    violations: tuple[dict[str, str], ...] = ()
    unsaid: tuple[str, ...] = ()
    close: tuple[str, ...] = ()


def suggest_constraints(
    problem: ProblemType, measured: Measures, errors: Measures, sizes: Mapping[str, int]
) -> dict[str, Any]:
    """``sizes``: of how many pairs each measure is."""
    made: dict[str, dict[str, Any]] = {}
    for name, operator in CONSTRAINED[problem].items():
        value = measured.get(name, math.nan)
        if math.isfinite(value):
            room = SURE * _error_of(name, value, errors, sizes)
            far = value - room if operator == LESS else value + room
            if problem is not ProblemType.REGRESSION:
                far = min(1.0, max(0.0, far))
            made[name] = {"threshold": far, "comparison_operator": operator}
    return {"version": 0.0, f"{SECTIONS[problem]}_constraints": made}


def read_thresholds(content: bytes, problem: ProblemType) -> tuple[dict[str, Any], dict[str, Threshold]]:
    """The document, and name of a measure -> its threshold. Raises Invalid for what is no constraints.json of such a
    problem."""
    section = f"{SECTIONS[problem]}_constraints"
    try:
        document = json.loads(content)
        found = document[section]
        made = {
            str(name): Threshold(_number(one["threshold"]), str(one["comparison_operator"]))
            for name, one in found.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Invalid(
            f"this is no constraints.json of {problem}, which has {section}: {type(error).__name__} {error}"
        ) from None
    if not made:
        raise Invalid(f"its {section} has no threshold: nothing would be checked")
    names = {*MEASURE[problem]([]), "auc", "au_prc"} if problem is ProblemType.BINARY else MEASURE[problem]([])
    for name, one in made.items():
        if name not in names:
            raise Invalid(f"its {section} has {name!r}, which is not measured")
        if not math.isfinite(one.value):
            raise Invalid(f"the threshold of {name} is no number")
        if one.operator not in (LESS, GREATER):
            raise Invalid(f"the comparison_operator of {name} is {one.operator!r}: give {LESS} or {GREATER}")
    return document, made


def check_thresholds(
    thresholds: Mapping[str, Threshold], measured: Measures, errors: Measures, sizes: Mapping[str, int]
) -> ThresholdCheck:
    """``sizes``: of how many pairs each measure is."""
    violations, unsaid, close = list[dict[str, str]](), list[str](), list[str]()
    for name, one in sorted(thresholds.items()):
        value = measured.get(name, math.nan)
        error = _error_of(name, value, errors, sizes)
        beyond = one.value - value if one.operator == LESS else value - one.value
        if not math.isfinite(value) or sizes.get(name, 0) < FEWEST:
            unsaid.append(name)
        elif beyond > 0 and _is_sure(name, one, value, error, sizes[name]):
            said = f"Metric {name} with {value:.6g} +/- {error:.2g} was {one.operator} '{one.value:.6g}'"
            violations.append({"constraint_check_type": one.operator, "description": said, "metric_name": name})
        elif beyond > 0:
            close.append(name)
    return ThresholdCheck(tuple(violations), tuple(unsaid), tuple(close))


def _is_sure(name: str, one: Threshold, value: float, error: float, size: int) -> bool:
    """Whether chance does not explain a value beyond its threshold: exactly for shares, by the standard error for the
    others."""
    if name not in SHARES:
        return abs(one.value - value) > SURE * error
    count = round(value * size)
    if one.operator == LESS:
        return upper_binomial(size - count, size, 1 - one.value) <= CHANCE
    return upper_binomial(count, size, one.value) <= CHANCE


def _error_of(name: str, value: float, errors: Measures, sizes: Mapping[str, int]) -> float:
    """The standard error. Drawing again from pairs that are all alike finds none: that of what is between 0 and 1 is
    at least that of a share with two more of both outcomes (Agresti and Coull 1998)."""
    error = errors.get(name, math.nan)
    error = error if math.isfinite(error) else 0.0
    if name in AMOUNTS or not 0 <= value <= 1 or name not in sizes:
        return error
    size = sizes[name] + 4
    share = (value * sizes[name] + 2) / size
    return max(error, math.sqrt(share * (1 - share) / size))


def _number(value: object) -> float:
    """NaN for what is none, and for what is too large for one."""
    try:
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.nan
