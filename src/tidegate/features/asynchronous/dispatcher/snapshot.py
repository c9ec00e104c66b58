"""The state of endpoints that the controller hands to the dispatcher, in a file."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class EndpointSnapshot:
    """An endpoint as the controller observed it."""

    capacity: int
    """Requests that its ready instances may process at one time."""
    variant: str


@dataclass(frozen=True)
class QueueSnapshot:
    at: float = 0.0
    endpoints: dict[str, EndpointSnapshot] = field(default_factory=dict)
