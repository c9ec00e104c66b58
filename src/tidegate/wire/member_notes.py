"""How members that are not served are treated. A note applies to everything below its path.

``coverage`` renders the documentation from these notes, and tests check the notes against the code.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache

from tidegate.host.features import features
from tidegate.wire import cloudwatch_alarms, sagemaker_configs, sagemaker_models


class Treatment(StrEnum):
    SERVED = "served"
    IGNORED = "accepted and ignored"
    """It has no effect. Describe echoes it if the real service does."""
    REFUSED = "refused"
    """It is an error, since ignoring it would promise something that does not happen."""


Notes = Mapping[str, Treatment]
"""Path -> treatment. Lists and maps add no path element."""


def note(ignored: Iterable[str] = (), refused: Iterable[str] = ()) -> dict[str, Treatment]:
    return dict.fromkeys(ignored, Treatment.IGNORED) | dict.fromkeys(refused, Treatment.REFUSED)


def below_parents(parents: Iterable[str], notes: Notes) -> dict[str, Treatment]:
    return {f"{parent}.{path}": treatment for parent in parents for path, treatment in notes.items()}


S3_SOURCE = "ModelDataSource.S3DataSource"
_CONTAINER = note(
    ignored=(
        "ImageConfig",
        "ContainerMetricsConfig",
        f"{S3_SOURCE}.ModelAccessConfig",
        f"{S3_SOURCE}.ETag",
        f"{S3_SOURCE}.ManifestEtag",
    ),
    refused=(*sagemaker_models.REFUSED, f"{S3_SOURCE}.ManifestS3Uri", f"{S3_SOURCE}.HubAccessConfig"),
)
_VARIANT = note(
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
_PREDICTION = note(ignored=("PrefixAwareId",), refused=("InferenceComponentName",))

OperationNotes = Mapping[tuple[str, str], Notes]
"""By service and operation."""
CORE: OperationNotes = {
    ("sagemaker", "CreateModel"): note(ignored=("VpcConfig", "ExecutionRoleArn", "EnableNetworkIsolation"))
    | below_parents(("PrimaryContainer", "Containers"), _CONTAINER),
    ("sagemaker", "CreateEndpointConfig"): note(
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
    | below_parents(("ProductionVariants", "ShadowProductionVariants"), _VARIANT),
    ("sagemaker-runtime", "InvokeEndpoint"): _PREDICTION | note(refused=("EnableExplanations",)),
    ("sagemaker-runtime", "InvokeEndpointWithResponseStream"): _PREDICTION,
    ("cloudwatch", "PutMetricAlarm"): note(
        ignored=("ActionConfiguration", "EvaluationWindow"),
        refused=("EvaluationWindow.WallClockWindow", "Metrics.AccountId", *cloudwatch_alarms.UNSUPPORTED),
    ),
    ("cloudwatch", "PutCompositeAlarm"): note(
        ignored=("ActionConfiguration",), refused=cloudwatch_alarms.SUPPRESSION
    ),
    ("cloudwatch", "DescribeAlarmHistory"): note(refused=("AlarmContributorId",)),
    ("cloudwatch", "PutMetricData"): note(ignored=("StrictEntityValidation",), refused=("EntityMetricData",)),
    ("cloudwatch", "GetMetricData"): note(ignored=("LabelOptions",), refused=("MetricDataQueries.AccountId",)),
    ("cloudwatch", "ListMetrics"): note(refused=("IncludeLinkedAccounts", "OwningAccount")),
    ("logs", "DescribeLogGroups"): note(refused=("accountIdentifiers", "includeLinkedAccounts")),
    ("logs", "GetLogEvents"): note(ignored=("unmask",)),
    ("logs", "FilterLogEvents"): note(ignored=("interleaved", "unmask", "startFromHead")),
}


@cache
def all_notes() -> OperationNotes:
    """Those of the core and of the features that are on."""
    found = dict(CORE)
    for one in features():
        if one.feature.notes:
            found |= one.load(one.feature.notes)
    return found


def find_treatment(service: str, operation: str, path: str) -> Treatment:
    """Treatment of the member at ``path``; the longest noted prefix applies."""
    notes, parts = all_notes().get((service, operation), {}), path.split(".")
    for length in range(len(parts), 0, -1):
        if (found := notes.get(".".join(parts[:length]))) is not None:
            return found
    return Treatment.SERVED
