"""Each member that the documentation calls refused is refused, by name, and the request is good without it."""

import copy
from datetime import timedelta
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from tests.features.monitor.wire.test_sagemaker_model_bias import JOB as BIAS_JOB
from tests.features.monitor.wire.test_sagemaker_model_quality import JOB as MODEL_QUALITY_JOB
from tests.features.monitor.wire.test_sagemaker_processing import JOB as PROCESSING_JOB
from tests.served_wire import START, Served
from tidegate.wire.member_notes import Treatment, all_notes

SOURCE = {"S3Uri": "s3://b/k/", "S3DataType": "S3Prefix", "CompressionType": "None"}
CONTAINER = {"Image": "tidegate/xgboost", "ModelDataSource": {"S3DataSource": SOURCE}}
VARIANT = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
STAT = {"Metric": {"Namespace": "N", "MetricName": "M"}, "Period": 60, "Stat": "Sum"}
CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 1,
    "DestinationS3Uri": "s3://b/k",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}
TRANSFORM_INPUT = {
    "DataCapturedDestinationS3Uri": "s3://b/",
    "DatasetFormat": {"Csv": {"Header": True}},
    "LocalPath": "/in",
}
JOB_ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/m/1"
ALARM = {
    "AlarmName": "a",
    "Namespace": "N",
    "MetricName": "M",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanThreshold",
}
OF_MATH = {k: v for k, v in ALARM.items() if k not in ("Namespace", "MetricName", "Statistic", "Period")}
TIMES = {"StartTime": START - timedelta(hours=1), "EndTime": START}
_OF_CONTAINER = {
    "AdditionalModelDataSources": [{"ChannelName": "c", "S3DataSource": SOURCE}],
    "ModelDataSource.S3DataSource.ManifestS3Uri": "s3://b/m",
    "ModelDataSource.S3DataSource.HubAccessConfig": {
        "HubContentArn": "arn:aws:sagemaker:us-east-1:123456789012:hub-content/h/Model/m/1"
    },
}
_OF_VARIANT = {
    "InstancePools": [{"InstanceType": "ml.m5.large", "Priority": 1}],
    "AcceleratorPartitionLayouts": [{"AcceleratorPartitionTypes": ["mig-1g.5gb"]}],
}
JOB = {
    "JobName": "j",
    "JobType": "Default",
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "InputConfig": {
        "ModelName": "m",
        "EndpointConfigurations": [{"InstanceType": "ml.m5.large"}],
        "ContainerConfig": {"PayloadConfig": {"SamplePayloadUrl": "s3://b/k"}},
    },
}
TRANSFORM = {
    "TransformJobName": "t",
    "ModelName": "m",
    "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in"}}},
    "TransformOutput": {"S3OutputPath": "s3://b/out"},
    "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
}
QUALITY_JOB = {
    "JobDefinitionName": "q",
    "DataQualityBaselineConfig": {"StatisticsResource": {"S3Uri": "s3://b/statistics.json"}},
    "DataQualityAppSpecification": {"ImageUri": "tidegate/model-monitor"},
    "DataQualityJobInput": {"EndpointInput": {"EndpointName": "e", "LocalPath": "/in"}},
    "DataQualityJobOutputConfig": {
        "MonitoringOutputs": [{"S3Output": {"S3Uri": "s3://b/r", "LocalPath": "/out"}}]
    },
    "JobResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
    "RoleArn": "arn:aws:iam::123456789012:role/r",
}

