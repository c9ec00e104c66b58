"""Joins what traces predictions and rollouts, if the settings name a collector."""

import asyncio
import logging
import random
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from tidegate import __version__
from tidegate.compose.background import Services, Worker
from tidegate.domain.errors import StartupError
from tidegate.domain.spans import Span
from tidegate.features.tracing.acceptance_traces import AcceptanceTraces
from tidegate.features.tracing.rollout_traces import RolloutTraces
from tidegate.features.tracing.span_pipe import SpanPipe
from tidegate.features.tracing.span_receiver import SpanReceiver
from tidegate.gateway.dependencies import Gateway
from tidegate.host.atomic_write import write_private
from tidegate.host.late_import import load
from tidegate.monitoring.exposition import render_counters
from tidegate.service.prometheus import MetricSource
from tidegate.serving.contract.replica_spec import TracingSpec
from tidegate.settings import Settings

# --- the sender of spans to a collector, if the settings name one ---


MOST_HEADERS = 16 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Sender(Protocol):
    """``features/tracing/otlp.py`` has the real one."""

    def send(self, found: Sequence[Span]) -> bool: ...

    def close(self) -> None: ...


def make_sender(settings: Settings, instance: str) -> Sender | None:
    """Make the sender; None if nothing is traced. Raises StartupError."""
    if not settings.trace_endpoint:
        return None
    try:
        sender = load("tidegate.features.tracing.otlp", "OtlpSender")
    except ModuleNotFoundError as error:
        raise StartupError(
            f"TIDEGATE_TRACE_ENDPOINT is set, but {error.name} is not installed: install 'tidegate[otel]' or unset it"
        ) from None
    made: Sender = sender(settings.trace_endpoint, read_headers(settings.trace_headers), __version__, instance)
    return made


def check_settings(settings: Settings) -> None:
    """Check that a sender can be made. Raises StartupError for a missing package, and for headers that cannot be
    read."""
    sender = make_sender(settings, "")
    if sender is not None:
        sender.close()


def read_headers(path: Path | None) -> dict[str, str]:
    """Read headers from a file, by name. Raises StartupError, which never shows a value."""
    if path is None:
        return {}
    try:
        with path.expanduser().open(encoding="ascii") as file:
            text = file.read(MOST_HEADERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise StartupError(f"TIDEGATE_TRACE_HEADERS: cannot read {path}: {why}") from None
    if len(text) > MOST_HEADERS:
        raise StartupError(f"TIDEGATE_TRACE_HEADERS: {path} has more than {MOST_HEADERS} bytes")
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, value = line.partition(":")
        if line.strip():
            if (
                not colon
                or not value.strip()
                or not value.strip().isprintable()
                or not _NAME.fullmatch(name.strip())
            ):
                raise StartupError(f"TIDEGATE_TRACE_HEADERS: line {number} of {path} is not 'name: value'")
            found[name.strip().lower()] = value.strip()
    return found


# --- counters of exported and dropped spans ---


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


log = logging.getLogger("tidegate")

SOCKET, KEY = "spans.sock", "trace.key"
"""Names of the socket for spans, and of the file with the key of hashes of inference ids."""
FAREWELL = 2.0
"""Seconds that the last spans get to be exported in when the controller stops."""


@dataclass
class Tracing(Worker):
    """All of it. ``spec`` is for workers."""

    spec: TracingSpec
    pipe: SpanPipe
    receiver: SpanReceiver
    rollouts: RolloutTraces
    acceptances: AcceptanceTraces
    sender: Sender

    async def turn(self) -> None:
        await self.rollouts.turn()

    async def close(self) -> None:
        """The spans of the last predictions have come: their workers have ended."""
        self.receiver.close()
        await asyncio.to_thread(self.pipe.close, FAREWELL)
        self.sender.close()

    def tracing(self) -> TracingSpec:
        return self.spec

    def metric_lines(self) -> str:
        return render_spans(self.pipe.exported, self.pipe.dropped)

    def extend(self, gateway: Gateway) -> Gateway:
        return replace(gateway, context=replace(gateway.context, acceptances=self.acceptances))


def make_tracing(services: Services) -> Tracing:
    """Opens the socket, and starts the thread that exports. Raises StartupError."""
    settings, folder, clock = services.settings, services.folder, services.clock
    sender = make_sender(settings, folder.installation.id)
    assert sender is not None, "the manifest says so"
    path = folder.sockets / SOCKET
    parts = urlsplit(settings.trace_endpoint)
    pipe = SpanPipe(sender.send, f"{parts.scheme}://{parts.netloc}")
    receiver = SpanReceiver(path, pipe.offer, pipe.lose)
    try:
        key = _read_key(folder.path / KEY)
        receiver.open()
    except OSError as error:
        raise StartupError(f"predictions cannot be traced: {error.filename or path}: {error.strerror}") from None
    rollouts = RolloutTraces(services.store, clock, partial(_export, pipe, services.stopping))
    draw = partial(random.getrandbits, 64)
    acceptances = AcceptanceTraces(settings.trace_ratio, key, draw, clock.now, pipe.offer, pipe.lose)
    return Tracing(
        TracingSpec(socket=str(path), ratio=settings.trace_ratio, key=key),
        *(pipe, receiver, rollouts, acceptances, sender),
    )


def _read_key(path: Path) -> str:
    """The installation's own, drawn once, so that an id has the same hash for as long as the state folder lives."""
    if not path.exists():
        write_private(path, secrets.token_hex(32).encode())
    return path.read_text().strip()


async def _export(pipe: SpanPipe, stopping: asyncio.Event, spans: Sequence[Span]) -> bool:
    """Whether the collector has taken them. A controller that stops does not wait for one that hangs."""
    ordered = asyncio.wrap_future(pipe.order(spans))
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait((ordered, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    return ordered.done() and ordered.result()
