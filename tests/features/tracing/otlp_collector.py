"""A collector for tests: takes spans by OTLP over HTTP, as a real one does, or refuses them."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collected:
    """One span, in plain words."""

    def __init__(self, span: Any) -> None:
        self.name: str = span.name
        self.trace: str = span.trace_id.hex()
        self.id: str = span.span_id.hex()
        self.parent: str = span.parent_span_id.hex()
        self.start: int = span.start_time_unix_nano
        self.end: int = span.end_time_unix_nano
        self.kind: int = span.kind
        self.state: str = span.trace_state
        self.failed: bool = span.status.code == 2
        self.attributes = _plain(span.attributes)
        self.events = [(event.name, _plain(event.attributes)) for event in span.events]
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class Collector:
    """``status``: what it answers with; ``headers`` are those of the last export. While ``hangs`` is cleared, it does
    not answer at all."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.goes_on = threading.Event()
        self.goes_on.set()
        self._spans: list[Collected] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.asked += 1
                collector.goes_on.wait(60)
                if collector.status == 200 and self.path == "/v1/traces":
                    collector._take(gzip.decompress(body), {k.lower(): v for k, v in self.headers.items()})
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def spans(self) -> list[Collected]:
        return list(self._spans)

    def trace(self, id: str) -> list[Collected]:
        return [span for span in self.spans if span.trace == id]

    def _take(self, body: bytes, headers: dict[str, str]) -> None:
        self.headers = headers
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            assert _plain(resource.resource.attributes)["service.name"] == "tidegate"
            for scope in resource.scope_spans:
                self._spans += [Collected(span) for span in scope.spans]

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.goes_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