Cases = dict[tuple[str, str], list[tuple[dict[str, Any], dict[str, Any]]]]
CASES: Cases = {
    ("sagemaker", "CreateModel"): [
        (
            {"ModelName": "x", "PrimaryContainer": CONTAINER},
            {f"PrimaryContainer.{k}": v for k, v in _OF_CONTAINER.items()},
        ),
        ({"ModelName": "x", "Containers": [CONTAINER]}, {f"Containers.{k}": v for k, v in _OF_CONTAINER.items()}),
    ],
    ("sagemaker", "CreateEndpointConfig"): [
        (
            {
                "EndpointConfigName": "c",
                "ProductionVariants": [VARIANT],
                "ShadowProductionVariants": [{**VARIANT, "VariantName": "s"}],
                "DataCaptureConfig": CAPTURE,
            },
            {
                "ExplainerConfig": {"ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": {}}}},
                "CrossRegionTrafficConfig": {
                    "MaxInvocationsPerSecondPerInstance": 1,
                    "MaxCrossRegionPercentPerEndpoint": 1,
                },
                **{f"ProductionVariants.{k}": v for k, v in _OF_VARIANT.items()},
                **{f"ShadowProductionVariants.{k}": v for k, v in _OF_VARIANT.items()},
            },
        )
    ],
    ("sagemaker", "CreateTransformJob"): [(TRANSFORM, {"DataCaptureConfig": {"DestinationS3Uri": "s3://b/k"}})],
    ("sagemaker", "CreateInferenceRecommendationsJob"): [
        (
            JOB,
            {
                "OutputConfig": {"KmsKeyId": "k"},
                "InputConfig.ModelPackageVersionArn": JOB_ARN,
                "InputConfig.Endpoints": [{"EndpointName": "e"}],
                "InputConfig.VolumeKmsKeyId": "k",
                "InputConfig.VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
                "InputConfig.EndpointConfigurations.ServerlessConfig": {
                    "MemorySizeInMB": 1024,
                    "MaxConcurrency": 1,
                },
                "InputConfig.EndpointConfigurations.EnvironmentParameterRanges": {
                    "CategoricalParameterRanges": [{"Name": "a", "Value": ["b"]}]
                },
                "InputConfig.EndpointConfigurations.InferenceSpecificationName": "i",
            },
        )
    ],
    ("sagemaker", "CreateDataQualityJobDefinition"): [
        (
            QUALITY_JOB,
            {
                "DataQualityAppSpecification.ContainerEntrypoint": ["run"],
                "DataQualityAppSpecification.ContainerArguments": ["x"],
                "DataQualityAppSpecification.RecordPreprocessorSourceUri": "s3://b/before.py",
                "DataQualityAppSpecification.PostAnalyticsProcessorSourceUri": "s3://b/after.py",
                "DataQualityJobInput.BatchTransformInput": TRANSFORM_INPUT,
                "DataQualityJobInput.EndpointInput.FeaturesAttribute": "f",
                "DataQualityJobInput.EndpointInput.InferenceAttribute": "i",
                "DataQualityJobInput.EndpointInput.ProbabilityAttribute": "p",
                "DataQualityJobInput.EndpointInput.ProbabilityThresholdAttribute": 0.5,
                "DataQualityJobInput.EndpointInput.StartTimeOffset": "-PT1H",
                "DataQualityJobInput.EndpointInput.EndTimeOffset": "-PT0H",
                "DataQualityJobInput.EndpointInput.ExcludeFeaturesAttribute": "0",
            },
        )
    ],
    ("sagemaker", "CreateModelQualityJobDefinition"): [
        (
            MODEL_QUALITY_JOB,
            {
                "ModelQualityAppSpecification.ContainerEntrypoint": ["run"],
                "ModelQualityAppSpecification.ContainerArguments": ["x"],
                "ModelQualityAppSpecification.RecordPreprocessorSourceUri": "s3://b/before.py",
                "ModelQualityAppSpecification.PostAnalyticsProcessorSourceUri": "s3://b/after.py",
                "ModelQualityJobInput.BatchTransformInput": TRANSFORM_INPUT,
                "ModelQualityJobInput.EndpointInput.FeaturesAttribute": "f",
                "ModelQualityJobInput.EndpointInput.ExcludeFeaturesAttribute": "0",
            },
        )
    ],
    ("sagemaker", "CreateModelBiasJobDefinition"): [
        (
            BIAS_JOB,
            {
                "ModelBiasBaselineConfig.BaseliningJobName": "b",
                "ModelBiasJobInput.BatchTransformInput": TRANSFORM_INPUT,
                "ModelBiasJobInput.EndpointInput.ExcludeFeaturesAttribute": "0",
            },
        )
    ],
    ("sagemaker", "CreateProcessingJob"): [
        (
            PROCESSING_JOB,
            {
                "AppSpecification.ContainerEntrypoint": ["run"],
                "AppSpecification.ContainerArguments": ["x"],
                "ProcessingInputs.DatasetDefinition": {"LocalPath": "/in"},
                "ProcessingOutputConfig.Outputs.FeatureStoreOutput": {"FeatureGroupName": "f"},
            },
        )
    ],
    ("cloudwatch", "PutMetricAlarm"): [
        (
            ALARM,
            {
                "EvaluationWindow.WallClockWindow": {"Timezone": "UTC"},
                "ThresholdMetricId": "t",
                "EvaluationCriteria": {"PromQLCriteria": {"Query": "up"}},
                "EvaluationInterval": 60,
                "WarmUpConfiguration": {"WarmUpPeriodDurationInMinutes": 5},
            },
        ),
        (OF_MATH | {"Metrics": [{"Id": "m", "MetricStat": STAT}]}, {"Metrics.AccountId": "123456789012"}),
    ],
    ("sagemaker", "CreateModelPackageGroup"): [
        ({"ModelPackageGroupName": "g"}, {"ManagedConfiguration": {"ManagedStorageType": "Restricted"}})
    ],
    ("sagemaker", "ListModelPackageGroups"): [({}, {"CrossAccountFilterOption": "CrossAccount"})],
    ("sagemaker", "CreateModelPackage"): [
        (
            {"ModelPackageName": "p", "InferenceSpecification": {"Containers": [{"Image": "tidegate/xgboost"}]}},
            {
                "SourceAlgorithmSpecification": {"SourceAlgorithms": [{"AlgorithmName": "a"}]},
                "ValidationSpecification": {
                    "ValidationRole": "arn:aws:iam::123456789012:role/r",
                    "ValidationProfiles": [],
                },
            },
        )
    ],
    ("cloudwatch", "PutCompositeAlarm"): [
        (
            {"AlarmName": "a", "AlarmRule": "FALSE"},
            {
                "ActionsSuppressor": "b",
                "ActionsSuppressorWaitPeriod": 10,
                "ActionsSuppressorExtensionPeriod": 10,
            },
        )
    ],
    ("cloudwatch", "DescribeAlarmHistory"): [({}, {"AlarmContributorId": "a"})],
    ("cloudwatch", "PutMetricData"): [
        (
            {"Namespace": "N", "MetricData": [{"MetricName": "M", "Value": 1.0}]},
            {"EntityMetricData": [{"MetricData": [{"MetricName": "M", "Value": 1.0}]}]},
        )
    ],
    ("cloudwatch", "GetMetricData"): [
        (
            {"MetricDataQueries": [{"Id": "m", "MetricStat": STAT}], **TIMES},
            {"MetricDataQueries.AccountId": "123456789012"},
        )
    ],
    ("cloudwatch", "ListMetrics"): [({}, {"IncludeLinkedAccounts": True, "OwningAccount": "123456789012"})],
}
ELSEWHERE = {
    ("sagemaker-runtime", "InvokeEndpoint"): "tests/integration/test_worker_http.py",
    ("sagemaker-runtime", "InvokeEndpointWithResponseStream"): "tests/integration/test_worker_http.py",
    ("sagemaker", "CreateMonitoringSchedule"): "tests/features/monitor/wire/test_sagemaker_monitoring.py",
    ("sagemaker", "UpdateMonitoringSchedule"): "tests/features/monitor/wire/test_sagemaker_monitoring.py",
    (
        "application-autoscaling",
        "PutScalingPolicy",
    ): "tests/features/autoscaling/wire/test_application_autoscaling.py",
    ("logs", "DescribeLogGroups"): "tests/wire/test_logs.py",
}
"""Operations whose refusals need another stand, and where they are tested."""


