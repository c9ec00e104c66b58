"""Types of asynchronous inference: the configuration of an endpoint, an accepted request, and its outcome.

Times are epoch seconds as floats: there are many items, and they are compared with this machine's clock only.
"""

from dataclasses import dataclass, field
from enum import StrEnum

MAX_INLINE_BYTES = 128_000
"""Largest body, in bytes, that a request may carry itself."""


@dataclass(frozen=True)
class AsyncConfig:
    """Asynchronous inference of an endpoint.

    ``output`` and ``failure`` are addresses of folders (``s3://bucket/prefix``, ``file:///folder``). ``success`` and
    ``error`` are notified of outcomes: topics (``arn:aws:sns:...``), webhooks (``http(s)://``) and files
    (``file:///...``).
    """

    output: str
    failure: str | None = None
    max_concurrent: int = 4
    """Concurrent requests per instance."""
    success: tuple[str, ...] = ()
    error: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    """Notifications (``success``, ``error``) that include the response body if it is small."""
    retries: int = 0
    """Further tries after a 5xx status or a timeout."""
    idle_after: float | None = None
    """Seconds without a request after which the endpoint scales to zero. None: it never does."""
    awake: int = 1
    """Instances of this variant while there are requests."""


class ItemState(StrEnum):
    WAITING = "waiting"
    WORKING = "working"
    """Leased by a dispatcher."""
    NOTIFYING = "telling"
    """The output is stored; notifications are still to be sent."""
    DONE = "done"


class OutcomeKind(StrEnum):
    COMPLETED = "Completed"
    FAILED = "Failed"
    EXPIRED = "Expired"


@dataclass(frozen=True)
class Item:
    """One accepted request. What it needs is copied from its endpoint, which may change or be deleted."""

    id: str
    """Names the output. Equal to the inference id unless the client chose that."""
    endpoint: str
    inference_id: str
    accepted_at: float
    expires_at: float
    """A request that no dispatcher has leased by then expires."""
    timeout: float
    """Seconds for one try."""
    output: str
    """Address of the response."""
    failure: str | None = None
    """Address for the error, if errors are stored."""
    input: str | None = None
    """Address of the input; None: the body is stored with the item."""
    headers: dict[str, str] = field(default_factory=dict)
    """For the model: content-type, accept, custom attributes."""
    success: tuple[str, ...] = ()
    error: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    retries: int = 0
    named: bool = False
    """The client chose the output's name, so an existing object may belong to another request."""


@dataclass(frozen=True)
class ItemOutcome:
    """How an item ended. ``content_type`` is that of the response; ``shown`` is the response as text, if
    notifications include it and it is small; ``reason`` says why the item failed."""

    end: OutcomeKind
    at: float
    reason: str = ""
    content_type: str = ""
    shown: str | None = None


@dataclass(frozen=True)
class LeasedItem:
    """An item leased by a dispatcher. ``fence`` rises with every lease; updates with an older one are dropped."""

    item: Item
    fence: int
    state: ItemState = ItemState.WORKING
    tries: int = 0
    """Tries that the model failed."""
    losses: int = 0
    """Tries that ended because the instance or the dispatcher died."""
    begun_at: float = 0.0
    """When it was first leased."""
    outcome: ItemOutcome | None = None
    body: bytes | None = None
    """Its body, if that is small enough to be returned with the lease."""


@dataclass(frozen=True)
class ItemMeasurements:
    """Measurements of one finished item: metric name -> value in the metric's unit."""

    endpoint: str
    variant: str
    at: float
    values: dict[str, float]


@dataclass(frozen=True)
class EndedTogether:
    """Measurements of finished items of one endpoint and variant: metric name -> one value of each item that has
    it. ``at``: second in which they ended."""

    endpoint: str
    variant: str
    at: int
    values: dict[str, list[float]]


@dataclass(frozen=True)
class Backlog:
    """Queue of an endpoint. ``oldest`` is when the oldest unfinished item was accepted."""

    waiting: int = 0
    working: int = 0
    oldest: float | None = None

    @property
    def size(self) -> int:
        return self.waiting + self.working
