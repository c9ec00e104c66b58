"""Clarify's analysis.json: made of what was measured, read as a baseline, and checked. Pure."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from tidegate.domain.errors import Invalid
from tidegate.features.monitor.bias_metrics import DESCRIPTIONS, POST, PRE, Measure
from tidegate.features.monitor.thresholds import FEWEST, ThresholdCheck
from tidegate.statistics.significance import select_discoveries

STAGES = {PRE: "Pre-training", POST: "Post-Training"}
"""Section of analysis.json -> SageMaker's word for the dimension ``BiasStage``."""
FALSE_RATE = 0.01
"""Of what is reported, the part that is expected to be chance."""
_INTERVAL = re.compile(r"(\([-+.e\d]+), [-+.e\d]+\]", re.ASCII)
Baseline = dict[tuple[str, str, str, str], float]
"""Section, facet, value and measure -> its value."""


class FacetComparison(NamedTuple):
    """One facet against all others. ``value``: as analysis.json has it; ``errors``: standard errors."""

    facet: str
    value: str
    measured: dict[str, dict[str, Measure]]
    errors: dict[str, dict[str, float]]


def read_baseline(content: bytes) -> Baseline:
    """Raises Invalid for what is no analysis.json."""
    made: Baseline = {}
    try:
        document = json.loads(content)
        for stage in STAGES:
            for facet, entries in document.get(stage, {}).get("facets", {}).items():
                for entry in entries:
                    for one in entry["metrics"]:
                        if one.get("value") is not None:
                            key = (stage, str(facet), str(entry["value_or_threshold"]), str(one["name"]))
                            made[key] = float(one["value"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise Invalid(f"this is no analysis.json of bias: {type(error).__name__} {error}") from None
    if not _measured(made) or not all(map(math.isfinite, made.values())):
        raise Invalid(
            "this is no analysis.json of bias: it has no measure that is made here, or one that is no number"
        )
    return made


def _measured(baseline: Baseline) -> Baseline:
    return {key: value for key, value in baseline.items() if key[-1] in DESCRIPTIONS[key[0]]}


def not_measured(baseline: Baseline) -> list[str]:
    """Return the measures of the baseline that are not made here."""
    return sorted({key[-1] for key in baseline.keys() - _measured(baseline).keys()})


def check_baseline(baseline: Baseline, compared: Sequence[FacetComparison]) -> ThresholdCheck:
    """A measure violates its baseline if it is further from where nobody is preferred, by more than chance
    explains, as if the baseline were of as many cases; false discoveries of all measures together are controlled."""
    violations, chances, unsaid = list[dict[str, str]](), list[float](), list[str]()
    found = {(one.facet, _lower_group(one.value)): one for one in compared}
    for (stage, facet, value, name), before in sorted(_measured(baseline).items()):
        one = found.get((facet, _lower_group(value)))
        measure = one.measured[stage].get(name) if one is not None else None
        error = one.errors[stage].get(name, math.nan) if one is not None else math.nan
        if one is None or measure is None or measure.size < FEWEST or not math.isfinite(measure.value + error):
            unsaid.append(f"{name} of {facet} {value}")
            continue
        ideal = float(name == "DI")
        further = abs(measure.value - ideal) - abs(before - ideal)
        chances.append(_chance(further, error))
        said = f"Value {measure.value:.6g} does not meet the constraint requirement: it was {before:.6g} before"
        violations.append(
            {
                "facet": facet,
                "facet_value": one.value,
                "metric_name": name,
                "constraint_check_type": "bias_drift_check",
                "description": said,
            }
        )
    chosen = select_discoveries(chances, FALSE_RATE)
    return ThresholdCheck(tuple(one for one, sure in zip(violations, chosen, strict=True) if sure), tuple(unsaid))


def _chance(further: float, error: float) -> float:
    """Return the probability of a difference of two samples that is at least so large, by its normal distribution."""
    if further <= 0:
        return 1.0
    return math.erfc(further / (2 * error)) / 2 if error else 0.0


def _lower_group(value: str) -> str:
    """The group without the largest value of the window, which an interval names: (40, 93] is also (40, 88]."""
    found = _INTERVAL.fullmatch(value)
    return found[1] if found else value


def make_analysis(label: str, positive: str, compared: Sequence[FacetComparison]) -> dict[str, Any]:
    """Make an analysis in Clarify's format; a measure without a value is null."""
    document: dict[str, Any] = {"version": "1.0"}
    for stage, names in DESCRIPTIONS.items():
        facets: dict[str, list[Any]] = {}
        for one in compared:
            metrics = [
                {"name": name, "description": names[name], "value": _finite(measure.value)}
                for name, measure in sorted(one.measured[stage].items())
            ]
            facets.setdefault(one.facet, []).append({"value_or_threshold": one.value, "metrics": metrics})
        document[stage] = {"label": label, "label_value_or_threshold": positive, "facets": facets}
    return document


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
