"""A deployment as a CloudFormation template (and for CDK by ``CfnInclude``).

The stack holds what AWS creates; model data must be in S3 before, so its uploads stand in the template's metadata.
"""

import re
from collections.abc import Iterator
from typing import Any

from tidegate.targets.sagemaker.calls import CompiledDeployment, Params, SagemakerCall

_TYPES = {
    "CreateModel": "AWS::SageMaker::Model",
    "CreateEndpointConfig": "AWS::SageMaker::EndpointConfig",
    "CreateEndpoint": "AWS::SageMaker::Endpoint",
    "UpdateEndpoint": "AWS::SageMaker::Endpoint",
    "PutMetricAlarm": "AWS::CloudWatch::Alarm",
    "RegisterScalableTarget": "AWS::ApplicationAutoScaling::ScalableTarget",
    "PutScalingPolicy": "AWS::ApplicationAutoScaling::ScalingPolicy",
}
_KEPT = ("CreateModel", "CreateEndpointConfig")
"""Retained when the next version replaces them: SageMaker needs those that serve, and those one may go back to."""


def render_template(compiled: CompiledDeployment) -> dict[str, Any]:
    """The template as JSON data. An update's DeploymentConfig is a property of the endpoint: CloudFormation uses it
    when the stack is updated."""
    resources: dict[str, Any] = {}
    names: dict[str, str] = {}
    for call in compiled.calls:
        if call.operation not in _TYPES:
            continue
        logical = _logical_id(call, resources)
        names[call.key or logical] = logical
        resources[logical] = _resource(call)
    _connect(compiled, resources, names)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Endpoint {compiled.endpoint}, rendered by tidegate ({compiled.digest}).",
        "Metadata": {
            "tidegate": {
                "uploads": [
                    {"file": each.path, "to": f"s3://{each.bucket}/{each.key}"} for each in compiled.uploads
                ],
                "notes": list(compiled.notes),
                "refusals": list(compiled.refusals),
            }
        },
        "Resources": resources,
        "Outputs": {"EndpointName": {"Value": compiled.endpoint}},
    }


def _logical_id(call: SagemakerCall, taken: dict[str, Any]) -> str:
    kind = _TYPES[call.operation].rsplit("::", 1)[1]
    own = next((str(value) for key, value in call.params.items() if key in ("AlarmName", "PolicyName")), "")
    base = kind + "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", own))
    number = 1
    name = base
    while name in taken:
        number += 1
        name = f"{base}{number}"
    return name


def _resource(call: SagemakerCall) -> dict[str, Any]:
    params = dict(call.params)
    if call.operation == "UpdateEndpoint":
        params.pop("RetainDeploymentConfig", None)
    made: dict[str, Any] = {"Type": _TYPES[call.operation], "Properties": params}
    if call.operation in _KEPT:
        made |= {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Retain"}
    return made


def _connect(compiled: CompiledDeployment, resources: dict[str, Any], names: dict[str, str]) -> None:
    """References between the resources, so that CloudFormation keeps the order; and the scheduled actions."""
    models = {
        body["Properties"]["ModelName"]: logical
        for logical, body in resources.items()
        if body["Type"] == _TYPES["CreateModel"]
    }
    configs = [logical for logical, body in resources.items() if body["Type"] == _TYPES["CreateEndpointConfig"]]
    endpoints = [logical for logical, body in resources.items() if body["Type"] == _TYPES["CreateEndpoint"]]
    alarms = [
        logical
        for logical, body in resources.items()
        if body["Type"] == _TYPES["PutMetricAlarm"] and body["Properties"]["AlarmName"] in compiled.guards
    ]
    for body in resources.values():
        properties = body["Properties"]
        match body["Type"]:
            case "AWS::SageMaker::EndpointConfig":
                body["Properties"] = _with_models(properties, models)
            case "AWS::SageMaker::Endpoint":
                properties["EndpointConfigName"] = {"Fn::GetAtt": [configs[0], "EndpointConfigName"]}
                if alarms and "DeploymentConfig" in properties:
                    body["DependsOn"] = alarms
            case "AWS::ApplicationAutoScaling::ScalableTarget":
                body["DependsOn"] = endpoints
                if actions := list(_scheduled(compiled)):
                    properties["ScheduledActions"] = actions
            case "AWS::ApplicationAutoScaling::ScalingPolicy":
                body["DependsOn"] = ["ScalableTarget"]
            case "AWS::CloudWatch::Alarm" if "AlarmActions" in properties:
                properties["AlarmActions"] = [_reference(text, names) for text in properties["AlarmActions"]]


def _with_models(properties: Params, models: dict[str, str]) -> Params:
    changed = dict(properties)
    for member in ("ProductionVariants", "ShadowProductionVariants"):
        if member in changed:
            changed[member] = [
                {**variant, "ModelName": {"Fn::GetAtt": [models[variant["ModelName"]], "ModelName"]}}
                for variant in changed[member]
            ]
    return changed


def _reference(text: str, names: dict[str, str]) -> Any:
    match = re.fullmatch(r"\$\{(\w+)\.PolicyARN\}", text)
    return {"Ref": names[match[1]]} if match else text


def _scheduled(compiled: CompiledDeployment) -> Iterator[Params]:
    for call in compiled.scaling:
        if call.operation == "PutScheduledAction":
            yield {
                member: call.params[member]
                for member in ("ScheduledActionName", "Schedule", "ScalableTargetAction")
            }
