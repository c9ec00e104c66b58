"""statistics.json of a model's quality, in SageMaker's shape. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.features.monitor.binary import confusion_of_two, curves
from tidegate.features.monitor.measures import Measures
from tidegate.features.monitor.model_quality import ProblemType
from tidegate.features.monitor.multiclass import confusion_of
from tidegate.features.monitor.pairs import Pair
from tidegate.features.monitor.thresholds import SECTIONS

NOT_A_NUMBER = "NaN"
"""As SageMaker writes it, since JSON has none."""


def make_quality_statistics(
    problem: ProblemType,
    pairs: Sequence[Pair],
    measured: Measures,
    spread: Measures,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """``spread``: the standard deviation of each measure; ``about``: further members of ``dataset``."""
    values: dict[str, Any] = {
        name: {"value": _say(value), "standard_deviation": _say(spread.get(name, math.nan))}
        for name, value in measured.items()
    }
    if problem is ProblemType.MULTICLASS:
        values = {"confusion_matrix": confusion_of(pairs), **values}
    elif problem is ProblemType.BINARY:
        values = {"confusion_matrix": confusion_of_two(pairs), **values}
        if "auc" in measured:
            rates, precisions = curves(pairs)
            values["receiver_operating_characteristic_curve"] = {
                "false_positive_rates": [false for false, _ in rates],
                "true_positive_rates": [true for _, true in rates],
            }
            values["precision_recall_curve"] = {
                "precisions": [precision for _, precision in precisions],
                "recalls": [recall for recall, _ in precisions],
            }
    return {
        "version": 0.0,
        "dataset": {"item_count": len(pairs), **(about or {})},
        f"{SECTIONS[problem]}_metrics": values,
    }


def _say(value: float) -> float | str:
    return value if math.isfinite(value) else NOT_A_NUMBER
