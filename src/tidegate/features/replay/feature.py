"""The manifest of the feature replay."""

from tidegate.domain.feature import CommandEntry, Feature

FEATURE = Feature(
    name="replay",
    summary="Recorded requests sent to an endpoint again.",
    page="replay.md",
    commands=(
        CommandEntry("replay", "", "Make traces, and send them to an endpoint.", "Jobs and load"),
        CommandEntry(
            "replay run", ".command:replay", "Send a trace to an endpoint and report the answers.", "Jobs and load"
        ),
        CommandEntry("replay trace", ".command:app", "Make a trace to replay.", "Jobs and load"),
    ),
)
