"""The manifest of the feature monitor."""

from tidegate.domain.feature import CommandEntry, Feature, Loop

FEATURE = Feature(
    name="monitor",
    summary="SageMaker Model Monitor: schedules, quality and bias.",
    page="monitoring.md",
    needs=("capture", "drift"),
    notes=".notes:NOTES",
    operations={
        "sagemaker": (
            ".job_operations:OPERATIONS",
            ".operations:OPERATIONS",
            ".processing_operations:OPERATIONS",
        )
    },
    kinds=".schedules:KINDS",
    commands=(
        CommandEntry("drift schedule", ".command:app", "Watch an endpoint's captured requests for drift.", "Look"),
    ),
    hooks={"taggable": ".schedules:TAGGABLE"},
    loops=(
        Loop(".processing_loop:make_schedules", kind=".schedules:MONITORING_SCHEDULE"),
        Loop(".processing_loop:make_jobs", kind=".schedules:PROCESSING"),
    ),
)
