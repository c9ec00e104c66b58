"""The interface through which a server offers its requests and answers to the feature that captures them."""

from collections.abc import Callable
from typing import Protocol, cast

from tidegate.serving.contract.invocation import Answer, Note, Stream
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.front.connection import Request

HOOK = "worker_captures"
"""Extension point: a function of a replica's specification, and of what takes notes, that returns ``Captures``."""


class Captures(Protocol):
    @property
    def wanted(self) -> bool:
        """Whether answers are to be offered."""
        ...

    def start(self) -> None: ...

    def offer(self, request: Request, answer: Answer) -> None:
        """Capture what was answered."""
        ...

    def follow(self, request: Request, stream: Stream) -> tuple[Stream, Callable[[bool], None]]:
        """The stream to deliver in place of this one, and what is to be called at its end: with whether the client
        got all of it."""
        ...

    def show(self, request: Request) -> str:
        """Return the body of a request as a capture has it, without personal data; empty where none has it."""
        ...

    def clean(self, text: str) -> str:
        """Return a text of an answer without what redaction finds in it; empty where nothing may be shown."""
        ...

    def look(self) -> None:
        """Take notes of what was captured since the last time."""
        ...

    async def close(self) -> None:
        """Write and deliver what there is. Nothing is captured any more."""
        ...


class NoCaptures:
    """A stand-in that captures nothing."""

    wanted = False

    def start(self) -> None:
        pass

    def offer(self, request: Request, answer: Answer) -> None:
        pass

    def follow(self, request: Request, stream: Stream) -> tuple[Stream, Callable[[bool], None]]:
        return stream, _ignore_end

    def show(self, request: Request) -> str:
        return ""

    def clean(self, text: str) -> str:
        return text

    def look(self) -> None:
        pass

    async def close(self) -> None:
        pass


def _ignore_end(whole: bool) -> None:
    pass


def make_captures(spec: ReplicaSpec, note: Callable[[Note], None]) -> Captures:
    """Make the captures of the feature that captures, if the requests of this replica are to be captured."""
    if spec.capture is None:
        return NoCaptures()
    from tidegate.host.features import features  # noqa: PLC0415  # most workers need no manifest

    make = features().find_hook(HOOK)
    return NoCaptures() if make is None else cast(Captures, make(spec, note))
