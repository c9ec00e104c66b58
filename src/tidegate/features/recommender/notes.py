"""How members of these operations are treated that are not served."""

from tidegate.wire.member_notes import OperationNotes, note

NOTES: OperationNotes = {
    ("sagemaker", "CreateInferenceRecommendationsJob"): note(
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
}
