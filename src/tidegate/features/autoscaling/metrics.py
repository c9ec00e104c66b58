"""Scalable targets on the Prometheus page."""

from collections.abc import Iterator, Sequence

from tidegate.domain.scaling import ScalableTarget
from tidegate.features.autoscaling.observation import read_counts
from tidegate.features.autoscaling.scalable_records import SCALABLE
from tidegate.ports.store import Tx
from tidegate.service.prometheus import MetricSample, MetricSource, Observed


class _ScalingMetrics(MetricSource):
    """Unknown values have no line."""

    families = (
        ("tidegate_scaling_desired", "gauge", "Desired count of a scalable target"),
        ("tidegate_scaling_ready", "gauge", "Ready count of a scalable target"),
        ("tidegate_scaling_minimum", "gauge", "Minimum count of a scalable target"),
        ("tidegate_scaling_maximum", "gauge", "Maximum count of a scalable target"),
    )

    def read(self, tx: Tx) -> list[ScalableTarget]:
        return [saved.body.target for saved in tx.find(SCALABLE).items]

    def samples(self, found: Sequence[ScalableTarget], endpoints: Observed) -> Iterator[MetricSample]:
        known = {endpoint.name: (endpoint, seen) for endpoint, seen in endpoints}
        for target in found:
            if target.endpoint in known:
                endpoint, seen = known[target.endpoint]
                counted = read_counts(endpoint, target, seen)
                labels = {
                    "endpoint": target.endpoint,
                    "variant": target.variant,
                    "dimension": target.dimension.value,
                }
                values = (counted.desired, counted.ready, target.minimum, target.maximum)
                for (name, _, _), value in zip(self.families, values, strict=True):
                    if value is not None:
                        yield MetricSample(name, labels, value)


METRICS = _ScalingMetrics()
