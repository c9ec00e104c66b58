"""The manifest of the feature compare."""

from tidegate.domain.feature import CommandEntry, Feature

FEATURE = Feature(
    name="compare",
    summary="Two versions on the same rows, without traffic.",
    page="compare.md",
    needs=("evidence",),
    commands=(
        CommandEntry(
            "compare", ".command:compare", "Compare two versions on the same rows, without traffic.", "Rollouts"
        ),
    ),
)
