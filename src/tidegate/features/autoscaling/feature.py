"""The manifest of the feature autoscaling."""

from tidegate.domain.access import Access
from tidegate.domain.feature import CommandEntry, Feature, Loop, NativeRoute, Section

FEATURE = Feature(
    name="autoscaling",
    summary="Scaling by Application Auto Scaling's API and rules of tidegate.",
    page="autoscaling.md",
    sections=(
        Section(
            "autoscaling",
            ".spec_build:AutoscalingSpec",
            ".spec_build:build_scaling",
            ".spec_build:render_scaling",
        ),
    ),
    notes=".policy_operations:NOTES",
    operations={
        "application-autoscaling": (
            ".target_operations:OPERATIONS",
            ".policy_operations:OPERATIONS",
            ".action_operations:OPERATIONS",
        )
    },
    kinds=".scalable_records:KINDS",
    hooks={
        "endpoint": ".endpoint:EXTENSION",
        "endpoint_cards": ".card:make_cards",
        "metrics": ".metrics:METRICS",
    },
    loops=(Loop(".loop:make_loop", offset=0.2),),
    routes=(NativeRoute("GET", "/endpoints/{name}/scaling", ".native:describe_scaling", Access.READ),),
    commands=(
        CommandEntry("show scaling", ".command:scaling", "Show what is scaled, by which rules, and why.", "Look"),
    ),
)
