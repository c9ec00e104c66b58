"""Counters of exported and dropped spans."""

from tidegate.monitoring.exposition import render_counters
from tidegate.service.prometheus import MetricSource

EXPORTED, DROPPED = "tidegate_trace_spans_exported_total", "tidegate_trace_spans_dropped_total"
SPAN_COUNTERS = (
    (EXPORTED, "Spans that the collector has taken"),
    (DROPPED, "Spans that were dropped: no room, no collector, or too many traced requests in a second"),
)


class _SpanMetrics(MetricSource):
    """Says which there are. Their lines are those of the process that traces (``start.Tracing.metric_lines``)."""

    families = tuple((name, "counter", text) for name, text in SPAN_COUNTERS)


METRICS = _SpanMetrics()


def render_spans(exported: int, dropped: int) -> str:
    """Lines to append to the page."""
    return render_counters(SPAN_COUNTERS, {EXPORTED: exported, DROPPED: dropped})
