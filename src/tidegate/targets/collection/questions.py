"""Queries that the collector sends to a worker, and the replies."""

from dataclasses import dataclass

from tidegate.domain.fleet import FleetSpec
from tidegate.ports.router import ServerAddress
from tidegate.targets.collection.stats_page import ReplicaStats


@dataclass(frozen=True)
class StatsQuery:
    """A query of a replica's counts in the second ``now``. ``met``: when the replica was first found to take
    requests; None: an earlier controller left it."""

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
    pages: tuple[ReplicaStats, ...]
    too_large: bool = False
