"""Every served operation: service -> operation name -> operation."""

from tidegate.host.features import features
from tidegate.wire import (
    cloudwatch_alarms,
    cloudwatch_data,
    cloudwatch_metrics,
    logs,
    logs_filtered,
    runtime,
    sagemaker_configs,
    sagemaker_endpoints,
    sagemaker_models,
    sagemaker_tags,
    sts,
)
from tidegate.wire.operation import Operations

CORE: dict[str, Operations] = {
    "sagemaker": {
        **sagemaker_models.OPERATIONS,
        **sagemaker_configs.OPERATIONS,
        **sagemaker_endpoints.OPERATIONS,
        **sagemaker_tags.OPERATIONS,
    },
    "sagemaker-runtime": runtime.OPERATIONS,
    "cloudwatch": {
        **cloudwatch_alarms.OPERATIONS,
        **cloudwatch_metrics.OPERATIONS,
        **cloudwatch_data.OPERATIONS,
    },
    "application-autoscaling": {},
    "logs": {**logs.OPERATIONS, **logs_filtered.OPERATIONS},
    "sts": sts.OPERATIONS,
}


def build_table() -> dict[str, Operations]:
    """The operations of the core, and those of the features that are on. Imports the code of all of them."""
    found = {service: dict(operations) for service, operations in CORE.items()}
    for one in features():
        for service, references in one.feature.operations.items():
            for reference in references:
                found.setdefault(service, {}).update(one.load(reference))
    return found


TABLE = build_table()


def find_switched_off(service: str, operation: str) -> str | None:
    """The name of the feature that would serve an operation if it were on."""
    for one in features().switched_off:
        if any(operation in one.load(reference) for reference in one.feature.operations.get(service, ())):
            return one.feature.name
    return None
