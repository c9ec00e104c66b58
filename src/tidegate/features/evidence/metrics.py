"""The metrics of comparisons, for ordinary alarms: how close each one is to a failure. Pure."""

from tidegate.domain.evidence import Comparison, EvidenceRecord
from tidegate.domain.metric import EVIDENCE, MetricId, Sample
from tidegate.monitoring import sketch

NAMES = {
    Comparison.ERRORS: "ErrorEvidence",
    Comparison.LATENCY: "LatencyEvidence",
    Comparison.PREDICTIONS: "PredictionEvidence",
    Comparison.PAIRED: "PairedEvidence",
    Comparison.FEATURES: "FeatureEvidence",
    Comparison.TEXT: "TextEvidence",
}
ALL = "Evidence"
"""The largest of them."""


def evidence_samples(record: EvidenceRecord, second: int) -> list[Sample]:
    """One value per comparison of each variant whose new version got requests, or copies of them: 1 or more says that
    its difference exceeds the tolerance. Values never fall in the course of a rollout."""
    made: list[Sample] = []
    for variant in record.variants:
        results = [one for one in record.verdict.results if one.variant == variant]
        values = {NAMES[one.comparison]: one.evidence for one in results if one.counts[2] or one.pairs[0]}
        if values:
            values[ALL] = max(values.values())
        named = {"EndpointName": record.endpoint, "VariantName": variant, "EndpointConfigName": record.new_config}
        made += [_sample(MetricId.of(EVIDENCE, name, named), value, second) for name, value in values.items()]
    return made


def _sample(metric: MetricId, value: float, second: int) -> Sample:
    return Sample(metric, second, 1.0, value, value, value, {sketch.index(value): 1.0})
