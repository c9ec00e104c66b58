"""Selectable inference of AWS's XGBoost container: ``SAGEMAKER_INFERENCE_OUTPUT`` names the keys of an answer.

The keys of an objective and their values are those of that container. A key of another objective is NaN in every
answer, as there; an unknown key is an error at the start.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tidegate.domain.errors import ArtifactError, Invalid
from tidegate.serving.contract.invocation import Answer, ModelFailed
from tidegate.serving.formats import recordio
from tidegate.serving.formats.content_types import CSV, JSON, JSON_LINES
from tidegate.serving.formats.json_encoding import encode_json

VARIABLE = "SAGEMAKER_INFERENCE_OUTPUT"
TYPES = (JSON, CSV, JSON_LINES, recordio.TYPE)

LABEL, LABELS, SCORE = "predicted_label", "labels", "predicted_score"
PROBABILITY, PROBABILITIES = "probability", "probabilities"
RAW, RAWS = "raw_score", "raw_scores"
KEYS = (LABEL, LABELS, PROBABILITY, PROBABILITIES, RAW, RAWS, SCORE)
"""In their order in JSON."""

_REGRESSIONS = ("reg:squarederror", "reg:logistic", "reg:gamma", "reg:absoluteerror", "reg:tweedie")
_CERTAIN = frozenset({LABEL, LABELS, PROBABILITY, PROBABILITIES, RAW, RAWS})
_UNCERTAIN = frozenset({LABEL, LABELS, RAW, RAWS})
VALID: dict[str, frozenset[str]] = {
    **dict.fromkeys(_REGRESSIONS, frozenset({SCORE})),
    "binary:logistic": _CERTAIN,
    "binary:logitraw": _UNCERTAIN,
    "binary:hinge": _UNCERTAIN,
    "multi:softmax": _UNCERTAIN,
    "multi:softprob": _CERTAIN,
}
"""Objective -> the keys that it has values for."""
_LABEL_OF: dict[str, Callable[[Any], Any]] = {
    "binary:logistic": lambda value: int(value > 0.5),
    "binary:logitraw": lambda value: int(value > 0),
    "multi:softprob": lambda value: max(range(len(value)), key=value.__getitem__),
}
"""The label of other objectives is the prediction itself."""


class _Selection:
    """Builds the answers of one model."""

    def __init__(self, keys: tuple[str, ...], objective: str, classes: int) -> None:
        self._keys = keys
        self._objective = objective
        self._labels = [0, 1] if objective.startswith("binary:") else list(range(classes))
        self._valid = VALID[objective]

    def row(self, prediction: Any) -> dict[str, Any]:
        """The keys and values of one row. ``prediction``: a number, or a list of them for several classes."""
        most, all_of = prediction, prediction
        if isinstance(prediction, list):
            most = max(prediction)
        else:
            all_of = [1.0 - prediction, prediction]
        label = _LABEL_OF.get(self._objective, lambda value: value)
        values: dict[str, Any] = {
            LABELS: self._labels,
            **dict.fromkeys((PROBABILITY, RAW), most),
            **dict.fromkeys((PROBABILITIES, RAWS), all_of),
            SCORE: prediction,
        }
        if LABEL in self._valid:
            values[LABEL] = label(prediction)
        wanted = [key for key in KEYS if key in self._keys]
        return {key: values[key] if key in self._valid else float("nan") for key in wanted}

    def write(self, predictions: Any, form: str) -> Answer:
        """Encode an answer. Raises ModelFailed (406)."""
        rows = [self.row(each) for each in predictions.tolist()]
        if form == JSON:
            return Answer(encode_json({"predictions": rows}), JSON)
        if form == JSON_LINES:
            return Answer(b"".join(encode_json(row) + b"\n" for row in rows), JSON_LINES)
        if form == CSV:
            return Answer("".join(self._line(row) for row in rows).encode(), CSV)
        if form == recordio.TYPE:
            return Answer(recordio.write(rows), form)
        accepted = ", ".join(TYPES)
        raise ModelFailed(406, f"Cannot answer as {form!r} where {VARIABLE} is set; accept one of {accepted}.")

    def _line(self, row: Mapping[str, Any]) -> str:
        return (
            ",".join(f'"{row[key]}"' if isinstance(row[key], list) else str(row[key]) for key in self._keys) + "\n"
        )


def select_output(environment: Mapping[str, str], objective: str, classes: int) -> _Selection | None:
    """None if the environment selects nothing. Raises Invalid, and ArtifactError for another objective."""
    words = environment.get(VARIABLE, "").replace(" ", "").lower()
    if not words:
        return None
    keys = tuple(words.split(","))
    for key in keys:
        if key not in KEYS:
            raise Invalid(f"{VARIABLE} is a list of {', '.join(KEYS)}, not {key!r}")
    if objective not in VALID:
        raise ArtifactError(f"{VARIABLE} does not go with a model of the objective {objective}")
    strange = [key for key in keys if key not in VALID[objective]]
    if strange:
        known = ", ".join(key for key in KEYS if key in VALID[objective])
        print(f"{VARIABLE}: {objective} has no {', '.join(strange)}, which is NaN; it has {known}", flush=True)
    return _Selection(keys, objective, classes)
