"""One prediction on its way through the worker: the call, its outcome, and what answers it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol


class Answer(NamedTuple):
    """What the model said. ``headers`` are response headers that go to the client with it."""

    body: bytes
    content_type: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class ModelFailed(Exception):
    """The model did not answer with a 2xx; becomes a ModelError with this original status and message.

    Status 0 stands for no answer at all (timeout, crash), as in SageMaker."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


Outcome = Answer | ModelFailed
Done = Callable[[Outcome], None]


class Call:
    """One request for a prediction. ``headers`` have lower-case names."""

    __slots__ = ("_cancel", "abandoned", "body", "headers")

    def __init__(self, body: bytes, headers: Mapping[bytes, bytes]) -> None:
        self.body = body
        self.headers = headers
        self.abandoned = False
        self._cancel: Callable[[], object] | None = None

    @property
    def content_type(self) -> str:
        return self.headers.get(b"content-type", b"").decode("latin-1")

    @property
    def accept(self) -> str:
        return self.headers.get(b"accept", b"").decode("latin-1")

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
