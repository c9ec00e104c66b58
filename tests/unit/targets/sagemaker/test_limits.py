"""The compiler's limits are those of the botocore that is installed."""

from typing import Any

import pytest

from tidegate.targets.sagemaker import limits, service_model, transform_call


def shape(name: str, service: str = "sagemaker") -> Any:
    return service_model.service_model(service).shape_for(name).metadata


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("WaitIntervalInSeconds", (0, limits.GUARD_WAIT)),
        ("TerminationWaitInSeconds", (0, limits.GUARD_WAIT)),
        ("MaximumExecutionTimeoutInSeconds", limits.EXECUTION),
        ("AlarmList", (1, limits.GUARDS)),
        ("ProductionVariantList", (1, limits.VARIANTS)),
        ("ProductionVariantModelDataDownloadTimeoutInSeconds", limits.START_TIMEOUT),
        ("ProductionVariantContainerStartupHealthCheckTimeoutInSeconds", limits.START_TIMEOUT),
        ("ServerlessMemorySizeInMB", (limits.SERVERLESS_MEMORY[0], limits.SERVERLESS_MEMORY[-1])),
        ("ServerlessMaxConcurrency", (1, limits.SERVERLESS_CONCURRENCY)),
        ("MaxConcurrentInvocationsPerInstance", (1, limits.ASYNC_CONCURRENT)),
        ("EnvironmentMap", (0, limits.ENVIRONMENT_VARIABLES)),
        ("EnvironmentValue", (0, limits.ENVIRONMENT_TEXT)),
        ("ContainerDefinitionList", (0, limits.CONTAINERS)),
        ("TagList", (0, limits.TAGS)),
        ("TagKey", (1, limits.TAG_KEY)),
        ("TagValue", (0, limits.TAG_VALUE)),
        ("DestinationS3Uri", (0, limits.S3_PATH)),
        ("EndpointConfigName", (0, limits.NAME)),
        ("InvocationsTimeoutInSeconds", (1, transform_call.TIMEOUT)),
        ("InvocationsMaxRetries", (0, transform_call.RETRIES)),
    ],
)
def test_limits_are_those_of_botocores_model(name: str, ours: tuple[int, int]) -> None:
    found = shape(name)
    assert (found.get("min", 0), found["max"]) == ours


def test_names_of_alarms_fit_cloudwatch() -> None:
    assert shape("AlarmName", "cloudwatch")["max"] == limits.ALARM_NAME
