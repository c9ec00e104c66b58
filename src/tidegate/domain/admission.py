"""Which requests a variant takes: how many at one time, how long others wait, how often each client may ask."""

from dataclasses import dataclass, field

DEFAULT_MAX_IN_FLIGHT = 1_000
"""Requests in hand of one instance unless a variant says otherwise: more than any model answers while somebody still
wants to know, and few enough that an instance whose model hangs does not collect requests without an end."""
DEFAULT_QUEUE_TIME = 1.0
"""Seconds that a request waits for an instance with room unless a variant says otherwise."""
MAX_FILL_TIME = 600.0
"""Seconds in which an empty bucket must be full again. The proxy forgets a client not much later, which then changes
nothing: a client that is not known has a full bucket."""


@dataclass(frozen=True)
class TokenBucket:
    """A token bucket: it holds ``burst`` requests and fills at ``per_second``. Each request takes one."""

    per_second: float
    burst: float

    @property
    def fill_time(self) -> float:
        """Seconds in which an empty bucket is full."""
        return self.burst / self.per_second


@dataclass(frozen=True)
class Quotas:
    """How often each client may ask. A client is the value of ``header``, or the access key id where that is ""."""

    rate: TokenBucket
    """Of each client that has none of its own."""
    header: str = ""
    clients: dict[str, TokenBucket] = field(default_factory=dict)


@dataclass(frozen=True)
class Admission:
    """Of one variant. Requests beyond ``max_in_flight`` for each instance wait in the proxy for ``queue_time``
    seconds at the most and are refused then."""

    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    queue_time: float = DEFAULT_QUEUE_TIME
    quotas: Quotas | None = None


DEFAULT_ADMISSION = Admission()
