"""Autoscaling of an endpoint that is in service: what the spec says, and nothing of tidegate's besides."""

import re
from typing import Any

from tidegate.targets.aws.client import AwsClient
from tidegate.targets.sagemaker.calls import Compiled, Params
from tidegate.targets.sagemaker.observe import pages
from tidegate.targets.sagemaker.scaling_calls import SERVICE

OWN = "tidegate-"
"""Names of policies and scheduled actions that tidegate made begin so."""


def apply_scaling(aws: AwsClient, compiled: Compiled) -> None:
    answers: dict[str, Params] = {}
    for call in compiled.scaling:
        answer = aws.call(call.service, call.operation, _filled(call.params, answers))
        if call.key:
            answers[call.key] = answer
    _remove_others(aws, compiled)


def _filled(value: Any, answers: dict[str, Params]) -> Any:
    """With members of earlier answers in place of ``${KEY.Member}``."""
    if isinstance(value, dict):
        return {name: _filled(one, answers) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, answers) for one in value]
    match = re.fullmatch(r"\$\{(\w+)\.(\w+)\}", value) if isinstance(value, str) else None
    return answers[match[1]][match[2]] if match else value


def _remove_others(aws: AwsClient, compiled: Compiled) -> None:
    for operation, listed, member, removal in (
        ("DescribeScalingPolicies", "ScalingPolicies", "PolicyName", "DeleteScalingPolicy"),
        ("DescribeScheduledActions", "ScheduledActions", "ScheduledActionName", "DeleteScheduledAction"),
    ):
        wanted = {call.params.get(member) for call in compiled.scaling}
        for where in _places(compiled):
            for page in pages(aws, SERVICE, operation, where):
                for one in page[listed]:
                    if one[member].startswith(OWN) and one[member] not in wanted:
                        aws.call(SERVICE, removal, {**where, member: one[member]})


def _places(compiled: Compiled) -> list[Params]:
    members = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    return [
        {member: call.params[member] for member in members}
        for call in compiled.scaling
        if call.operation == "RegisterScalableTarget"
    ]
