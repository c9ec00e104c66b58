"""A worker that notes, of each request, when it passed each stage and what it waited for.

``python -m bench.tail_probe REPLICA.json NOTES.json``: a worker like any other; when it ends it writes its notes.
Times are of the monotonic clock, which client and worker share.
"""

import functools
import gc
import resource
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tidegate.features.multi_model.worker.cache import Cache
from tidegate.features.multi_model.worker.loading import Loader
from tidegate.features.multi_model.worker.metrics import Labels
from tidegate.serving.__main__ import main
from tidegate.serving.contract.invocation import Call, ModelEngine
from tidegate.serving.front.connection import Connection, Request
from tidegate.serving.front.header_cache import HeaderCache
from tidegate.serving.front.request_stats import RequestStats
from tidegate.serving.front.response_formats import ResponseFormat
from tidegate.serving.front.server import Server
from tidegate.serving.process.lifecycle import WorkerProcess

KEPT = 200_000
"""Requests and spans of other work that are kept; the last ones."""

BLOCKING: tuple[tuple[type, str, str], ...] = (
    (RequestStats, "fold", "counting"),
    (Server, "statistics", "statistics"),
    (HeaderCache, "_parse", "a new head"),
    (Labels, "choose", "choice of labels"),
    (Cache, "drop", "eviction"),
)
"""Work of the event loop that is not for one request."""


class Noted(msgspec.Struct, array_like=True):
    """One request: by its body, with the times at which it was read, given to the engine and answered; and of the
    process since the last request: seconds of waiting for a processor (``delay``) and page faults."""

    body: str
    read: float
    given: float
    answered: float
    delay: float
    minor: int
    major: int
    compute: float
    """Processor time of the event loop's thread between ``given`` and ``answered``."""


class Span(msgspec.Struct, array_like=True):
    """Other work of the process: its kind, begin and end."""

    kind: str
    begin: float
    end: float


class Notes(msgspec.Struct):
    requests: list[Noted]
    spans: list[Span]


class Probe:
    """For the event loop's thread, but ``span``, which any thread may use."""

    def __init__(self) -> None:
        self.requests: deque[Noted] = deque(maxlen=KEPT)
        self.spans: deque[Span] = deque(maxlen=KEPT)
        self.read = 0.0
        self._waited = 0
        self._faults = (0, 0)
        self._collecting = 0.0
        self._open: dict[Connection, Noted] = {}

    def begin(self, connection: Connection, call: Call) -> None:
        waited = int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_bytes().split()[1])
        usage = resource.getrusage(resource.RUSAGE_SELF)
        delay, self._waited = waited - self._waited, waited
        minor, major = usage.ru_minflt - self._faults[0], usage.ru_majflt - self._faults[1]
        self._faults = usage.ru_minflt, usage.ru_majflt
        body = call.body.decode("latin-1")
        noted = Noted(body, self.read, time.monotonic(), 0.0, delay / 1e9, minor, major, time.thread_time())
        self._open[connection] = noted

    def end(self, connection: Connection) -> None:
        noted = self._open.pop(connection, None)
        if noted is not None:
            noted.answered, noted.compute = time.monotonic(), time.thread_time() - noted.compute
            self.requests.append(noted)

    def collected(self, phase: str, _about: dict[str, int]) -> None:
        now = time.monotonic()
        if phase == "start":
            self._collecting = now
        else:
            self.spans.append(Span("collection", self._collecting, now))

    def timed(self, kind: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def run(*given: object, **named: object) -> object:
            begin = time.monotonic()
            try:
                return work(*given, **named)
            finally:
                self.spans.append(Span(kind, begin, time.monotonic()))

        return run


def install(probe: Probe, notes: Path) -> None:
    """Put the probe into the worker's classes."""
    received, submit, reply = Connection.data_received, Server._submit, Connection.reply
    aside, run = Loader.aside, WorkerProcess.run

    def data_received(self: Connection, data: bytes) -> None:
        probe.read = time.monotonic()
        received(self, data)

    def submitted(
        self: Server,
        engine: ModelEngine,
        connection: Connection,
        request: Request,
        call: Call,
        fmt: ResponseFormat,
    ) -> None:
        probe.begin(connection, call)
        submit(self, engine, connection, request, call, fmt)

    def replied(self: Connection, response: bytes, close: bool) -> None:
        reply(self, response, close)
        probe.end(self)

    def beside(self: Loader, work: Callable[..., Any], *arguments: object) -> Any:
        name = getattr(work, "__name__", type(work).__name__).strip("_")
        return aside(self, probe.timed(f"thread: {name}", work), *arguments)

    async def live(self: WorkerProcess) -> int:
        code = await run(self)
        notes.write_bytes(msgspec.json.encode(Notes(list(probe.requests), list(probe.spans))))
        return code

    for owner, name, new in (
        (Connection, "data_received", data_received),
        (Connection, "reply", replied),
        (Server, "_submit", submitted),
        (Loader, "aside", beside),
        (WorkerProcess, "run", live),
    ):
        setattr(owner, name, new)
    for part, name, kind in BLOCKING:
        setattr(part, name, probe.timed(kind, getattr(part, name)))
    gc.callbacks.append(probe.collected)


if __name__ == "__main__":
    install(Probe(), Path(sys.argv[2]))
    sys.exit(main(sys.argv[1:2]))
