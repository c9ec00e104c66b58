"""The manifest of the feature drift."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Loop, NativeRoute

FEATURE = Feature(
    name="drift",
    summary="Captured requests compared with a baseline.",
    page="drift.md",
    needs=("capture",),
    sections=("drift",),
    kinds=".kinds:KINDS",
    routes=(
        NativeRoute("GET", "/endpoints/{name}/drift", ".native:describe_drift", Access.READ),
        NativeRoute("PUT", "/endpoints/{name}/drift", ".native:set_drift", Access.CHANGE),
        NativeRoute("DELETE", "/endpoints/{name}/drift", ".native:remove_drift", Access.CHANGE),
    ),
    commands=(CommandEntry("drift", ".command:drift", "Compare captured requests with a baseline.", "Look"),),
    pages={
        "/console/endpoints/{name}/drift": ("GET",),
        "/console/live/{name}/drift": ("GET",),
    },
    tabs=((20, "/drift", "Drift"),),
    page_routes=".page_routes:page_routes",
    loops=(Loop(".process:make_schedules", kind=".kinds:DRIFT_SCHEDULE"),),
)
