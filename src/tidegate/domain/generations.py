"""Numbers that no earlier life of a name can have been given, whatever became of its record."""

from datetime import UTC, datetime

FROM = datetime(2025, 1, 1, tzinfo=UTC)


def numbers_at(now: datetime) -> int:
    """Generations and fences given out from ``now`` on are above this. They begin at the seconds since 2025 and rise
    more slowly than one a second, so those that were given out before are below."""
    return max(0, int((now - FROM).total_seconds()))
