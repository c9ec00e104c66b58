"""Requests at a time that are nearly always enough: Erlang's loss formula."""

import math

MOST = 100_000
"""More than that is no serverless endpoint's; the mean is near enough then."""


def servers(erlangs: float, refused: float) -> int:
    """The fewest servers (at least 1) that refuse at most the part ``refused`` of arrivals at random, which bring
    ``erlangs`` (arrivals a second by seconds of each) of work. From Erlang B by its recursion."""
    if erlangs > MOST:
        return math.ceil(erlangs)
    blocked, count = 1.0, 0
    while count < 1 or blocked > refused:
        count += 1
        blocked = erlangs * blocked / (count + erlangs * blocked)
    return count
