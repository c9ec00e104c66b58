"""The manifest of the feature drift."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Loop, NativeRoute, Section

FEATURE = Feature(
    name="drift",
    summary="Captured requests compared with a baseline.",
    page="drift.md",
    needs=("capture",),
    sections=(
        Section(
            *("drift", ".spec_build:DriftSection", ".spec_build:build_drift", ".spec_build:render_drift"),
            addresses=("baseline",),
        ),
    ),
    kinds=".kinds:KINDS",
    endpoint_kinds=".kinds:KINDS",
    routes=(
        NativeRoute("GET", "/endpoints/{name}/drift", ".native:describe_drift", Access.READ),
        NativeRoute("PUT", "/endpoints/{name}/drift", ".native:set_drift", Access.CHANGE),
        NativeRoute("DELETE", "/endpoints/{name}/drift", ".native:remove_drift", Access.CHANGE),
    ),
    commands=(
        CommandEntry("drift", "", "Find drift in captured requests, now or by schedule.", "Look"),
        CommandEntry("drift check", ".command:drift", "Compare captured requests with a baseline.", "Look"),
    ),
    pages={
        "/console/endpoints/{name}/drift": ("GET",),
        "/console/live/{name}/drift": ("GET",),
    },
    tabs=((20, "/drift", "Drift"),),
    page_routes=".page:page_routes",
    hooks={"endpoint": ".service:EXTENSION"},
    loops=(Loop(".process:make_schedules", kind=".kinds:DRIFT_SCHEDULE"),),
)
