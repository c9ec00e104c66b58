"""The manifest of the feature planner."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, NativeRoute

FEATURE = Feature(
    name="planner",
    summary="A deployment planned from questions.",
    page="planner.md",
    needs=("cost", "rehearse"),
    routes=(
        NativeRoute("GET", "/plan", ".api:asked", Access.READ),
        NativeRoute("POST", "/plan", ".api:make", Access.READ),
    ),
    commands=(
        CommandEntry("plan", ".command:plan", "Plan a deployment, each choice with its reason.", "Plan and price"),
    ),
)
