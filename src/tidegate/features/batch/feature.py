"""The manifest of the feature batch."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, NativeRoute

FEATURE = Feature(
    name="batch",
    summary="Transform jobs: a model over files, without an endpoint.",
    page="batch.md",
    notes=".notes:NOTES",
    operations={"sagemaker": (".operations:OPERATIONS",)},
    routes=(
        NativeRoute("GET", "/transforms", ".native:list_jobs", Access.READ),
        NativeRoute("POST", "/transforms", ".native:create", Access.CHANGE),
        NativeRoute("GET", "/transforms/{name}", ".native:describe", Access.READ),
        NativeRoute("POST", "/transforms/{name}/stop", ".native:stop", Access.CHANGE),
        NativeRoute("POST", "/transforms/{name}/resume", ".native:resume", Access.CHANGE),
    ),
    commands=(
        CommandEntry("batch", ".command:batch", "Run a model over files: no endpoint is needed.", "Jobs and load"),
    ),
)
