"""In which order AWS's messages list the values of an enum, where that is not the order of the service's model."""

from collections.abc import Sequence

from botocore.model import Shape

_ORDERS: dict[tuple[str, str], Sequence[str]] = {
    ("application-autoscaling", "PolicyType"): ("PredictiveScaling", "StepScaling", "TargetTrackingScaling"),
    ("cloudwatch", "StateValue"): ("INSUFFICIENT_DATA", "ALARM", "OK"),
}
"""Clients compare these messages word by word."""


def enum_order(service: str, shape: Shape) -> Sequence[str]:
    """The values of an enum. Where the model has others than are known here, its own order counts."""
    values: list[str] = shape.metadata["enum"]
    known = _ORDERS.get((service, shape.name), values)
    return known if set(known) == set(values) else values
