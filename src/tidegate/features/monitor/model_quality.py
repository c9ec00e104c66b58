"""Terms by which the predictions of a model are read, and compared with labels."""

import re
from dataclasses import dataclass
from enum import StrEnum

from tidegate.domain.errors import Invalid

_PLACE = re.compile(r"(?:[^.\[\]]+|\[\d+\])(?:\.[^.\[\]]+|\[\d+\])*")


class ProblemType(StrEnum):
    """SageMaker's words."""

    BINARY = "BinaryClassification"
    MULTICLASS = "MulticlassClassification"
    REGRESSION = "Regression"


@dataclass(frozen=True)
class QualityTerms:
    """``inference`` and ``probability``: where the predicted label and the probability are, in an answer
    (``predictions[0].label``, or the number of a column) or in a row of a data set (a column); empty: nowhere.
    ``threshold``: probabilities from it on are the label 1. ``label``: the column of a data set's labels."""

    problem: ProblemType
    inference: str = ""
    probability: str = ""
    threshold: float | None = None
    label: str = ""

    def check(self) -> "QualityTerms":
        """Raises Invalid for places that cannot be, and for two classes whose prediction is nowhere."""
        check_place(self.inference)
        check_place(self.probability)
        if self.problem is ProblemType.BINARY and not (self.inference or self.probability):
            raise Invalid(
                f"{self.problem} needs InferenceAttribute (where the predicted label is) or ProbabilityAttribute,"
                " such as 0"
            )
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise Invalid(f"ProbabilityThresholdAttribute {self.threshold:g}: give a number from 0 to 1")
        return self


def check_place(where: str) -> None:
    """Raises Invalid for what is no place; empty is none."""
    if where and not _PLACE.fullmatch(where):
        raise Invalid(f"{where!r} is no place: expected a column such as 1, or predictions[0].label")


def clean_place(where: str) -> str:
    """A place without the ``$.`` of JSONPath."""
    return where.removeprefix("$").removeprefix(".")
