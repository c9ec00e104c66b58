"""When loops that look now and then wake up: at the same moments, so that one wake-up of the process serves all.

A second of the clock has four such moments. The first is when counts are collected, which is a loop of its own; loops
that look seldom, and may then have more to do, have their turns in the middle of the second, far from that.
"""

import time

BEGIN = 0.05
"""How far into a second the first moment is: what happened in the second before is known by then."""
APART = 0.25
"""Seconds between two moments."""
SELDOM = 2.0
"""Seconds from which on a loop looks seldom."""
MIDDLE = 0.55
"""How far into a second those have their turns: one of the four moments."""
LATE = 0.01
"""Seconds by which a pause may be longer than asked: a timer fires a little early or late."""


def align(seconds: float, now: float | None = None) -> float:
    """How long to wait instead of ``seconds`` so as to end at such a moment: hardly ever longer, and less than
    ``APART`` shorter, a second where it is seldom. Pauses shorter than ``APART`` stay as they are. ``now``: epoch
    seconds; None: this moment."""
    if seconds < APART:
        return seconds
    apart, first = (APART, BEGIN) if seconds < SELDOM else (1.0, MIDDLE)
    begin = (time.time() if now is None else now) - first
    return (begin + seconds + LATE) // apart * apart - begin
