"""What became of spans, in Prometheus's text format."""

EXPORTED, DROPPED = "tidegate_trace_spans_exported_total", "tidegate_trace_spans_dropped_total"
SPAN_COUNTERS = (
    (EXPORTED, "Spans that the collector has taken"),
    (DROPPED, "Spans that were dropped: no room, no collector, or too many traced requests in a second"),
)


def render_spans(exported: int, dropped: int) -> str:
    """Lines to append to the page."""
    values = {EXPORTED: exported, DROPPED: dropped}
    lines = [
        line
        for name, text in SPAN_COUNTERS
        for line in (f"# HELP {name} {text}.", f"# TYPE {name} counter", f"{name} {values[name]}")
    ]
    return "\n".join(lines) + "\n"
