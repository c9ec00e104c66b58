"""Joins what traces predictions and rollouts, if the settings name a collector."""

import asyncio
import logging
import random
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from tidegate import __version__
from tidegate.domain.errors import StartupError
from tidegate.domain.spans import Span
from tidegate.features.tracing.acceptance_traces import AcceptanceTraces
from tidegate.features.tracing.rollout_traces import RolloutTraces
from tidegate.features.tracing.span_metrics import render_spans
from tidegate.features.tracing.span_pipe import SpanPipe
from tidegate.features.tracing.span_receiver import SpanReceiver
from tidegate.host.atomic_write import write_private
from tidegate.host.late_import import load
from tidegate.host.state_folder import StateFolder
from tidegate.ports.clock import Clock
from tidegate.ports.store import Store
from tidegate.serving.contract.replica_spec import TracingSpec
from tidegate.settings import Settings

log = logging.getLogger("tidegate")

SOCKET, KEY = "spans.sock", "trace.key"
"""Names of the socket for spans, and of the file with the key of hashes of inference ids."""
FAREWELL = 2.0
"""Seconds that the last spans get to be exported in when the controller stops."""
EVERY = 2.0
"""Seconds between looks at the journal."""
MOST_HEADERS = 16 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Sender(Protocol):
    """``features/tracing/otlp.py`` has the real one."""

    def send(self, found: Sequence[Span]) -> bool: ...

    def close(self) -> None: ...


@dataclass
class Tracing:
    """All of it. ``spec`` is for workers."""

    spec: TracingSpec
    pipe: SpanPipe
    receiver: SpanReceiver
    rollouts: RolloutTraces
    acceptances: AcceptanceTraces
    sender: Sender

    async def close(self) -> None:
        """Workers and loops have ended."""
        self.receiver.close()
        await asyncio.to_thread(self.pipe.close, FAREWELL)
        self.sender.close()

    def counted(self) -> str:
        """Lines of the Prometheus page."""
        return render_spans(self.pipe.exported, self.pipe.dropped)


def make_sender(settings: Settings, instance: str) -> Sender | None:
    """None: nothing is traced. Raises StartupError."""
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


def join_tracing(
    settings: Settings, folder: StateFolder, store: Store, clock: Clock, stopping: asyncio.Event
) -> Tracing | None:
    """What is open already: the socket, and the thread that exports. Raises StartupError."""
    sender = make_sender(settings, folder.installation.id)
    if sender is None:
        return None
    path = folder.sockets / SOCKET
    parts = urlsplit(settings.trace_endpoint)
    pipe = SpanPipe(sender.send, f"{parts.scheme}://{parts.netloc}")
    receiver = SpanReceiver(path, pipe.offer, pipe.lose)
    try:
        key = _read_key(folder.path / KEY)
        receiver.open()
    except OSError as error:
        raise StartupError(f"predictions cannot be traced: {error.filename or path}: {error.strerror}") from None
    rollouts = RolloutTraces(store, clock, partial(_export, pipe, stopping))
    draw = partial(random.getrandbits, 64)
    acceptances = AcceptanceTraces(settings.trace_ratio, key, draw, clock.now, pipe.offer, pipe.lose)
    return Tracing(
        TracingSpec(socket=str(path), ratio=settings.trace_ratio, key=key),
        *(pipe, receiver, rollouts, acceptances, sender),
    )


def read_headers(path: Path | None) -> dict[str, str]:
    """Headers of a file, by name. Raises StartupError, which never shows a value."""
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
