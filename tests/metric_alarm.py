"""The alarm that tests of alarms, guards and rollouts begin with."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from tidegate.domain.alarm import Alarm, ComparisonOperator


def metric_alarm(configured_at: datetime, **changes: Any) -> Alarm:
    """``errors``: more than 5 % of the requests to variant main of endpoint fraud fail in one period of 10 seconds.
    ``changes`` are members of Alarm."""
    alarm = Alarm(
        name="errors",
        namespace="AWS/SageMaker",
        metric="Invocation5XXErrors",
        dimensions={"EndpointName": "fraud", "VariantName": "main"},
        statistic="Average",
        period=10,
        evaluation_periods=1,
        datapoints_to_alarm=1,
        threshold=0.05,
        comparison=ComparisonOperator.GREATER,
        configured_at=configured_at,
    )
    return replace(alarm, **changes)
