"""The manifest of the feature capture."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, NativeRoute, Section

FEATURE = Feature(
    name="capture",
    summary="Data capture with redaction.",
    page="capture.md",
    sections=(
        Section(
            "capture",
            ".spec:CaptureSection",
            ".spec:build_capture",
            ".spec:render_capture",
            value="config.capture",
        ),
    ),
    members={"sagemaker:CreateEndpointConfig": ("DataCaptureConfig",)},
    routes=(NativeRoute("GET", "/endpoints/{name}/capture", ".native:describe_captures", Access.READ),),
    commands=(
        CommandEntry(
            "show capture", ".command:capture", "Show what data capture wrote, and what it dropped.", "Look"
        ),
    ),
    pages={
        "/console/endpoints/{name}/captures": ("GET",),
        "/tidegate/v1/endpoints/{name}/capture/samples": ("GET",),
    },
    hooks={
        "config_member": ".operations:MEMBER",
        "native_operations": ".page:OPERATIONS",
        "worker_captures": ".worker.front_captures:FrontCaptures",
    },
    tabs=((40, "/captures", "Captures"),),
    page_routes=".page:page_routes",
)
