"""The figures of an endpoint's last seconds fit one another, whatever arrives while they are read."""

from datetime import UTC, datetime

from tests.memory_metrics import BusyMetrics
from tidegate.domain.metric import SAGEMAKER, MetricId, Sample
from tidegate.gateway.live import read_activity

NOW = 100_000


async def test_requests_and_their_errors_are_of_one_moment() -> None:
    def sample(name: str, config: str) -> Sample:
        named = {"EndpointName": "fraud", "VariantName": "main", "EndpointConfigName": config}
        return Sample(MetricId.of(SAGEMAKER, name, named), NOW - 1, 10, 10, 1, 1, {1: 10})

    names = ("Invocations", "Invocation5XXErrors", "InvocationModelErrors", "ModelLatency")
    each = [sample(name, config) for name in names for config in ("old", "new")]
    metrics = BusyMetrics(list(each), arriving=each)
    found = await read_activity(metrics, "fraud", 10, datetime.fromtimestamp(NOW, UTC))
    assert [(one.config, one.requests, one.errors_5xx, one.model_errors) for one in found] == [
        ("new", 10, 10, 10),
        ("old", 10, 10, 10),
    ]
