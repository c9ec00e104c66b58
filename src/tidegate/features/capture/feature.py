"""The manifest of the feature capture."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, NativeRoute

FEATURE = Feature(
    name="capture",
    summary="Data capture with redaction.",
    page="capture.md",
    sections=("capture",),
    members={"sagemaker:CreateEndpointConfig": ("DataCaptureConfig",)},
    routes=(NativeRoute("GET", "/endpoints/{name}/capture", ".native:describe_captures", Access.READ),),
    commands=(
        CommandEntry("capture", ".command:capture", "Show what data capture wrote, and what it dropped.", "Look"),
    ),
    pages={
        "/console/endpoints/{name}/captures": ("GET",),
        "/tidegate/v1/endpoints/{name}/capture/samples": ("GET",),
    },
    hooks={"native_operations": ".page:OPERATIONS"},
    tabs=((40, "/captures", "Captures"),),
    page_routes=".page_routes:page_routes",
)
