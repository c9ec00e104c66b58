"""Shards of a transform job that several runners share: each is an input object, leased by one runner at a time."""

from dataclasses import dataclass
from enum import StrEnum

from tidegate.domain.transform import InputObject

LISTING = 0
"""Number of the row that stands for the job itself: whoever leases it lists the objects, which get numbers from 1."""


class ShardState(StrEnum):
    WAITING = "waiting"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class LeasedShard:
    """``fence`` rises with every lease; what a holder with an older one reports is dropped. ``item`` is None for the
    listing. ``losses``: runners that died while they had it."""

    number: int
    fence: int
    item: InputObject | None = None
    losses: int = 0


@dataclass(frozen=True)
class KnownShard:
    """A shard as an earlier attempt of its job left it."""

    number: int
    item: InputObject
    state: ShardState


@dataclass(frozen=True)
class ShardProgress:
    """Progress of a holder on its shard. ``bytes_done`` counts the object as stored. ``waiting`` says what the holder
    waits for, such as a storage that does not answer."""

    records: int = 0
    bad: int = 0
    bytes_done: int = 0
    waiting: str = ""


@dataclass(frozen=True)
class JobOver:
    """There is nothing more to lease: all shards have ended, the job has failed, or it was resumed or removed."""


@dataclass(frozen=True)
class NothingFree:
    """The answer that all that is left is leased by others. One of them may die, so ask again."""


@dataclass(frozen=True)
class ShardTally:
    """Totals of all shards of a job. ``attempt`` is how often the job had been resumed. ``reason`` says why the job
    as a whole has failed. ``failed_uri`` and ``failed_reason`` are of the first object that failed."""

    attempt: int
    listed: bool = False
    reason: str = ""
    objects: int = 0
    done: int = 0
    failed: int = 0
    leased: int = 0
    records: int = 0
    bad: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    waiting: str = ""
    failed_uri: str = ""
    failed_reason: str = ""
