"""The manifest of the feature tracing."""

from tidegate.domain.feature import Feature, Loop

FEATURE = Feature(
    name="tracing",
    summary="Traces of predictions and rollouts by OpenTelemetry.",
    page="tracing.md",
    loops=(Loop(".start:make_tracing", 2.0, setting="trace_endpoint"),),
    hooks={
        "check_settings": ".start:check_settings",
        "metrics": ".start:METRICS",
        "worker_traced_server": ".worker.traced_server:TracedServer",
    },
)
