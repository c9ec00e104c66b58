"""What the collector asks a worker, and what comes back."""

from dataclasses import dataclass

from tidegate.domain.fleet import FleetSpec
from tidegate.ports.router import ServerAddress
from tidegate.targets.collection.stats_page import Page


@dataclass(frozen=True)
class StatsQuery:
    """What a replica is asked in the second ``now``. ``met``: when it was first seen to take requests; None: an
    earlier controller left it."""

    spec: FleetSpec
    replica: str
    socket: ServerAddress
    now: int
    met: int | None
    mark: int | None = None
    """Its activity, read before it is asked."""


@dataclass(frozen=True)
class StatsReply:
    """Consecutive pages from ``since`` on. ``too_large``: one more page was not read because of its size."""

    since: int
    pages: tuple[Page, ...]
    too_large: bool = False
