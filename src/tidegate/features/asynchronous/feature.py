"""The manifest of the feature asynchronous."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, NativeRoute

FEATURE = Feature(
    name="asynchronous",
    summary="Queued requests: SageMaker's InvokeEndpointAsync.",
    page="async.md",
    needs=("autoscaling",),
    sections=("async",),
    members={"sagemaker:CreateEndpointConfig": ("AsyncInferenceConfig",)},
    operations={"sagemaker-runtime": (".runtime_operations:OPERATIONS",)},
    routes=(
        NativeRoute("GET", "/endpoints/{name}/queue", ".native:list_requests", Access.READ),
        NativeRoute("POST", "/endpoints/{name}/queue/empty", ".native:empty_queue", Access.CHANGE),
        NativeRoute("GET", "/endpoints/{name}/queue/{id}", ".native:describe_request", Access.READ),
    ),
    commands=(
        CommandEntry(
            "invoke-async",
            ".command:invoke_async",
            "Queue a request on an asynchronous endpoint.",
            "Jobs and load",
        ),
        CommandEntry("queue", ".command:queue", "Show the queue of an asynchronous endpoint.", "Jobs and load"),
    ),
)
