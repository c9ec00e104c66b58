"""SageMaker's files of a baseline: statistics.json, from which it can be read again, and constraints.json. Pure.

The sketch of a column's numbers holds the sample itself, each number with the weight 1, which is a valid KLL sketch.
"""

import math
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.rows.profile import SAMPLE, ColumnProfile, Draw, TableProfile

BUCKETS = 10
SKETCH = {"c": 0.64, "k": 2048.0}
DOMAIN = 100
"""Most different texts that become a constraint."""


def make_statistics(table: TableProfile) -> dict[str, Any]:
    features = [_feature(name, column) for name, column in table.columns.items()]
    return {"version": 0.0, "dataset": {"item_count": table.rows}, "features": features}


def make_constraints(table: TableProfile, least: float) -> dict[str, Any]:
    """``least``: the smallest distance that matters."""
    return {
        "version": 0.0,
        "features": [_constraint(name, column) for name, column in table.columns.items()],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": least,
                "comparison_method": "Robust",
            },
        },
    }


def read_statistics(document: object, draw: Draw) -> TableProfile:
    """Raises Invalid for what is not a file of statistics with sketches that hold their numbers."""
    table = TableProfile(draw)
    try:
        assert isinstance(document, dict)
        table.rows = int(document["dataset"]["item_count"])
        for feature in document["features"]:
            table.columns[str(feature["name"])] = _column(feature)
    except (AssertionError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise Invalid(f"this is no statistics.json of a baseline: {type(error).__name__} {error}") from None
    return table


def _feature(name: str, column: ColumnProfile) -> dict[str, Any]:
    common = {"num_present": column.present, "num_missing": column.missing}
    made: dict[str, Any] = {"name": name, "inferred_type": column.kind}
    if column.numeric:
        sketch = {"parameters": SKETCH, "data": [sorted(column.sample)]}
        made["numerical_statistics"] = {
            "common": common,
            "mean": column.mean,
            "sum": column.total,
            "std_dev": math.sqrt(column.squares / column.count),
            "min": column.low,
            "max": column.high,
            "distribution": {"kll": {"buckets": _buckets(column), "sketch": sketch}},
        }
    elif column.texts:
        buckets = [{"value": value, "count": count} for value, count in column.categories.most_common()]
        made["string_statistics"] = {
            "common": common,
            "distinct_count": float(len(column.categories)),
            "distribution": {"categorical": {"buckets": buckets}},
        }
    return made


def _buckets(column: ColumnProfile) -> list[dict[str, float]]:
    """Return buckets of equal width, with the counts of the sample scaled to all numbers."""
    width = (column.high - column.low) / BUCKETS
    counts = [0] * BUCKETS
    for value in column.sample:
        counts[min(BUCKETS - 1, int((value - column.low) / width)) if width else 0] += 1
    scale = column.count / len(column.sample)
    return [
        {
            "lower_bound": column.low + number * width,
            "upper_bound": column.low + (number + 1) * width,
            "count": count * scale,
        }
        for number, count in enumerate(counts)
    ]


def _constraint(name: str, column: ColumnProfile) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "inferred_type": column.kind, "completeness": column.completeness}
    if column.numeric:
        made["num_constraints"] = {"is_non_negative": column.low >= 0}
    elif column.texts and len(column.categories) <= DOMAIN and not column.many:
        made["string_constraints"] = {"domains": sorted(column.categories)}
    return made


def _column(feature: dict[str, Any]) -> ColumnProfile:
    if (found := feature.get("numerical_statistics")) is not None:
        count = int(found["common"]["num_present"])
        return ColumnProfile(
            missing=int(found["common"]["num_missing"]),
            count=count,
            total=finite(found["sum"]),
            squares=finite(found["std_dev"]) ** 2 * count,
            low=finite(found["min"]),
            high=finite(found["max"]),
            whole=feature["inferred_type"] == "Integral",
            sample=_expand(found["distribution"]["kll"]["sketch"]["data"]),
        )
    if (found := feature.get("string_statistics")) is not None:
        column = ColumnProfile(
            missing=int(found["common"]["num_missing"]), texts=int(found["common"]["num_present"])
        )
        for bucket in found["distribution"]["categorical"]["buckets"]:
            column.categories[str(bucket["value"])] = int(bucket["count"])
        column.uncounted = sum(column.categories.values()) < column.texts
        return column
    return ColumnProfile()


def finite(value: Any) -> float:
    """Return a finite number. Raises ValueError for any other: JSON may contain NaN, from which nothing differs."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} among its numbers")
    return number


def _expand(levels: list[list[float]]) -> list[float]:
    """Return numbers that are distributed as those of a sketch, in which a number of level n stands for 2^n."""
    weighted = sorted((finite(value), 2**level) for level, values in enumerate(levels) for value in values)
    total = sum(weight for _, weight in weighted)
    size = min(SAMPLE, total)
    sample: list[float] = []
    passed = 0
    for value, weight in weighted:
        passed += weight
        sample += [value] * (passed * size // total - len(sample))
    return sample
