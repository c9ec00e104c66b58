"""Generations and fences that no earlier endpoint of the same name can have had, even if its record is lost."""

from datetime import UTC, datetime

NUMBERS_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


def generation_floor(now: datetime) -> int:
    """Lower bound of generations and fences assigned from ``now`` on: the seconds since 2025. Numbers rise more
    slowly than one a second, so all earlier ones are below."""
    return max(0, int((now - NUMBERS_EPOCH).total_seconds()))
