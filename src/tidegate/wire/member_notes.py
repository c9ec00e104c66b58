"""How members that are not served are treated. A note applies to everything below its path.

``coverage`` renders the documentation from these notes, and tests check the notes against the code.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from tidegate.wire import (
    cloudwatch_alarms,
    monitoring_members,
    sagemaker_configs,
    sagemaker_models,
    sagemaker_monitoring_jobs,
    sagemaker_packages,
)


class Treatment(StrEnum):
    SERVED = "served"
    IGNORED = "accepted and ignored"
    """It has no effect. Describe echoes it if the real service does."""
    REFUSED = "refused"
    """It is an error, since ignoring it would promise something that does not happen."""


def _refused_baselines(type: str) -> list[str]:
    """By their paths: Clarify's image has no scripts, and its baselines are not made here."""
    if type == "ModelBias":
        return [f"{type}BaselineConfig.BaseliningJobName"]
    return [f"{type}AppSpecification.{name}" for name in monitoring_members.REFUSED_SCRIPTS]


Notes = Mapping[str, Treatment]
"""Path -> treatment. Lists and maps add no path element."""


def _note(ignored: Iterable[str] = (), refused: Iterable[str] = ()) -> dict[str, Treatment]:
    return dict.fromkeys(ignored, Treatment.IGNORED) | dict.fromkeys(refused, Treatment.REFUSED)


def _below_parents(parents: Iterable[str], notes: Notes) -> dict[str, Treatment]:
    return {f"{parent}.{path}": treatment for parent in parents for path, treatment in notes.items()}


_S3_SOURCE = "ModelDataSource.S3DataSource"
_CONTAINER = _note(
    ignored=(
        "ImageConfig",
        "ContainerMetricsConfig",
        f"{_S3_SOURCE}.ModelAccessConfig",
        f"{_S3_SOURCE}.ETag",
        f"{_S3_SOURCE}.ManifestEtag",
    ),
    refused=(*sagemaker_models.REFUSED, f"{_S3_SOURCE}.ManifestS3Uri", f"{_S3_SOURCE}.HubAccessConfig"),
)
_VARIANT = _note(
    ignored=(
        "VariantInstanceProvisionTimeoutInSeconds",
        "AcceleratorType",
        "CoreDumpConfig",
        "VolumeSizeInGB",
        "EnableSSMAccess",
        "ManagedInstanceScaling",
        "RoutingConfig.PrefixAwareRoutingConfig",
        "InferenceAmiVersion",
        "CapacityReservationConfig",
    ),
    refused=sagemaker_configs.VARIANT_REFUSED,
)
_PACKAGED = _note(
    ignored=(
        "ImageDigest",
        "ModelInput",
        "Framework",
        "FrameworkVersion",
        "NearestModelName",
        "ModelDataETag",
        "IsCheckpoint",
        "BaseModel",
        "AdditionalModelDataSources",
        "AdditionalS3DataSource",
        "ProductId",
        *(f"{_S3_SOURCE}.{name}" for name in ("ModelAccessConfig", "ETag", "ManifestEtag", "ManifestS3Uri")),
        f"{_S3_SOURCE}.HubAccessConfig",
    )
)
"""Members of a package's container. Some of them are refused when a model is created from it."""
_SPECIFICATION = _note(
    ignored=(
        "SupportedTransformInstanceTypes",
        "SupportedRealtimeInferenceInstanceTypes",
        "SupportedContentTypes",
        "SupportedResponseMIMETypes",
    )
) | _below_parents(("Containers",), _PACKAGED)
_ADDITIONAL = _SPECIFICATION | _note(ignored=("Description",))
_KEPT_OF_PACKAGES = tuple(
    name
    for name in sagemaker_packages.KEPT_MEMBERS
    if name not in (sagemaker_packages.SPECIFICATION, sagemaker_packages.ADDITIONAL)
)
_CHANGED_OF_PACKAGES = tuple(
    name for name in sagemaker_packages.CHANGEABLE_MEMBERS if name != sagemaker_packages.SPECIFICATION
)
_PREDICTION = _note(ignored=("PrefixAwareId",), refused=("InferenceComponentName",))

