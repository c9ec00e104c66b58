"""The manifest of the feature examples."""

from tidegate.domain.feature import CommandEntry, Feature

FEATURE = Feature(
    name="examples",
    summary="Models to deploy that come with tidegate.",
    page="examples.md",
    needs=("batch", "planner"),
    commands=(
        CommandEntry(
            "demo", ".demo.command:demo", "Watch a good rollout and two bad ones, in a minute.", "Deploy and serve"
        ),
        CommandEntry("examples", ".command:app", "Deploy a model that comes with tidegate.", "Deploy and serve"),
    ),
)
