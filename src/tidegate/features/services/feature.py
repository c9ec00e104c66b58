"""The manifest of the feature services."""

from tidegate.domain.feature import Feature

FEATURE = Feature(
    name="services",
    summary="Models that are HTTP services which run already.",
    page="services.md",
    hooks={
        "check_machine": ".check:check_services",
        "check_service": ".check:check_service",
        "worker_service": ".worker.replicas:open_service",
    },
)
