"""What replicas and runners wrote, by log group and log stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class LogStream:
    """``created`` and ``written`` are epoch seconds, ``size`` is bytes. Lines have no times of their own: each counts
    as of ``created``, which stays the same as long as anybody follows the stream."""

    name: str
    created: float
    written: float
    size: int


@dataclass(frozen=True)
class LogLines:
    """``next`` is the offset after them."""

    stream: LogStream
    lines: tuple[str, ...]
    next: int


@dataclass(frozen=True)
class ReplicaLog:
    """The end of the log of one replica. ``written``: when it was written last, in epoch seconds; None: unknown."""

    generation: int
    variant: str
    replica: str
    lines: tuple[str, ...]
    written: float | None = None


class Logs(Protocol):
    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        """The last ``lines`` lines of each replica of the endpoint that ever logged, newest generation last."""
        ...

    async def groups(self) -> Sequence[str]:
        """Names of the groups that have streams."""
        ...

    async def streams(self, group: str) -> Sequence[LogStream]:
        """By name; empty for a group that is not there."""
        ...

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        """Whole lines from an offset on, at most ``limit``; the last ones for None. None where there is no such
        stream."""
        ...
