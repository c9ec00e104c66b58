"""How long an endpoint had how many instances of each type. Pure: between two changes of its record the counts are
constant, so that nothing has to be measured, and a server that was away misses nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Usage:
    """Instances are those that the endpoint is to have, those of both versions during an update. ``running`` counts
    since ``at``."""

    since: datetime
    """Before it nothing is known."""
    at: datetime
    running: dict[str, int] = field(default_factory=dict)
    """Instance type -> instances."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Instance type -> instance-seconds from ``since`` to ``at``."""


def seconds_until(usage: Usage, now: datetime) -> dict[str, float]:
    """Instance type -> instance-seconds up to ``now``. A clock that was set back takes nothing away."""
    passed = max(0.0, (now - usage.at).total_seconds())
    found = dict(usage.seconds)
    for kind, count in usage.running.items():
        if count > 0 and passed > 0:
            found[kind] = found.get(kind, 0.0) + count * passed
    return found


def follow(usage: Usage, running: Mapping[str, int], now: datetime) -> Usage:
    """The counts are ``running`` from ``now`` on; the same usage if that changes nothing."""
    counts = {kind: count for kind, count in sorted(running.items()) if count > 0}
    if counts == usage.running:
        return usage
    return Usage(usage.since, max(now, usage.at), counts, seconds_until(usage, now))
