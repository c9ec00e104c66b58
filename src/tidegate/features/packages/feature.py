"""The manifest of the feature packages."""

from tidegate.domain.feature import Feature

FEATURE = Feature(
    name="packages",
    summary="Model packages and their approval.",
    page="images.md",
    notes=".operations:NOTES",
    operations={"sagemaker": (".operations:OPERATIONS",)},
    kinds=".records:KINDS",
    hooks={
        "event_shapes": ".events:SHAPES",
        "package_containers": ".operations:find_containers",
        "check_containers": ".service:check_approved",
        "taggable": ".records:TAGGABLE",
    },
)
