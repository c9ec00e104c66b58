"""The load generator in a thread, with an event loop of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import uvloop

from tidegate.domain.errors import Invalid
from tidegate.http1.messages import format_head
from tidegate.load.open_loop import LoadPlan, OpenLoop
from tidegate.load.report import LoadReport

T = TypeVar("T")
SIGNATURE_LIFETIME = 60.0
"""Seconds for which a signature is used."""


class Payload(NamedTuple):
    """A body with headers of its own, such as the model of a multi-model endpoint that it is for."""

    body: bytes
    headers: Mapping[str, str]


class LoadGenerator:
    """``start`` it, look at ``snapshot`` as often as you like, ``stop`` it; or use it in a ``with`` block.

    ``body`` is one body or several that are sent in turn; with ``sign`` none has headers of its own. ``rate`` is
    requests per second; None keeps each of the ``connections`` busy without pause (closed loop). A request without an
    answer after ``timeout`` seconds is abandoned and counts as failed. ``schedule`` has the moments (seconds after
    the start) at which requests are due, in place of a rate. ``sign`` makes the headers of a body, again every
    minute: signatures expire.
    """

    def __init__(
        self,
        url: str,
        path: str,
        body: bytes | Sequence[bytes] | Sequence[Payload],
        headers: Mapping[str, str],
        rate: float | None,
        *,
        connections: int = 32,
        timeout: float = 30.0,
        schedule: Iterable[float] | None = None,
        sign: Callable[[bytes], Mapping[str, str]] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise Invalid(f"url {url!r}: expected http://HOST:PORT")
        if rate is not None and rate <= 0:
            raise Invalid(f"rate {rate}: must be above 0 requests per second")
        if connections < 1:
            raise Invalid(f"connections {connections}: must be at least 1")
        given: list[bytes | Payload] = [body] if isinstance(body, bytes) else list(body)
        payloads = [Payload(one, {}) if isinstance(one, bytes) else one for one in given]
        messages: Sequence[bytes] = tuple(
            format_request(parts.netloc, path, {**headers, **one.headers}, one.body) for one in payloads
        )
        if sign is not None:
            messages = _SignedRequests(parts.netloc, path, [one.body for one in payloads], sign)
        load = LoadPlan(parts.hostname, parts.port or 80, messages, rate, connections, timeout, schedule)
        self._load = OpenLoop(load)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._final: LoadReport | None = None

    def start(self) -> "LoadGenerator":
        self._thread.start()
        self._call(self._start())
        return self

    def snapshot(self) -> LoadReport:
        """The run so far; after ``stop``, the whole run."""
        return self._final or self._call(self._report())

    @property
    def exhausted(self) -> bool:
        """All requests of the schedule are sent, or wait for a connection."""
        return self._load.exhausted

    def stop(self, grace: float = 5.0) -> LoadReport:
        """Sends nothing more, waits up to ``grace`` seconds for answers that are due, and closes. May be called
        again."""
        if self._final is None:
            self._final = self._call(self._load.stop(grace))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        return self._final

    def __enter__(self) -> "LoadGenerator":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(grace=5.0 if error is None else 0.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _start(self) -> None:
        self._load.start()

    async def _report(self) -> LoadReport:
        return self._load.report()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class _SignedRequests(Sequence[bytes]):
    """Requests with signed headers, each made when it is needed and no older than a minute."""

    def __init__(
        self, host: str, path: str, bodies: Sequence[bytes], sign: Callable[[bytes], Mapping[str, str]]
    ) -> None:
        self._host, self._path, self._bodies, self._sign = host, path, bodies, sign
        self._cache: dict[int, tuple[float, bytes]] = {}

    def __len__(self) -> int:
        return len(self._bodies)

    def __getitem__(self, index: Any) -> Any:
        now, known = time.monotonic(), self._cache.get(index)
        if known is None or now - known[0] > SIGNATURE_LIFETIME:
            body = self._bodies[index]
            known = self._cache[index] = now, format_request(self._host, self._path, self._sign(body), body)
        return known[1]


def format_request(host: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """One POST request, head and body. Raises Invalid."""
    if any("\r" in text or "\n" in text for text in (host, path, *headers, *headers.values())):
        raise Invalid("a header or path with a line break cannot be sent")
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return format_head("POST", path, fields, len(body), host.encode("latin-1")) + body
