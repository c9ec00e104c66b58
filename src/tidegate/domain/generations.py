"""Numbers that no earlier life of a name can have been given, whatever became of its record."""

from datetime import UTC, datetime

NUMBERS_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


def generation_floor(now: datetime) -> int:
    """Generations and fences given out from ``now`` on are above this. They begin at the seconds since 2025 and rise
    more slowly than one a second, so those that were given out before are below."""
    return max(0, int((now - NUMBERS_EPOCH).total_seconds()))
