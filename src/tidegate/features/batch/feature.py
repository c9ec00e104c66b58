"""The manifest of the feature batch."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Loop, Menu, NativeRoute, PageLink, Section

FEATURE = Feature(
    name="batch",
    summary="Transform jobs: a model over files, without an endpoint.",
    page="batch.md",
    notes=".operations:NOTES",
    sections=(Section("job", ".spec:TransformSection", ".spec:build_job", ".spec:render_job"),),
    hooks={"endpoint": ".spec:EXTENSION"},
    operations={"sagemaker": (".operations:OPERATIONS",)},
    routes=(
        NativeRoute("GET", "/transforms", ".native:list_jobs", Access.READ),
        NativeRoute("POST", "/transforms", ".native:create", Access.CHANGE),
        NativeRoute("GET", "/transforms/{name}", ".native:describe", Access.READ),
        NativeRoute("POST", "/transforms/{name}/stop", ".native:stop", Access.CHANGE),
        NativeRoute("POST", "/transforms/{name}/resume", ".native:resume", Access.CHANGE),
    ),
    pages={"/console/jobs": ("GET",), "/console/jobs/live": ("GET",)},
    links=(PageLink(Menu.TOP, 20, "/console/jobs", "Batch jobs"),),
    page_routes=".pages:page_routes",
    loops=(Loop(".loop:make_jobs", 0, kind="tidegate.service.record_kinds:TRANSFORM", prefix="transform."),),
    commands=(
        CommandEntry("batch", ".command:batch", "Run a model over files: no endpoint is needed.", "Jobs and load"),
    ),
)
