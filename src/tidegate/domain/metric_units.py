"""Units of SageMaker's metrics, for those that people write and read otherwise."""

LATENCIES = (
    *("ModelLatency", "OverheadLatency", "ContainerLatency", "InFlightLatency", "QueueTime"),
    *("ModelLoadingWaitTime", "ModelDownloadingTime", "ModelLoadingTime", "ModelUnloadingTime"),
)
"""Metrics in microseconds, as on SageMaker."""
RATES = (
    "Invocation4XXErrors",
    "Invocation5XXErrors",
    "InvocationModelErrors",
    "ModelCacheHit",
    "MirrorCopies",
    "MirrorAgreement",
)
"""Metrics that are 0 or 1 per request, so that their Average is a rate."""
