"""How members of these operations are treated that are not served."""

from tidegate.features.monitor import job_operations, members
from tidegate.wire.member_notes import OperationNotes, note


def _refused_baselines(type: str) -> list[str]:
    """By their paths: Clarify's image has no scripts, and its baselines are not made here."""
    if type == "ModelBias":
        return [f"{type}BaselineConfig.BaseliningJobName"]
    return [f"{type}AppSpecification.{name}" for name in members.REFUSED_SCRIPTS]


NOTES: OperationNotes = {
    **{
        ("sagemaker", f"Create{type}JobDefinition"): note(
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
        for type, refused in job_operations.REFUSED_INPUT.items()
    },
    ("sagemaker", "CreateProcessingJob"): note(
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
        note(refused=("MonitoringScheduleConfig.MonitoringJobDefinition",)),
    ),
}
