"""Words of asynchronous inference: what an endpoint promises, an accepted request, and what became of it.

Times are epoch seconds as floats: items are many, and are compared with a clock of the machine alone.
"""

from dataclasses import dataclass, field
from enum import StrEnum

MAX_INLINE_BYTES = 128_000
"""Bytes of a body that comes with the request itself."""


@dataclass(frozen=True)
class AsyncConfig:
    """How an endpoint takes requests that nobody waits for.

    ``output`` and ``failure`` are addresses of folders (``s3://bucket/prefix``, ``file:///folder``). ``success`` and
    ``error`` are what is told of each end: topics (``arn:aws:sns:...``), webhooks (``http(s)://``) and files
    (``file:///...``).
    """

    output: str
    failure: str | None = None
    max_concurrent: int = 4
    """Requests in the hands of one instance at a time."""
    success: tuple[str, ...] = ()
    error: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    """``success`` and ``error``: the notifications that carry the answer itself, where it is small."""
    retries: int = 0
    """Further tries of a request whose model answered with a 5xx status or not in time."""
    idle_after: float | None = None
    """Seconds without a request after which no instance is kept. None: always the wished number."""
    awake: int = 1
    """Instances of this variant when there is work."""


class ItemState(StrEnum):
    WAITING = "waiting"
    WORKING = "working"
    """In the hands of a dispatcher, until its lease runs out."""
    TELLING = "telling"
    """The output is put; notifications are still to be sent."""
    DONE = "done"


class OutcomeKind(StrEnum):
    COMPLETED = "Completed"
    FAILED = "Failed"
    EXPIRED = "Expired"


@dataclass(frozen=True)
class Item:
    """One accepted request. What it needs is copied from its endpoint, which may change or go."""

    id: str
    """Names the output; the inference id unless that was the client's own."""
    endpoint: str
    inference_id: str
    accepted_at: float
    expires_at: float
    """A request that was never handed out by then is failed as expired."""
    timeout: float
    """Seconds for one try of it."""
    output: str
    """Address of the answer."""
    failure: str | None = None
    """Address of what went wrong, where that is kept."""
    input: str | None = None
    """Address of the input; None: its body is kept with it."""
    headers: dict[str, str] = field(default_factory=dict)
    """For the model: content-type, accept, custom attributes."""
    success: tuple[str, ...] = ()
    error: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    retries: int = 0
    named: bool = False
    """The client chose the output's name, so that one that is there may be another request's."""


@dataclass(frozen=True)
class ItemOutcome:
    """How an item ended. ``content_type`` is the answer's; ``shown`` the answer itself as text, where it was asked
    for and is small; ``reason`` says why it failed."""

    end: OutcomeKind
    at: float
    reason: str = ""
    content_type: str = ""
    shown: str | None = None


@dataclass(frozen=True)
class LeasedItem:
    """An item in a dispatcher's hands. ``fence`` rises with every lease: what comes with an older one is late."""

    item: Item
    fence: int
    state: ItemState = ItemState.WORKING
    tries: int = 0
    """Tries that the model failed."""
    losses: int = 0
    """Tries that ended with the death of the instance or of the dispatcher."""
    begun_at: float = 0.0
    """When it was handed out first."""
    outcome: ItemOutcome | None = None
    body: bytes | None = None
    """Its own body, where that is small enough to come along."""


@dataclass(frozen=True)
class ItemMeasurements:
    """Of one finished item, for the metrics: name -> value in the unit of its metric."""

    endpoint: str
    variant: str
    at: float
    values: dict[str, float]


@dataclass(frozen=True)
class Backlog:
    """An endpoint's queue. ``oldest`` is when the oldest item that is not finished was accepted."""

    waiting: int = 0
    working: int = 0
    oldest: float | None = None

    @property
    def size(self) -> int:
        return self.waiting + self.working