NOTES: Mapping[tuple[str, str], Notes] = {
    ("sagemaker", "CreateModel"): _note(ignored=("VpcConfig", "ExecutionRoleArn", "EnableNetworkIsolation"))
    | _below_parents(("PrimaryContainer", "Containers"), _CONTAINER),
    ("sagemaker", "CreateEndpointConfig"): _note(
        ignored=(
            "KmsKeyId",
            "AsyncInferenceConfig.OutputConfig.KmsKeyId",
            "ExecutionRoleArn",
            "VpcConfig",
            "EnableNetworkIsolation",
            "MetricsConfig",
        ),
        refused=sagemaker_configs.REFUSED,
    )
    | _below_parents(("ProductionVariants", "ShadowProductionVariants"), _VARIANT),
    ("sagemaker", "CreateModelPackageGroup"): _note(refused=("ManagedConfiguration",)),
    ("sagemaker", "ListModelPackageGroups"): _note(refused=("CrossAccountFilterOption",)),
    ("sagemaker", "CreateModelPackage"): _note(ignored=_KEPT_OF_PACKAGES, refused=sagemaker_packages.REFUSED)
    | _below_parents((sagemaker_packages.SPECIFICATION,), _SPECIFICATION)
    | _below_parents((sagemaker_packages.ADDITIONAL,), _ADDITIONAL),
    ("sagemaker", "DescribeModelPackage"): _note(ignored=("IncludedData",)),
    ("sagemaker", "UpdateModelPackage"): _note(ignored=(*_CHANGED_OF_PACKAGES, "ClientToken"))
    | _below_parents((sagemaker_packages.SPECIFICATION,), _SPECIFICATION)
    | _below_parents((f"{sagemaker_packages.ADDITIONAL}ToAdd",), _ADDITIONAL),
    ("sagemaker", "CreateTransformJob"): _note(
        ignored=(
            "TransformOutput.KmsKeyId",
            "TransformResources.VolumeKmsKeyId",
            "TransformResources.TransformAmiVersion",
            "ExperimentConfig",
        ),
        refused=("DataCaptureConfig",),
    ),
    ("sagemaker", "CreateInferenceRecommendationsJob"): _note(
        ignored=(
            "RoleArn",
            "InputConfig.TrafficPattern.TrafficType",
            "InputConfig.TrafficPattern.Phases.InitialNumberOfUsers",
            "InputConfig.TrafficPattern.Phases.SpawnRate",
            "InputConfig.TrafficPattern.Stairs.UsersPerStep",
            "InputConfig.ResourceLimit.MaxParallelOfTests",
            "InputConfig.ContainerConfig.Domain",
            "InputConfig.ContainerConfig.Task",
            "InputConfig.ContainerConfig.Framework",
            "InputConfig.ContainerConfig.FrameworkVersion",
            "InputConfig.ContainerConfig.NearestModelName",
            "InputConfig.ContainerConfig.DataInputConfig",
            "InputConfig.ContainerConfig.SupportedResponseMIMETypes",
        ),
        refused=(
            "OutputConfig",
            "InputConfig.ModelPackageVersionArn",
            "InputConfig.Endpoints",
            "InputConfig.VolumeKmsKeyId",
            "InputConfig.VpcConfig",
            "InputConfig.EndpointConfigurations.ServerlessConfig",
            "InputConfig.EndpointConfigurations.EnvironmentParameterRanges",
            "InputConfig.EndpointConfigurations.InferenceSpecificationName",
        ),
    ),
    ("sagemaker", "CreateInferenceExperiment"): _note(ignored=("RoleArn", "KmsKey")),
    **{
        ("sagemaker", f"Create{type}JobDefinition"): _note(
            ignored=(
                "RoleArn",
                "JobResources",
                "NetworkConfig",
                "StoppingCondition",
                f"{type}JobInput.EndpointInput.LocalPath",
                f"{type}JobInput.EndpointInput.S3InputMode",
                f"{type}JobInput.EndpointInput.S3DataDistributionType",
                f"{type}JobOutputConfig.MonitoringOutputs.S3Output.LocalPath",
                f"{type}JobOutputConfig.MonitoringOutputs.S3Output.S3UploadMode",
            ),
            refused=(
                *(f"{type}JobInput.EndpointInput.{name}" for name in refused),
                f"{type}JobInput.BatchTransformInput",
                *_refused_baselines(type),
            ),
        )
        for type, refused in sagemaker_monitoring_jobs.REFUSED_INPUT.items()
    },
    ("sagemaker", "CreateProcessingJob"): _note(
        ignored=(
            "RoleArn",
            "ProcessingResources",
            "NetworkConfig",
            "ExperimentConfig",
            "ProcessingInputs.InputName",
            "ProcessingInputs.AppManaged",
            "ProcessingInputs.S3Input.S3InputMode",
            "ProcessingInputs.S3Input.S3DataDistributionType",
            "ProcessingOutputConfig.Outputs.OutputName",
            "ProcessingOutputConfig.Outputs.AppManaged",
            "ProcessingOutputConfig.Outputs.S3Output.LocalPath",
            "ProcessingOutputConfig.Outputs.S3Output.S3UploadMode",
        ),
        refused=(
            "AppSpecification.ContainerEntrypoint",
            "AppSpecification.ContainerArguments",
            "ProcessingInputs.DatasetDefinition",
            "ProcessingOutputConfig.Outputs.FeatureStoreOutput",
        ),
    ),
    **dict.fromkeys(
        (("sagemaker", "CreateMonitoringSchedule"), ("sagemaker", "UpdateMonitoringSchedule")),
        _note(refused=("MonitoringScheduleConfig.MonitoringJobDefinition",)),
    ),
    ("sagemaker-runtime", "InvokeEndpoint"): _PREDICTION | _note(refused=("EnableExplanations",)),
    ("sagemaker-runtime", "InvokeEndpointWithResponseStream"): _PREDICTION,
    ("cloudwatch", "PutMetricAlarm"): _note(
        ignored=("ActionConfiguration", "EvaluationWindow"),
        refused=("EvaluationWindow.WallClockWindow", "Metrics.AccountId", *cloudwatch_alarms.UNSUPPORTED),
    ),
    ("cloudwatch", "PutCompositeAlarm"): _note(
        ignored=("ActionConfiguration",), refused=cloudwatch_alarms.SUPPRESSION
    ),
    ("cloudwatch", "DescribeAlarmHistory"): _note(refused=("AlarmContributorId",)),
    ("cloudwatch", "PutMetricData"): _note(ignored=("StrictEntityValidation",), refused=("EntityMetricData",)),
    ("cloudwatch", "GetMetricData"): _note(ignored=("LabelOptions",), refused=("MetricDataQueries.AccountId",)),
    ("cloudwatch", "ListMetrics"): _note(refused=("IncludeLinkedAccounts", "OwningAccount")),
    ("application-autoscaling", "RegisterScalableTarget"): _note(ignored=("RoleARN",)),
    ("application-autoscaling", "PutScalingPolicy"): _note(
        ignored=("TargetTrackingScalingPolicyConfiguration.PredefinedMetricSpecification.ResourceLabel",),
        refused=("PredictiveScalingPolicyConfiguration",),
    ),
    ("logs", "DescribeLogGroups"): _note(refused=("accountIdentifiers", "includeLinkedAccounts")),
    ("logs", "GetLogEvents"): _note(ignored=("unmask",)),
    ("logs", "FilterLogEvents"): _note(ignored=("interleaved", "unmask", "startFromHead")),
}


def find_treatment(service: str, operation: str, path: str) -> Treatment:
    """Treatment of the member at ``path``; the longest noted prefix applies."""
    notes, parts = NOTES.get((service, operation), {}), path.split(".")
    for length in range(len(parts), 0, -1):
        if (found := notes.get(".".join(parts[:length]))) is not None:
            return found
    return Treatment.SERVED
