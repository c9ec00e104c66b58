"""Spans as OpenTelemetry's own, sent to a collector by OTLP over HTTP. Needs the extra ``tidegate[otel]``; nothing
else of tidegate imports OpenTelemetry.

Settings are given, not read from OTEL_* variables, except those of certificates. ``send`` blocks for ``TIMEOUT``
seconds at the most, as long as parts of the response arrive at all.
"""

import logging
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from tidegate.domain import spans
from tidegate.domain.spans import Span

TIMEOUT = 5.0
"""Seconds for one export, the library's own tries again included."""
_KINDS = {kind: SpanKind[kind.name] for kind in spans.SpanKind}


class OtlpSender:
    """``endpoint``: the collector's address, below which ``/v1/traces`` is asked. ``headers`` may hold a token."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], version: str, instance: str) -> None:
        for name in ("opentelemetry", "urllib3"):  # each failure would be a line; ``SpanPipe`` logs the first
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._resource = Resource(
            {"service.name": "tidegate", "service.version": version, "service.instance.id": instance}
        )
        self._scope = InstrumentationScope("tidegate", version)
        self._exporter = OTLPSpanExporter(
            endpoint=f"{endpoint}/v1/traces", headers=dict(headers), timeout=TIMEOUT, compression=Compression.Gzip
        )

    def send(self, found: Sequence[Span]) -> bool:
        """Whether the collector has taken them."""
        return self._exporter.export([self._convert(span) for span in found]) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """End a pause between two tries."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _convert(self, span: Span) -> ReadableSpan:
        state = TraceState.from_header([span.state]) if span.state else None
        link = span.link
        return ReadableSpan(
            span.name,
            _context(span.trace_id, span.span_id, state),
            parent=None if span.parent is None else _context(span.trace_id, span.parent),
            resource=self._resource,
            attributes=dict(span.attributes),
            events=[Event(event.name, dict(event.attributes), event.at) for event in span.events],
            links=[] if link is None else [Link(_context(link.trace_id, link.span_id))],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=self._scope,
        )


def _context(trace_id: str, span_id: str, state: TraceState | None = None) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), False, TraceFlags(TraceFlags.SAMPLED), state)
