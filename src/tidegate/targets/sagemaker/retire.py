"""Removes what is no longer needed, and only what tidegate created: its tags are read before each deletion.

Never the config, the models or the data that serve: SageMaker needs them to update, to scale out and to patch.
"""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from tidegate.domain.errors import InProgress
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.aws.errors import ResourceMissing
from tidegate.targets.aws.ownership import ACCOUNT, is_own, parse_tags
from tidegate.targets.sagemaker.alarm_calls import abort_alarm_name
from tidegate.targets.sagemaker.calls import Params
from tidegate.targets.sagemaker.limits import content_name
from tidegate.targets.sagemaker.observe import describe, describe_endpoint, pages, read_tags, scalable_targets
from tidegate.targets.sagemaker.scaling_calls import deregister

GONE_WAIT = timedelta(minutes=30)
POLL = 30.0


def own_configs(aws: AwsClient, endpoint: str) -> list[tuple[str, datetime]]:
    """Names and times of creation of the configs that tidegate made for the endpoint, newest first."""
    params = {"NameContains": _stem(endpoint), "SortBy": "CreationTime", "SortOrder": "Descending"}
    found = [
        one for page in pages(aws, "sagemaker", "ListEndpointConfigs", params) for one in page["EndpointConfigs"]
    ]
    found.sort(key=lambda one: one["CreationTime"], reverse=True)
    return [
        (one["EndpointConfigName"], one["CreationTime"])
        for one in found
        if is_own(read_tags(aws, one["EndpointConfigArn"]), ACCOUNT, endpoint)
    ]


def collect(aws: AwsClient, endpoint: str, keep: int) -> Iterator[str]:
    """Remove versions older than the last ``keep`` besides what serves or is pending. A line for each."""
    there = describe_endpoint(aws, endpoint)
    if there is None or "PendingDeploymentSummary" in there or there["EndpointStatus"] != "InService":
        return  # unknown, or in between: nothing is removed
    serving = there["EndpointConfigName"]
    others = [name for name, _ in own_configs(aws, endpoint) if name != serving]
    for name in others[keep:]:
        yield from _remove_config(aws, endpoint, name)
    kept = {serving, *others[:keep]}
    yield from _remove_models(aws, endpoint, kept)


def delete_endpoint(
    aws: AwsClient, endpoint: str, there: Params, say: Callable[[str], None], wait: bool
) -> list[str]:
    """Delete an endpoint. Raises InProgress while AWS does not allow it."""
    if there["EndpointStatus"] in ("Creating", "Updating", "RollingBack", "SystemUpdating"):
        raise InProgress(
            f"{endpoint} is {there['EndpointStatus']}, and SageMaker deletes nothing that is changing: abort its"
            " update, or wait (a creation that hangs ends by itself, after a day at most)"
        )
    variants = [one["VariantName"] for one in there.get("ProductionVariants", ())]
    for target in scalable_targets(aws, endpoint, variants):
        variant = target["ResourceId"].rsplit("/", 1)[1]
        call = deregister(endpoint, variant, target["ScalableDimension"], "before its endpoint goes")
        aws.call(call.service, call.operation, dict(call.params))
    if there["EndpointStatus"] != "Deleting":
        say(f"DeleteEndpoint {endpoint}")
        aws.call("sagemaker", "DeleteEndpoint", {"EndpointName": endpoint})
    if not wait:
        return [f"configs, models and alarms of {endpoint}: delete again with --wait"]
    _wait_until_gone(aws, endpoint)
    for line in remove_all(aws, endpoint):
        say(line)
    return [f"model data of {endpoint} in S3 stays: other endpoints may serve with it"]


def remove_all(aws: AwsClient, endpoint: str) -> Iterator[str]:
    """Configs, models and alarms that were created for an endpoint that is gone. A line for each."""
    if describe_endpoint(aws, endpoint) is not None:
        return
    for name, _ in own_configs(aws, endpoint):
        yield from _remove_config(aws, endpoint, name)
    yield from _remove_models(aws, endpoint, set())
    yield from _remove_alarms(aws, endpoint, [f"{endpoint}-", f"tidegate-from-zero-{endpoint}"])


def remove_failed(aws: AwsClient, endpoint: str) -> None:
    """An endpoint whose creation failed serves nothing, and nothing else can be done with it."""
    aws.call("sagemaker", "DeleteEndpoint", {"EndpointName": endpoint})
    _wait_until_gone(aws, endpoint)


def _wait_until_gone(aws: AwsClient, endpoint: str) -> None:
    start = aws.clock.now()
    while describe_endpoint(aws, endpoint) is not None:
        if aws.clock.now() - start > GONE_WAIT:
            raise InProgress(f"{endpoint} is still being deleted after 30 minutes: delete again later")
        aws.pause(POLL)


def _stem(endpoint: str) -> str:
    """Return the text that the names of the endpoint's configs and models contain."""
    return content_name(endpoint, None).rsplit("-", 1)[0]


def _remove_config(aws: AwsClient, endpoint: str, name: str) -> Iterator[str]:
    yield from _remove_alarms(aws, endpoint, [f"{name}-", abort_alarm_name(name)])
    _try_call(aws, "DeleteEndpointConfig", {"EndpointConfigName": name})
    yield f"DeleteEndpointConfig {name}"


def _remove_models(aws: AwsClient, endpoint: str, kept_configs: set[str]) -> Iterator[str]:
    used: set[str] = set()
    for name in kept_configs:
        config = describe(aws, "DescribeEndpointConfig", {"EndpointConfigName": name})
        if config is None:
            return  # what it uses is not known
        for member in ("ProductionVariants", "ShadowProductionVariants"):
            used |= {one.get("ModelName", "") for one in config.get(member, ())}
    params = {"NameContains": _stem(endpoint)}
    listed = [one for page in pages(aws, "sagemaker", "ListModels", params) for one in page["Models"]]
    for one in listed:
        if one["ModelName"] not in used and is_own(read_tags(aws, one["ModelArn"]), ACCOUNT, endpoint):
            _try_call(aws, "DeleteModel", {"ModelName": one["ModelName"]})
            yield f"DeleteModel {one['ModelName']}"


def _remove_alarms(aws: AwsClient, endpoint: str, prefixes: list[str]) -> Iterator[str]:
    for prefix in prefixes:
        for page in pages(aws, "cloudwatch", "DescribeAlarms", {"AlarmNamePrefix": prefix}):
            for alarm in page["MetricAlarms"]:
                answer = aws.call("cloudwatch", "ListTagsForResource", {"ResourceARN": alarm["AlarmArn"]})
                if is_own(parse_tags(answer["Tags"]), ACCOUNT, endpoint):
                    aws.call("cloudwatch", "DeleteAlarms", {"AlarmNames": [alarm["AlarmName"]]})
                    yield f"DeleteAlarms {alarm['AlarmName']}"


def _try_call(aws: AwsClient, operation: str, params: Params) -> None:
    with contextlib.suppress(ResourceMissing):
        aws.call("sagemaker", operation, params)
