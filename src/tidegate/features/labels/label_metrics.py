"""The metrics of late labels, for ordinary alarms. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from tidegate.domain.metric import LABELS, MetricId, Sample
from tidegate.monitoring import sketch

MEASURES = {
    "auc": "AUC",
    "average_precision": "AveragePrecision",
    "precision_top": "PrecisionTop",
    "calibration_error": "CalibrationError",
    "accuracy": "Accuracy",
    "mean_absolute_error": "MeanAbsoluteError",
    "bias": "Bias",
    "approval": "Approval",
}
DELAY, COVERAGE, LABELLED, EVIDENCE = "LabelDelay", "LabelCoverage", "Labelled", "LabelEvidence"
"""Median in seconds; percent of the predictions; labels that count; how close a version is to having lost more than
the tolerance (1 or more: it has)."""
FEWEST = 100
"""Labels, of each class where there are two, from which measures are published: an alarm must not go off by fewer."""


def label_samples(endpoint: str, found: Mapping[str, Any], second: int) -> list[Sample]:
    """One value for each measure of each version that captures name."""
    samples = [
        _sample(endpoint, one["config"], one["variant"], name, value, second)
        for one in found["versions"]
        if one["config"]
        for name, value in _values(one)
    ]
    return samples + [
        _sample(endpoint, one["new"], one["variant"], EVIDENCE, one["evidence"], second)
        for one in found["comparisons"]
        if min(one["old_compared"], one["new_compared"])
    ]


def bad_samples(endpoint: str, found: Mapping[str, Any], second: int) -> list[Sample]:
    """Of measures that are out of date: that a version is worse for certain, which stays so. What was good may not be
    so any more, and is not said."""
    bad = [one for one in found["comparisons"] if one["evidence"] >= 1]
    return label_samples(endpoint, {"versions": [], "comparisons": bad}, second)


def _values(version: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    coverage, quality, delay = version["coverage"], version["quality"] or {}, version["delay_seconds"]
    if not coverage["labelled"]:
        return
    yield LABELLED, float(coverage["labelled"])
    yield COVERAGE, 100 * coverage["share"]
    if delay is not None:
        yield DELAY, delay["p50"]
    if _enough(quality):
        for measure, name in MEASURES.items():
            if quality.get(measure) is not None:
                yield name, quality[measure]


def _enough(quality: Mapping[str, Any]) -> bool:
    pairs = quality.get("pairs", 0)
    positives = quality.get("positives")
    return bool(pairs >= FEWEST if positives is None else min(positives, pairs - positives) >= FEWEST)


def _sample(endpoint: str, config: str, variant: str, name: str, value: float, second: int) -> Sample:
    named = {"EndpointName": endpoint, "VariantName": variant, "EndpointConfigName": config}
    unit = {DELAY: "Seconds", COVERAGE: "Percent", LABELLED: "Count"}.get(name, "None")
    metric = MetricId.of(LABELS, name, named)
    return Sample(metric, second, 1.0, value, value, value, {sketch.index(value): 1.0}, unit)
