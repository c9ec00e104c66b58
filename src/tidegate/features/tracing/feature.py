"""The manifest of the feature tracing."""

from tidegate.domain.feature import Feature

FEATURE = Feature(
    name="tracing",
    summary="Traces of predictions and rollouts by OpenTelemetry.",
    page="tracing.md",
)
