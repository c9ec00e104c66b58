"""Admission control of a variant: concurrency limit, queue time, and a rate limit per client."""

from dataclasses import dataclass, field

DEFAULT_MAX_IN_FLIGHT = 1_000
"""Default limit of concurrent requests per instance: more than any model answers before clients time out, and few
enough that an instance whose model hangs does not accumulate requests without limit."""
DEFAULT_QUEUE_TIME = 1.0
"""Default time, in seconds, that a request waits for an instance with free capacity."""
MAX_FILL_TIME = 600.0
"""Longest time, in seconds, in which an empty bucket may refill. The proxy forgets a client shortly after that, which
is harmless: an unknown client has a full bucket."""


@dataclass(frozen=True)
class TokenBucket:
    """A token bucket: it holds ``burst`` requests and fills at ``per_second``. Each request takes one."""

    per_second: float
    burst: float

    @property
    def fill_time(self) -> float:
        """Seconds in which an empty bucket refills."""
        return self.burst / self.per_second


@dataclass(frozen=True)
class Quotas:
    """Rate limit per client. A client is identified by the value of ``header``, or by its access key id if that is
    empty."""

    rate: TokenBucket
    """For each client without an entry in ``clients``."""
    header: str = ""
    clients: dict[str, TokenBucket] = field(default_factory=dict)


@dataclass(frozen=True)
class Admission:
    """Admission of one variant. Requests beyond ``max_in_flight`` per instance wait in the proxy for at most
    ``queue_time`` seconds and are then refused."""

    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    queue_time: float = DEFAULT_QUEUE_TIME
    quotas: Quotas | None = None


DEFAULT_ADMISSION = Admission()
