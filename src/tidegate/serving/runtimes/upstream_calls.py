"""Forwards the calls of a replica to the HTTP server behind its front: a program's, a container's, a service."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tidegate.domain.errors import Invalid
from tidegate.http1.messages import ConnectionBroken, HttpReply, LongBody, StreamedReply, Streaming
from tidegate.serving.contract.body_spool import IN_MEMORY, LargeCall, Spool
from tidegate.serving.contract.invocation import (
    GONE,
    PATH,
    Answer,
    Call,
    Done,
    ModelFailed,
    Outcome,
    Stream,
    TimedOut,
)
from tidegate.serving.contract.replica_spec import ReplicaSpec

_REQUEST_HEADERS = (b"content-type", b"accept")
_PREFIX = b"x-amzn-sagemaker-"
_RESPONSE_HEADERS = {
    b"x-amzn-sagemaker-custom-attributes": b"X-Amzn-SageMaker-Custom-Attributes",
    b"x-amzn-sagemaker-new-session-id": b"X-Amzn-SageMaker-New-Session-Id",
    b"x-amzn-sagemaker-closed-session-id": b"X-Amzn-SageMaker-Closed-Session-Id",
}
Headers = list[tuple[bytes, bytes]]


class UpstreamClient(Protocol):
    """A client of the server. It raises ConnectionBroken or ValueError, as ``HttpClient`` does."""

    async def request(
        self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]] = ..., body: bytes = ...
    ) -> HttpReply:
        """Send a request and return the whole response."""

    async def stream(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | LongBody,
        streaming: Streaming,
    ) -> HttpReply | StreamedReply:
        """Like ``request``; a response that is streamed is returned with its head."""


@dataclass(frozen=True)
class UpstreamRequest:
    """A request as the server gets it."""

    method: str
    path: str
    headers: Headers
    body: bytes | LongBody


class UpstreamDialect:
    """How calls become requests of the server's protocol, and its responses answers: SageMaker's container contract,
    in which bodies go through unchanged. Other protocols derive from it."""

    endpoint = ""
    """Name of the endpoint whose calls these are."""

    def __init__(self, predict: str = "/invocations", headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """``headers`` are sent with each request, as they are then."""
        self._predict = predict
        self._headers = headers

    async def prepare(self, client: "UpstreamClient") -> None:
        """Ask the server, which is ready, for what requests depend on. Raises Invalid or Transient."""

    def make_request(self, call: Call) -> UpstreamRequest:
        """Make the request of a call. Raises Invalid, or ModelFailed for a body that does not fit the model."""
        headers = [
            (name, value)
            for name, value in call.headers.items()
            if name in _REQUEST_HEADERS or name.startswith(_PREFIX)
        ]
        path = call.headers[PATH].decode("latin-1") if PATH in call.headers else self._predict
        spool = call.spool if isinstance(call, LargeCall) else None
        body = call.body if spool is None else LongBody(len(spool), partial(_read, spool))
        method = "POST" if body or PATH not in call.headers else "GET"
        return UpstreamRequest(method, path, [*headers, *self._headers], body)

    def read_answer(self, call: Call, reply: HttpReply) -> Answer:
        """Make the answer of a whole response with a 2xx status. Raises ValueError for one that cannot be read."""
        return Answer(reply.body, _content_type(reply), _kept_headers(reply))

    def read_stream(self, call: Call, reply: StreamedReply) -> Stream:
        """Make the answer of a response with a 2xx status that is streamed."""
        return Stream(_content_type(reply), reply.parts, _kept_headers(reply))


class UpstreamCalls:
    """The calls that are under way. ``client`` is set once the server answers."""

    def __init__(
        self,
        spec: ReplicaSpec,
        name: str,
        dialect: UpstreamDialect | None = None,
        *,
        what: str = "container",
        hide: Callable[[str], str] = str,
    ) -> None:
        """``name``: of the container, in errors; ``what``: what it is. ``hide`` takes secrets out of errors."""
        self._spec = spec
        self._name, self._what, self._hide = name, what, hide
        self._dialect = UpstreamDialect() if dialect is None else dialect
        self._dialect.endpoint = spec.fleet.endpoint
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: set[Call] = set()
        """Calls whose answers may be streams."""
        self.client: UpstreamClient | None = None
        self.answers = 0
        """Number of complete answers."""

    @property
    def at_work(self) -> bool:
        return bool(self._tasks or self._streams)

    def submit(self, call: Call, done: Done) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._answer(call, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step takes none, and would tell no outcome.
        call.on_abandon(lambda: loop.call_soon(task.cancel))

    def cancel(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    async def _answer(self, call: Call, done: Done) -> None:
        try:
            outcome = await self._forward(call)
        except asyncio.CancelledError:
            done(GONE if call.abandoned else self._failure(0, "The server went away."))
            raise
        except Exception as error:  # whatever a dialect stumbles over, the call has an outcome
            done(self._failure(0, f"The request cannot be forwarded: {type(error).__name__}: {error}."))
            raise
        done(outcome)

    async def _forward(self, call: Call) -> Outcome:
        assert self.client is not None
        try:
            request = self._dialect.make_request(call)
        except Invalid as error:
            return self._failure(400, error.message)
        except ModelFailed as failed:
            return self._failure(failed.status, failed.message)
        parts = call.parts or self._spec.max_body > IN_MEMORY
        streaming = Streaming(IN_MEMORY, self._wrong, partial(self._streams.discard, call)) if parts else None
        method, path, headers, body = request.method, request.path, request.headers, request.body
        try:
            async with asyncio.timeout(self._spec.invocation_timeout):
                if streaming is None:
                    assert isinstance(body, bytes)
                    reply: HttpReply | StreamedReply = await self.client.request(method, path, headers, body)
                else:
                    self._streams.add(call)
                    reply = await self.client.stream(method, path, headers, body, streaming)
        except BaseException as error:
            self._streams.discard(call)
            return self._no_answer(error)
        self.answers += 1
        if isinstance(reply, HttpReply):
            self._streams.discard(call)
        return self._outcome(call, reply)

    def _no_answer(self, error: BaseException) -> ModelFailed:
        if isinstance(error, TimeoutError):
            return TimedOut(self._name)
        if isinstance(error, ConnectionBroken | ValueError):
            return self._failure(0, f"The {self._what} gave no answer: {error}.")
        raise error

    def _wrong(self, error: Exception) -> ModelFailed:
        return self._failure(0, f"The {self._what}'s answer ended too early: {error}.")

    def _outcome(self, call: Call, reply: HttpReply | StreamedReply) -> Outcome:
        if isinstance(reply, StreamedReply):
            return self._dialect.read_stream(call, reply)
        if 300 <= reply.status < 400 and b"location" in reply.headers:
            place = reply.headers[b"location"].partition(b"?")[0].decode("latin-1")
            message = f"The {self._what} redirects to {place}, and redirects are not followed."
            return self._failure(reply.status, message)
        if not 200 <= reply.status < 300:
            return self._failure(reply.status, reply.body[:16_384].decode("utf-8", "replace"))
        try:
            return self._dialect.read_answer(call, reply)
        except ValueError as error:
            return self._failure(0, f"The {self._what}'s answer cannot be read: {error}.")

    def _failure(self, status: int, message: str) -> ModelFailed:
        return ModelFailed(status, self._hide(message), self._name)


def _content_type(reply: HttpReply | StreamedReply) -> str:
    return reply.headers.get(b"content-type", b"application/octet-stream").decode("latin-1")


def _kept_headers(reply: HttpReply | StreamedReply) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (_RESPONSE_HEADERS[name], reply.headers[name]) for name in _RESPONSE_HEADERS if name in reply.headers
    )


async def _read(spool: Spool) -> AsyncGenerator[bytes, None]:
    for part in spool.parts():
        yield part
