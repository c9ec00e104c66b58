"""Logs of replicas and runners, by log group and log stream."""

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


NOT_READ = "(not read: the newer logs of this endpoint are too long together; ask for fewer lines of each)"
"""In place of all lines of a log."""


@dataclass(frozen=True)
class ReplicaLog:
    """The end of the log of one replica. ``written`` is the epoch second of the last write; None if unknown."""

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
        """List the streams of a group by name; empty for a group that does not exist."""
        ...

    async def read(self, group: str, stream: str, offset: int | None, limit: int) -> LogLines | None:
        """Read at most ``limit`` whole lines from an offset, or the last lines if the offset is None. Return None if
        there is no such stream."""
        ...
