"""Reads of an account that several parts need."""

from collections.abc import Iterator
from typing import Any

from tidegate.targets.aws.client import AwsClient
from tidegate.targets.aws.errors import ResourceMissing
from tidegate.targets.aws.ownership import parse_tags
from tidegate.targets.sagemaker.calls import Params, RunningConfig, ServingVariant
from tidegate.targets.sagemaker.scaling_calls import NAMESPACE, SERVICE, resource_id


def describe(aws: AwsClient, operation: str, params: Params, service: str = "sagemaker") -> Params | None:
    """Describe a resource by one call. None: it does not exist, or is not visible yet."""
    try:
        return aws.call(service, operation, params)
    except ResourceMissing:
        return None


def describe_endpoint(aws: AwsClient, name: str) -> Params | None:
    return describe(aws, "DescribeEndpoint", {"EndpointName": name})


def read_tags(aws: AwsClient, arn: str) -> dict[str, str]:
    tags: dict[str, str] = {}
    for page in pages(aws, "sagemaker", "ListTags", {"ResourceArn": arn}):
        tags |= parse_tags(page["Tags"])
    return tags


def pages(aws: AwsClient, service: str, operation: str, params: Params) -> Iterator[Params]:
    token: Any = None
    while True:
        page = aws.call(service, operation, params | ({"NextToken": token} if token else {}))
        yield page
        token = page.get("NextToken")
        if not token:
            return


def scalable_targets(aws: AwsClient, endpoint: str, variants: list[str]) -> list[Params]:
    ids = [resource_id(endpoint, name) for name in variants]
    if not ids:
        return []
    params = {"ServiceNamespace": NAMESPACE, "ResourceIds": ids}
    return [
        one for page in pages(aws, SERVICE, "DescribeScalableTargets", params) for one in page["ScalableTargets"]
    ]


def read_serving(aws: AwsClient, description: Params) -> RunningConfig | None:
    """Read what the endpoint runs; None while it has nothing (its creation is in progress or has failed)."""
    config = describe(aws, "DescribeEndpointConfig", {"EndpointConfigName": description["EndpointConfigName"]})
    shown = {one["VariantName"]: one for one in description.get("ProductionVariants", ())}
    if not shown:
        return None
    types = {
        one["VariantName"]: one.get("InstanceType", "") for one in (config or {}).get("ProductionVariants", ())
    }
    scaled: dict[str, list[str]] = {}
    for target in scalable_targets(aws, description["EndpointName"], list(shown)):
        scaled.setdefault(target["ResourceId"].rsplit("/", 1)[1], []).append(target["ScalableDimension"])
    variants = tuple(
        ServingVariant(
            name,
            types.get(name, ""),
            int(one.get("DesiredInstanceCount", one.get("CurrentInstanceCount", 0))),
            "CurrentServerlessConfig" in one,
            tuple(scaled.get(name, ())),
        )
        for name, one in shown.items()
    )
    return RunningConfig(description["EndpointConfigName"], variants)
