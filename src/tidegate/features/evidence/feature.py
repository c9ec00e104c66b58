"""The manifest of the feature evidence."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, NativeRoute

FEATURE = Feature(
    name="evidence",
    summary="Comparison of two versions during a rollout.",
    page="evidence.md",
    sections=("evidence",),
    kinds=".kinds:KINDS",
    routes=(
        NativeRoute("GET", "/endpoints/{name}/evidence", ".native:describe_evidence", Access.READ),
        NativeRoute("GET", "/endpoints/{name}/evidence/timeline", ".native:describe_timeline", Access.READ),
    ),
    commands=(
        CommandEntry(
            "evidence", ".command:app", "Show what a rollout's comparison of versions found.", "Rollouts"
        ),
    ),
    pages={
        "/console/endpoints/{name}/evidence": ("GET",),
        "/console/live/{name}/evidence": ("GET",),
    },
    tabs=((10, "/evidence", "Evidence"),),
    page_routes=".page_routes:page_routes",
)
