"""Calls that are not simply made again when their answer is lost: AWS has no tokens for them by which it would tell a
second call from a repeated one, so whoever made the call looks first whether it was carried out."""

NOT_REPEATABLE = frozenset(
    {
        *("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "CreateTransformJob"),
        *("UpdateEndpoint", "UpdateEndpointWeightsAndCapacities"),
        *("DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"),
        *("CreateFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration", "PublishVersion"),
        *("CreateAlias", "UpdateAlias"),
        *("RegisterTaskDefinition", "CreateService", "CreateTargetGroup", "CreateRule"),
    }
)
