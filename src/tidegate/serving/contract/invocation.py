"""A call for a prediction, its outcome, and the interface of engines."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from tidegate.serving.contract.call_trace import CallTrace

PRIMARY = "primary"
"""SageMaker's name for the only container of a model."""


class Answer(NamedTuple):
    """A model's answer. ``headers`` are response headers for the client; ``status``: 200, or 204 for a request
    without rows."""

    body: bytes
    content_type: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 200


class Stream(NamedTuple):
    """An answer in parts; ``parts`` may raise ModelFailed after some of them."""

    content_type: str
    parts: AsyncIterator[bytes]
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def close_parts(parts: AsyncIterator[bytes]) -> None:
    """Close the source of a stream's parts, if it can be closed."""
    close = getattr(parts, "aclose", None)
    if close is not None:
        await close()


class Rejected(NamedTuple):
    """The platform refused the request before any model had it, so it is not a model error.

    ``name`` is the error's name in SageMaker Runtime, such as ValidationError."""

    status: int
    name: str
    message: str


GONE = Rejected(499, "ClientGone", "The client went away.")
"""The outcome of a call whose client left before the model had it. Nobody reads it, and it counts as nothing, but
what was taken for the call is given back with its outcome."""


class ModelFailed(Exception):
    """The model did not answer with a 2xx; becomes a ModelError with this original status and message.

    Status 0 stands for no answer at all (timeout, crash), as in SageMaker. ``container`` is the one that failed."""

    def __init__(self, status: int, message: str, container: str = PRIMARY) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.container = container


def timed_out(container: str) -> str:
    """SageMaker's message for a container that did not answer in time."""
    return (
        f"Your invocation timed out while waiting for a response from container {container}. Review the latency"
        " metrics for each container, resolve the issue, and try again."
    )


class TimedOut(ModelFailed):
    """The container exceeded the time for an answer, or for the next part of a stream."""

    def __init__(self, container: str = PRIMARY, message: str = "") -> None:
        super().__init__(0, message or timed_out(container), container)


Outcome = Answer | Stream | Rejected | ModelFailed
Done = Callable[[Outcome], None]


class Note(NamedTuple):
    """A measurement of one call, for the metrics. Times are in microseconds."""

    name: str
    value: float
    dimensions: tuple[tuple[str, str], ...] = ()


PATH = b"x-tidegate-path"
"""Header that the worker sets on a call of OpenAI's API: its path, such as /v1/chat/completions."""


class Call:
    """One request for a prediction. ``headers`` have lower-case names; ``parts``: the client accepts a Stream.
    ``tokens``: those that a language model holds for it so far, its prompt's among them."""

    __slots__ = ("_cancel", "abandoned", "body", "headers", "notes", "parts", "tokens")

    trace: CallTrace | None = None
    """Set only by ``traced_call``, so that other calls have no field for it to fill."""
    stage = -1

    def __init__(self, body: bytes, headers: Mapping[bytes, bytes], parts: bool = False) -> None:
        self.body = body
        self.headers = headers
        self.parts = parts
        self.abandoned = False
        self.notes: tuple[Note, ...] = ()
        self.tokens = 0
        self._cancel: Callable[[], object] | None = None

    @property
    def content_type(self) -> str:
        return self.headers.get(b"content-type", b"").decode("latin-1")

    @property
    def accept(self) -> str:
        return self.headers.get(b"accept", b"").decode("latin-1")

    def note(self, name: str, value: float, dimensions: tuple[tuple[str, str], ...] = ()) -> None:
        self.notes = (*self.notes, Note(name, value, dimensions))

    def on_abandon(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel

    def abandon(self) -> None:
        """The client disconnected: skip work that has not begun, and cancel what can be cancelled."""
        self.abandoned = True
        if self._cancel is not None:
            self._cancel()


@runtime_checkable
class ProbedEngine(Protocol):
    """An engine whose model may have been loaded before all probes were run."""

    async def finish_checks(self) -> None: ...


class ModelEngine(Protocol):
    """Answers calls. ``submit`` never raises and calls ``done`` exactly once, on the event loop, now or later."""

    def submit(self, call: Call, done: Done) -> None: ...

    @property
    def healthy(self) -> bool:
        """Whether ``GET /ping`` may say 200."""
        ...

    async def close(self) -> None:
        """Release all resources. No call is in progress."""
        ...
