"""Budgets: how many more requests a version may get, so that it seldom fails, or gets, more than a number of them.

Nothing is assumed of a version but that each of its requests fails with the same probability, given all before it.
``bound_rate`` is a confidence sequence: it holds at all looks together. ``bound_mean`` is
Chernoff's bound, and holds for any events whose probabilities, each given what was before, add up to the mean at
most (Freedman, "On tail probabilities for martingales", Annals of Probability 3, 1975)."""

import math
from functools import lru_cache

FEWER = (0.0, 0.25, 0.5, 0.75)
"""Parts of the rate in question that the alternatives assume; each has the same part of the stake."""
_STEPS = 40


def log_evidence(requests: int, hits: int, rate: float) -> float:
    """Return the logarithm of the e-value against the null hypothesis that requests hit at this rate or a higher one.
    Each of its terms is a likelihood ratio of a lower rate, whose factors have an expectation of 1 at most as long as
    each request hits with a probability of ``rate`` or more, given those before it. It rises with the rate."""
    logs = [
        (hits * math.log(part) if part else -math.inf if hits else 0.0)
        + (requests - hits) * (math.log1p(-part * rate) - math.log1p(-rate))
        for part in FEWER
    ]
    most = max(logs)
    return most + math.log(math.fsum(math.exp(one - most) for one in logs) / len(logs))


def bound_rate(requests: int, hits: int, missed: float) -> float:
    """Return the rate that the true one exceeds at any of all looks with a probability of ``missed`` at most; 1: all
    are possible."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        excluded = log_evidence(requests, hits, middle) >= -math.log(missed)
        low, high = (low, middle) if excluded else (middle, high)
    return high


@lru_cache(maxsize=1024)
def bound_mean(number: int, missed: float) -> float:
    """Return the largest mean at which there are so many events, or more, with a probability of ``missed`` at
    most."""
    low, high = 0.0, float(max(0, number))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        rare = middle - number + number * math.log(number / middle) >= -math.log(missed) if middle else True
        low, high = (middle, high) if rare else (low, middle)
    return low


def find_room(left: tuple[int | None, int | None], seen: tuple[int, int], missed: float, choice: int) -> float:
    """Return the largest expected number of requests with which neither budget is spent. ``left``: requests and
    failures that are left (None: no limit); ``seen``: requests and failures so far; ``choice``: which one of a
    rollout's choices it is, from 0. Over all choices together a budget is spent with a probability of ``missed`` at
    most: half of it is that of the bound on the rate, the other half is divided among the choices (by parts that add
    up to 1) and the two budgets."""
    part = missed / 4 / ((choice + 1) * (choice + 2))
    requests, failures = left
    rooms = [math.inf]
    if requests is not None:
        rooms.append(bound_mean(requests, part))
    if failures is not None:
        rooms.append(bound_mean(failures, part) / bound_rate(*seen, missed / 2))
    return min(rooms)
