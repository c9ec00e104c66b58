"""Pairs of a label and a prediction, as the kind of problem needs them. Pure."""

from enum import StrEnum
from typing import Any

from tidegate.features.monitor.model_quality import ProblemType, QualityTerms
from tidegate.rows.label_lines import read_number

Pair = tuple[Any, Any, float | None]
"""Label, prediction, and probability of the label 1 where there is one. Numbers of a regression, 0 and 1 of two
classes, names of several classes."""
HALF = 0.5
"""The threshold of probabilities, where none is given."""


class UnusedReason(StrEnum):
    """Why a capture, a label or a row is not used."""

    BROKEN = "broken line"
    NO_ID = "no id"
    NO_TIME = "no time"
    NO_PREDICTION = "answer without the prediction"
    NO_LABEL = "label that cannot be read"
    CLASS = "label that is neither 0 nor 1"
    OTHER_COUNT = "more or fewer labels than answers"
    NO_FEATURES = "request without the columns"
    TOO_LONG = "answer that is too long"
    AMBIGUOUS = "id of several predictions"
    REPEATED = "label that was there already"
    CONTRADICTORY = "labels that contradict each other"
    BEFORE = "label before its prediction"
    UNKNOWN = "label of an unknown id"


def make_pair(terms: QualityTerms, label: Any, inference: Any, probability: Any) -> Pair | UnusedReason:
    """``inference`` and ``probability``: what is at their places; None: nothing."""
    if terms.problem is ProblemType.REGRESSION:
        return _pair_numbers(label, inference)
    if terms.problem is ProblemType.BINARY:
        return _pair_two_classes(terms, label, inference, probability)
    return _pair_classes(label, inference, probability)


def _pair_numbers(label: Any, inference: Any) -> Pair | UnusedReason:
    value, predicted = read_number(label), read_number(inference)
    if value is None:
        return UnusedReason.NO_LABEL
    return UnusedReason.NO_PREDICTION if predicted is None else (value, predicted, None)


def _pair_two_classes(terms: QualityTerms, label: Any, inference: Any, probability: Any) -> Pair | UnusedReason:
    if label is None:
        return UnusedReason.NO_LABEL
    value = _read_class(label)
    if value is None:
        return UnusedReason.CLASS
    if isinstance(probability, list) and len(probability) == 2:
        probability = probability[1]
    chance = read_number(probability)
    if terms.probability and (chance is None or not 0 <= chance <= 1):
        return UnusedReason.NO_PREDICTION
    if not terms.probability:
        chance = None
    if terms.inference or chance is None:
        predicted = _read_class(inference)
    else:
        predicted = int(chance >= (HALF if terms.threshold is None else terms.threshold))
    return UnusedReason.NO_PREDICTION if predicted is None else (value, predicted, chance)


def _pair_classes(label: Any, inference: Any, probability: Any) -> Pair | UnusedReason:
    value = _name_class(label)
    if value is None:
        return UnusedReason.NO_LABEL
    if inference is None and isinstance(probability, list):
        chances = [read_number(one) for one in probability]
        known = [chance for chance in chances if chance is not None]
        inference = chances.index(max(known)) if known and len(known) == len(chances) else None
    predicted = _name_class(inference)
    return UnusedReason.NO_PREDICTION if predicted is None else (value, predicted, None)


def _read_class(value: Any) -> int | None:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return int(value.strip().lower() == "true")
    number = read_number(value)
    return int(number) if number in (0, 1) else None


def _name_class(value: Any) -> str | None:
    """Numbers that are equal are one class, however they are written."""
    if isinstance(value, bool):
        return str(value).lower()
    number = read_number(value)
    if number is not None:
        return f"{number:.12g}"
    return value.strip() or None if isinstance(value, str) else None
