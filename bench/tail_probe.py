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

from tidegate.serving.__main__ import main
from tidegate.serving.contract.invocation import Call, Done, Outcome
from tidegate.serving.front.connection import Connection
from tidegate.serving.front.server import Server
from tidegate.serving.multimodel.engine import MultiModelEngine
from tidegate.serving.multimodel.loading import Loader
from tidegate.serving.process.lifecycle import Worker

KEPT = 200_000
"""Requests and spans of other work that are kept; the last ones."""


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

    def note(self, call: Call, done: Done) -> Done:
        given, spent, read = time.monotonic(), time.thread_time(), self.read
        waited = int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_bytes().split()[1])
        usage = resource.getrusage(resource.RUSAGE_SELF)
        delay, self._waited = waited - self._waited, waited
        minor, major = usage.ru_minflt - self._faults[0], usage.ru_majflt - self._faults[1]
        self._faults = usage.ru_minflt, usage.ru_majflt

        def answered(outcome: Outcome) -> None:
            now = time.monotonic()
            took = time.thread_time() - spent
            body = call.body.decode("latin-1")
            self.requests.append(Noted(body, read, given, now, delay / 1e9, minor, major, took))
            done(outcome)

        return answered

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
    received, submit, aside, run = Connection.data_received, MultiModelEngine.submit, Loader.aside, Worker.run

    def data_received(self: Connection, data: bytes) -> None:
        probe.read = time.monotonic()
        received(self, data)

    def submitted(self: MultiModelEngine, call: Call, done: Done) -> None:
        submit(self, call, probe.note(call, done))

    def beside(self: Loader, work: Callable[..., Any], *arguments: object) -> Any:
        name = getattr(work, "__name__", type(work).__name__).strip("_")
        return aside(self, probe.timed(f"thread: {name}", work), *arguments)

    async def live(self: Worker) -> int:
        code = await run(self)
        notes.write_bytes(msgspec.json.encode(Notes(list(probe.requests), list(probe.spans))))
        return code

    for owner, name, new in (
        (Connection, "data_received", data_received),
        (MultiModelEngine, "submit", submitted),
        (Loader, "aside", beside),
        (Worker, "run", live),
        (Server, "statistics", probe.timed("statistics", Server.statistics)),
    ):
        setattr(owner, name, new)
    gc.callbacks.append(probe.collected)


if __name__ == "__main__":
    install(Probe(), Path(sys.argv[2]))
    sys.exit(main(sys.argv[1:2]))
