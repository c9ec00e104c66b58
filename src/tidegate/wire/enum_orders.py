"""The order in which AWS's messages list an enum's values, if it differs from the service model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes long to import, and a server without calls does without
    from botocore.model import Shape


_ORDERS: dict[tuple[str, str], Sequence[str]] = {
    ("application-autoscaling", "PolicyType"): ("PredictiveScaling", "StepScaling", "TargetTrackingScaling"),
    ("cloudwatch", "StateValue"): ("INSUFFICIENT_DATA", "ALARM", "OK"),
}
"""Clients compare these messages literally."""


def enum_order(service: str, shape: Shape) -> Sequence[str]:
    """Values of an enum in AWS's order; in the model's order if the model has values that are not listed here."""
    values: list[str] = shape.metadata["enum"]
    known = _ORDERS.get((service, shape.name), values)
    return known if set(known) == set(values) else values
