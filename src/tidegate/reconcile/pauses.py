"""Pauses before something is tried again. Pure."""

from datetime import datetime, timedelta


def is_pausing(until: datetime | None, now: datetime, longest: timedelta) -> bool:
    """Whether a pause goes on. No pause is longer than ``longest``: one that seems so began before the clock was set
    back, and is over."""
    return until is not None and now < until <= now + longest
