"""A constraint of the baseline that rows violate, in SageMaker's words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    feature_name: str
    constraint_check_type: str
    description: str
