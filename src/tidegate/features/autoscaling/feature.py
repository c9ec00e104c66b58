"""The manifest of the feature autoscaling."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, NativeRoute

FEATURE = Feature(
    name="autoscaling",
    summary="Scaling by Application Auto Scaling's API and rules of tidegate.",
    page="autoscaling.md",
    sections=("autoscaling",),
    notes=".notes:NOTES",
    operations={
        "application-autoscaling": (
            ".target_operations:OPERATIONS",
            ".policy_operations:OPERATIONS",
            ".action_operations:OPERATIONS",
        )
    },
    kinds=".kinds:KINDS",
    routes=(NativeRoute("GET", "/endpoints/{name}/scaling", ".native:describe_scaling", Access.READ),),
    commands=(
        CommandEntry("scaling", ".command:scaling", "Show what is scaled, by which rules, and why.", "Look"),
    ),
)
