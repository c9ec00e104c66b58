"""One prediction on its way through the worker: the call, its outcome, and what answers it."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple, Protocol

PRIMARY = "primary"
"""SageMaker's name for the only container of a model."""


class Answer(NamedTuple):
    """What the model said. ``headers`` are response headers that go to the client with it; ``status``: 200, or 204
    for a request without rows."""

    body: bytes
    content_type: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 200


class Stream(NamedTuple):
    """An answer whose body comes in parts; ``parts`` may raise ModelFailed when some have come already."""

    content_type: str
    parts: AsyncIterator[bytes]
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def let_go(parts: AsyncIterator[bytes]) -> None:
    """Closes what makes the parts of a stream, where it can be closed."""
    close = getattr(parts, "aclose", None)
    if close is not None:
        await close()


class Rejected(NamedTuple):
    """The platform's own refusal, before any model was asked: counted as no model's error.

    ``name`` is the runtime service's name of it, such as ValidationError."""

    status: int
    name: str
    message: str


class ModelFailed(Exception):
    """The model did not answer with a 2xx; becomes a ModelError with this original status and message.

    Status 0 stands for no answer at all (timeout, crash), as in SageMaker. ``container`` is the one that failed."""

    def __init__(self, status: int, message: str, container: str = PRIMARY) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.container = container


def timed_out(container: str) -> str:
    """What a client is told when a container gave no answer in time."""
    return (
        f"Your invocation timed out while waiting for a response from container {container}. Review the latency"
        " metrics for each container, resolve the issue, and try again."
    )


class TimedOut(ModelFailed):
    """The container took longer than it may: to answer, or to go on with a stream."""

    def __init__(self, container: str = PRIMARY, message: str = "") -> None:
        super().__init__(0, message or timed_out(container), container)


Outcome = Answer | Stream | Rejected | ModelFailed
Done = Callable[[Outcome], None]


class Note(NamedTuple):
    """Something measured while a call was answered, for the metrics: times in microseconds."""

    name: str
    value: float
    dimensions: tuple[tuple[str, str], ...] = ()


PATH = b"x-tidegate-path"
"""Header of a call in OpenAI's manner: its path, such as /v1/chat/completions. The worker sets it."""


class Call:
    """One request for a prediction. ``headers`` have lower-case names; ``parts``: the client can take the answer in
    parts, so a Stream is worth making."""

    __slots__ = ("_cancel", "abandoned", "body", "headers", "notes", "parts")

    def __init__(self, body: bytes, headers: Mapping[bytes, bytes], parts: bool = False) -> None:
        self.body = body
        self.headers = headers
        self.parts = parts
        self.abandoned = False
        self.notes: tuple[Note, ...] = ()
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
        """The client is gone: what has not begun need not begin."""
        self.abandoned = True
        if self._cancel is not None:
            self._cancel()


class Engine(Protocol):
    """Answers calls. ``submit`` never raises and calls ``done`` exactly once, at once or later, on the event
    loop."""

    def submit(self, call: Call, done: Done) -> None: ...

    @property
    def healthy(self) -> bool:
        """Whether ``GET /ping`` may say 200."""
        ...

    async def close(self) -> None:
        """No calls are in hand any more: let go of everything."""
        ...