def test_every_refused_member_has_a_case() -> None:
    for operation, notes in all_notes().items():
        refused = {path for path, treatment in notes.items() if treatment is Treatment.REFUSED}
        tried = {path for _, additions in CASES.get(operation, []) for path in additions}
        assert refused == tried or operation in ELSEWHERE, operation


@pytest.fixture
def model(sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "tidegate/xgboost"})


@pytest.mark.parametrize(("service", "operation"), CASES, ids=lambda part: str(part))
def test_refused_members_are_refused_by_name(wire: Served, model: None, service: str, operation: str) -> None:
    call = getattr(wire.client(service, parameter_validation=False), xform_name(operation))
    for base, additions in CASES[service, operation]:
        before = wire.journal()
        for path, value in additions.items():
            with pytest.raises(ClientError) as error:
                call(**_with(base, path.split("."), value))
            said = error.value.response["Error"]["Message"]
            assert path.rpartition(".")[2] in said and "validation error" not in said, (path, said)
        assert wire.journal() == before
        call(**base)
        for kind, name in (("model", "x"), ("endpoint_config", "c")):
            if base.get("ModelName") == name or base.get("EndpointConfigName") == name:
                member = "ModelName" if kind == "model" else "EndpointConfigName"
                getattr(wire.client("sagemaker"), f"delete_{kind}")(**{member: name})


def _with(base: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    whole = copy.deepcopy(base)
    at: Any = whole
    for part in path[:-1]:
        at = at.setdefault(part, {})
        at = at[0] if isinstance(at, list) else at
    at[path[-1]] = value
    return whole
