"""The manifest of the feature asynchronous."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Loop, NativeRoute, Section

FEATURE = Feature(
    name="asynchronous",
    summary="Queued requests: SageMaker's InvokeEndpointAsync.",
    page="async.md",
    needs=("autoscaling",),
    sections=(
        Section(
            "async", ".spec:AsyncSpec", ".spec:build_async", ".spec:render_async", value="config.asynchronous"
        ),
    ),
    loops=(Loop(".loop:make_loop", offset=0.05),),
    members={"sagemaker:CreateEndpointConfig": ("AsyncInferenceConfig",)},
    hooks={
        "config_member": ".operations:MEMBER",
        "connection_protocol": ".fast_path_protocol:make_fast_path",
        "endpoint_cards": ".card:make_cards",
        "restore": ".loop:stop_dispatcher",
    },
    operations={"sagemaker-runtime": (".runtime_operations:OPERATIONS",)},
    routes=(
        NativeRoute("GET", "/endpoints/{name}/queue", ".native:list_requests", Access.READ),
        NativeRoute("POST", "/endpoints/{name}/queue/empty", ".native:empty_queue", Access.CHANGE),
        NativeRoute("GET", "/endpoints/{name}/queue/{id}", ".native:describe_request", Access.READ),
    ),
    commands=(
        CommandEntry("queue", "", "Send requests to an asynchronous endpoint, and look.", "Jobs and load"),
        CommandEntry(
            "queue send",
            ".command:invoke_async",
            "Queue a request on an asynchronous endpoint.",
            "Jobs and load",
        ),
        CommandEntry(
            "queue show", ".command:queue", "Show the queue of an asynchronous endpoint.", "Jobs and load"
        ),
    ),
)
