"""The manifest of the feature rehearse."""

from tidegate.domain.feature import CommandEntry, Feature

FEATURE = Feature(
    name="rehearse",
    summary="Rollouts simulated and rehearsed, and what guards can detect.",
    page="promise.md",
    needs=("evidence",),
    commands=(
        CommandEntry(
            "simulate",
            ".simulate_command:simulate_spec",
            "Show what a spec's rollout would do, and when.",
            "Plan and price",
        ),
        CommandEntry(
            "promise",
            ".promise_command:promise_spec",
            "Compute what a spec's rollout can detect.",
            "Plan and price",
        ),
        CommandEntry(
            "rehearse",
            ".command:rehearse_spec",
            "Rehearse a rollout with a bad version, many times.",
            "Plan and price",
        ),
    ),
    pages={
        "/tidegate/v1/promise": ("POST",),
        "/tidegate/v1/rehearse": ("POST",),
        "/tidegate/v1/simulate": ("POST",),
    },
    hooks={"native_operations": ".compute_api:OPERATIONS"},
    page_routes=".page_routes:page_routes",
)
