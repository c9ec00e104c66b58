"""Describe, Stop, Start, Update and Delete of what does not exist: the codes and words that clients branch on.

boto3's waiters, Amazon's controllers for Kubernetes (their ``generator.yaml``), Terraform's provider and SageMaker's
SDKs compare them. An error that the service's model does not list for an operation is a ValidationException.
"""

from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.served_wire import ACCOUNT, REGION

ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
JOB = "Could not find requested job with name: none"
MISSING = [
    ("describe_model", {"ModelName": "none"}, f'Could not find model "{ARN}:model/none".'),
    ("delete_model", {"ModelName": "none"}, f'Could not find model "{ARN}:model/none".'),
    (
        "describe_endpoint_config",
        {"EndpointConfigName": "none"},
        f'Could not find endpoint configuration "{ARN}:endpoint-config/none".',
    ),
    (
        "delete_endpoint_config",
        {"EndpointConfigName": "none"},
        f'Could not find endpoint configuration "{ARN}:endpoint-config/none".',
    ),
    ("describe_endpoint", {"EndpointName": "none"}, f'Could not find endpoint "{ARN}:endpoint/none".'),
    ("delete_endpoint", {"EndpointName": "none"}, f'Could not find endpoint "{ARN}:endpoint/none".'),
    (
        "update_endpoint",
        {"EndpointName": "none", "EndpointConfigName": "none"},
        f'Could not find endpoint "{ARN}:endpoint/none".',
    ),
    (
        "update_endpoint_weights_and_capacities",
        {
            "EndpointName": "none",
            "DesiredWeightsAndCapacities": [{"VariantName": "main", "DesiredWeight": 1.0}],
        },
        f'Could not find endpoint "{ARN}:endpoint/none".',
    ),
    ("describe_transform_job", {"TransformJobName": "none"}, JOB),
    ("stop_transform_job", {"TransformJobName": "none"}, JOB),
    ("describe_processing_job", {"ProcessingJobName": "none"}, JOB),
    ("stop_processing_job", {"ProcessingJobName": "none"}, JOB),
    (
        "describe_model_package_group",
        {"ModelPackageGroupName": "none"},
        f"ModelPackageGroup {ARN}:model-package-group/none does not exist.",
    ),
    (
        "delete_model_package_group",
        {"ModelPackageGroupName": "none"},
        f"ModelPackageGroup {ARN}:model-package-group/none does not exist.",
    ),
    (
        "describe_model_package",
        {"ModelPackageName": f"{ARN}:model-package/none/1"},
        f"ModelPackage {ARN}:model-package/none/1 does not exist.",
    ),
    (
        "delete_model_package",
        {"ModelPackageName": f"{ARN}:model-package/none/1"},
        f"ModelPackage {ARN}:model-package/none/1 does not exist.",
    ),
]
"""Operations whose error is a ValidationException, with its whole message."""
NAMED = [
    ("describe_inference_recommendations_job", {"JobName": "none"}),
    ("stop_inference_recommendations_job", {"JobName": "none"}),
    ("list_inference_recommendations_job_steps", {"JobName": "none"}),
    ("describe_inference_experiment", {"Name": "none"}),
    ("start_inference_experiment", {"Name": "none"}),
    ("stop_inference_experiment", {"Name": "none", "ModelVariantActions": {"main": "Retain"}}),
    ("update_inference_experiment", {"Name": "none"}),
    ("delete_inference_experiment", {"Name": "none"}),
    ("describe_monitoring_schedule", {"MonitoringScheduleName": "none"}),
    ("start_monitoring_schedule", {"MonitoringScheduleName": "none"}),
    ("stop_monitoring_schedule", {"MonitoringScheduleName": "none"}),
    ("delete_monitoring_schedule", {"MonitoringScheduleName": "none"}),
    ("describe_data_quality_job_definition", {"JobDefinitionName": "none"}),
    ("delete_data_quality_job_definition", {"JobDefinitionName": "none"}),
    ("describe_model_quality_job_definition", {"JobDefinitionName": "none"}),
    ("delete_model_quality_job_definition", {"JobDefinitionName": "none"}),
    ("describe_model_bias_job_definition", {"JobDefinitionName": "none"}),
    ("delete_model_bias_job_definition", {"JobDefinitionName": "none"}),
]
"""Operations whose error is a ResourceNotFound, which the service's model lists for them."""


def refused(sagemaker: Any, operation: str, given: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        getattr(sagemaker, operation)(**given)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize(("operation", "given", "message"), MISSING)
def test_what_is_not_there_is_a_validation_exception_in_sagemakers_words(
    sagemaker: Any, operation: str, given: dict[str, Any], message: str
) -> None:
    assert refused(sagemaker, operation, given) == ("ValidationException", message)


@pytest.mark.parametrize(("operation", "given"), NAMED)
def test_newer_resources_have_the_error_of_the_service_model(
    sagemaker: Any, operation: str, given: dict[str, Any]
) -> None:
    code, message = refused(sagemaker, operation, given)
    assert code == "ResourceNotFound"
    assert "none" in message


def test_a_transform_job_of_an_unknown_model_can_be_tried_again(sagemaker: Any) -> None:
    """Amazon's controller for Kubernetes gives up at a ResourceNotFound: its model may be created a moment later."""
    given = {
        "TransformJobName": "job",
        "ModelName": "none",
        "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}}},
        "TransformOutput": {"S3OutputPath": "s3://bucket/out"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    expected = ("ValidationException", f'Could not find model "{ARN}:model/none".')
    assert refused(sagemaker, "create_transform_job", given) == expected


def test_an_operation_raises_only_what_its_model_lists(sagemaker: Any) -> None:
    """CreateMonitoringSchedule has no ResourceNotFound: an unknown job definition is a ValidationException."""
    schedule = {
        "ScheduleConfig": {"ScheduleExpression": "cron(0 * ? * * *)"},
        "MonitoringJobDefinitionName": "none",
        "MonitoringType": "DataQuality",
    }
    given = {"MonitoringScheduleName": "hourly", "MonitoringScheduleConfig": schedule}
    code, message = refused(sagemaker, "create_monitoring_schedule", given)
    assert (code, '"none"' in message) == ("ValidationException", True)


@pytest.mark.parametrize(
    ("waiter", "given"),
    [
        ("transform_job_completed_or_stopped", {"TransformJobName": "none"}),
        ("processing_job_completed_or_stopped", {"ProcessingJobName": "none"}),
        ("endpoint_in_service", {"EndpointName": "none"}),
    ],
)
def test_boto3s_waiters_fail_at_once_for_what_is_not_there(
    sagemaker: Any, waiter: str, given: dict[str, str]
) -> None:
    with pytest.raises(WaiterError, match=r"terminal failure state.*ValidationException"):
        sagemaker.get_waiter(waiter).wait(**given, WaiterConfig={"Delay": 0, "MaxAttempts": 2})


def test_boto3s_waiter_for_a_deleted_endpoint_is_content(sagemaker: Any) -> None:
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="none", WaiterConfig={"Delay": 0, "MaxAttempts": 1})
