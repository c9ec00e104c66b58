"""Compare the calls of a deployment with what the endpoint at SageMaker runs now, member by member."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tidegate.ports.direct import DirectChange
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.sagemaker.calls import CompiledDeployment, Params
from tidegate.targets.sagemaker.observe import describe, describe_endpoint, pages
from tidegate.targets.sagemaker.scaling_calls import SERVICE

_NAMES = ("EndpointConfigName", "ModelName", "Tags")
"""Names follow from the content, and differ whenever something else does."""
_OF = "ScalableDimension"
_KEYED = {"ProductionVariants": "VariantName", "ShadowProductionVariants": "VariantName", "Environment": ""}


def find_changes(aws: AwsClient, compiled: CompiledDeployment) -> list[DirectChange]:
    """Find the changes of the config, its models, the alarms and the autoscaling. Everything is new where there is no
    endpoint. Scheduled peaks, whose times move with every deployment, are left out. Reads only."""
    there = describe_endpoint(aws, compiled.endpoint)
    config = _describe(aws, "EndpointConfig", there["EndpointConfigName"]) if there is not None else {}
    found = list(compare(compiled.config.params, config, ""))
    runs = {
        one["VariantName"]: one["ModelName"] for one in config.get("ProductionVariants", ()) if "ModelName" in one
    }
    models = {str(call.params["ModelName"]): call.params for call in compiled.models}
    for variant in compiled.config.params.get("ProductionVariants", ()):
        wanted = models.get(variant.get("ModelName"), {})
        name = runs.get(variant["VariantName"])
        found += compare(wanted, _describe(aws, "Model", name) if name else {}, f"models.{variant['VariantName']}")
    serving = str(there["EndpointConfigName"]) if there is not None else ""
    found += _alarm_changes(aws, compiled, serving)
    found += _scaling_changes(aws, compiled)
    return found


def _alarm_changes(aws: AwsClient, compiled: CompiledDeployment, serving: str) -> Iterator[DirectChange]:
    """An alarm of the spec has the config's name in its own and in its dimensions: it is that of ``serving``, the
    config that serves, now."""
    for call in compiled.alarms:
        name = str(call.params["AlarmName"])
        if name == compiled.abort_alarm:
            continue
        short = name.removeprefix(f"{compiled.config_name}-")
        now = name.replace(compiled.config_name, serving, 1) if serving else name
        seen = aws.call("cloudwatch", "DescribeAlarms", {"AlarmNames": [now]})["MetricAlarms"] if serving else []
        before = _without_config(seen[0], serving) if seen else {}
        yield from compare(_without_config(call.params, compiled.config_name), before, f"alarms.{short}")


def _without_config(alarm: Mapping[str, Any], config: str) -> Params:
    kept = {name: value for name, value in alarm.items() if name not in ("AlarmName", "Tags")}
    dimensions = {one["Name"]: one["Value"] for one in alarm.get("Dimensions", ())}
    return kept | {"Dimensions": {name: value for name, value in dimensions.items() if value != config}}


def _scaling_changes(aws: AwsClient, compiled: CompiledDeployment) -> Iterator[DirectChange]:
    for call in compiled.before:
        yield DirectChange(f"autoscaling.{call.params['ResourceId']}", "registered", "")
    listings = {
        "RegisterScalableTarget": ("DescribeScalableTargets", "ScalableTargets", "ResourceId"),
        "PutScalingPolicy": ("DescribeScalingPolicies", "ScalingPolicies", "PolicyName"),
    }
    for call in compiled.scaling:
        if call.operation not in listings:
            continue
        operation, listed, key = listings[call.operation]
        where: Params = {"ServiceNamespace": call.params["ServiceNamespace"]}
        if operation == "DescribeScalableTargets":
            where["ResourceIds"] = [call.params["ResourceId"]]
        else:
            where["ResourceId"] = call.params["ResourceId"]
        seen = [one for page in pages(aws, SERVICE, operation, where) for one in page[listed]]
        before: Params = next(
            (one for one in seen if all(one[each] == call.params[each] for each in (key, _OF))), {}
        )
        yield from compare(call.params, before, f"autoscaling.{call.params[key]}")


def _describe(aws: AwsClient, kind: str, name: str) -> Params:
    return describe(aws, f"Describe{kind}", {f"{kind}Name": name}) or {}


def compare(wanted: Any, there: Any, path: str) -> Iterator[DirectChange]:
    """Members of ``wanted`` that are others in ``there``, and variants and variables that are only there. What else a
    description adds does not count: AWS shows defaults where the request had nothing."""
    if isinstance(wanted, Mapping):
        seen = there if isinstance(there, Mapping) else {}
        own = [name for name in wanted if name not in _NAMES]
        extra = [name for name in seen if name not in wanted] if path.rpartition(".")[2] in _KEYED else []
        for name in (*own, *extra):
            yield from compare(wanted.get(name), seen.get(name), f"{path}.{name}".strip("."))
    elif isinstance(wanted, list) and (key := _KEYED.get(path.rpartition(".")[2])):
        yield from compare(_index_by(wanted, key), _index_by(there or [], key), path)
    elif wanted != there and wanted not in ({}, []):
        yield DirectChange(path, _text(there), _text(wanted))


def _index_by(entries: Sequence[Params], key: str) -> dict[str, Params]:
    return {str(one[key]): {name: value for name, value in one.items() if name != key} for one in entries}


def _text(value: Any) -> str:
    return "" if value is None else str(value)
