"""When loops that look now and then wake up: at the same moments, so that one wake-up of the process serves all.

A second of the clock has four such moments. The first is when counts are collected, which is a loop of its own.
"""

import time

BEGIN = 0.05
"""How far into a second the first moment is: what happened in the second before is known by then."""
APART = 0.25
"""Seconds between two moments."""
LATE = 0.01
"""Seconds by which a pause may be longer than asked: a timer fires a little early or late."""


def align(seconds: float, now: float | None = None) -> float:
    """How long to wait instead of ``seconds`` so as to end at such a moment: hardly ever longer, and less than
    ``APART`` shorter. Pauses shorter than that stay as they are. ``now``: epoch seconds; None: this moment."""
    if seconds < APART:
        return seconds
    begin = (time.time() if now is None else now) - BEGIN
    return (begin + seconds + LATE) // APART * APART - begin
