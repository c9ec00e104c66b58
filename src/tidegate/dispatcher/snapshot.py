"""What the controller tells the dispatcher."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Served:
    """An endpoint as the controller sees it."""

    capacity: int
    """Requests that its ready instances may have in hand together."""
    variant: str


@dataclass(frozen=True)
class Page:
    at: float = 0.0
    endpoints: dict[str, Served] = field(default_factory=dict)
