"""The metrics of a drift schedule's runs, for ordinary alarms. Pure."""

from tidegate.domain.drift import DriftOutcome, DriftVerdict
from tidegate.domain.metric import DRIFT, MetricId, Sample
from tidegate.monitoring import sketch


def drift_samples(endpoint: str, outcome: DriftOutcome, second: int) -> list[Sample]:
    """``Unknown`` is there after each look; the others only where there is something to say, so that silence never
    counts as no drift."""
    unknown = outcome.verdict is DriftVerdict.UNKNOWN
    values = {"Unknown": float(unknown)}
    named = {"EndpointName": endpoint}
    if not unknown:
        values["Drift"] = float(outcome.verdict is DriftVerdict.DRIFT)
        values["DriftedColumns"] = float(outcome.drifted)
        values["Violations"] = float(outcome.total)
        values["Rows"] = float(outcome.rows)
    made = [make_sample(MetricId.of(DRIFT, name, named), value, second) for name, value in values.items()]
    for column, distance in outcome.distances.items():
        if is_dimension(column):
            made.append(make_sample(MetricId.of(DRIFT, "Distance", {**named, "Column": column}), distance, second))
    return made


def is_dimension(text: str) -> bool:
    """Whether CloudWatch would take it for the value of a dimension."""
    return 0 < len(text) <= 1024 and text.isascii() and text.isprintable() and bool(text.strip())


def make_sample(metric: MetricId, value: float, second: int) -> Sample:
    return Sample(metric, second, 1.0, value, value, value, {sketch.index(value): 1.0})
