"""Finds what a stage waits for, how many requests that takes, and how long at the present rate. Pure.

What is said follows from the counts of the stage alone. Where they do not say it, nothing is said."""

import math
from collections.abc import Iterable, Iterator

from tidegate.domain.evidence import (
    OF_PAIRS,
    Comparison,
    ComparisonResult,
    EvidenceConfig,
    Finding,
    Measurement,
    Wait,
)
from tidegate.features.evidence.pairs import FIRST

LEAST_BLOCKS = {Comparison.ERRORS: 1, Comparison.LATENCY: 30, Comparison.PREDICTIONS: 10, Comparison.TEXT: 30}
"""Blocks that a comparison needs in each stage to pass. A test of shares at most doubles its evidence in a block,
so it could not see anything in fewer, however many requests they have. Predictions are compared request by request,
but how many of those are moved together shows over several blocks only."""
MOST_LOST = 0.1
"""Part of the copies that may be lost in a stage that passes: those could be the ones that differ."""
FARTHEST = 100.0
"""Times the distance from the tolerance that bounds may be wide for a number to be named: of wider ones it says
nothing."""
SOON = 0.1
"""Evidence from which on what is still needed is extrapolated from what it took."""


def find_waits(results: Iterable[ComparisonResult], config: EvidenceConfig, seconds: int) -> tuple[Wait, ...]:
    """Find what each comparison that the stage needs is waiting for. ``seconds``: how long the stage has had
    requests."""
    return tuple(wait for one in results if one.needed and (wait := _find_wait(one, config, seconds)) is not None)


def _find_wait(one: ComparisonResult, config: EvidenceConfig, seconds: int) -> Wait | None:
    what = name_comparison(one)
    if one.finding is Finding.UNDECIDED and one.rising:
        count, needed = _extrapolate_rising(one)
        return Wait(
            what, "" if needed is None else f"{needed:,} more requests", needed, forecast(needed, count, seconds)
        )
    if one.finding is not Finding.NO_DATA or one.never or one.complete:
        return None
    return _lack_of_pairs(one, config, seconds) if one.comparison in OF_PAIRS else _lack(one, config, seconds)


def name_comparison(one: ComparisonResult) -> str:
    return f"{one.comparison} of variant {one.variant}"


def _lack(one: ComparisonResult, config: EvidenceConfig, seconds: int) -> Wait:
    """Return what a comparison of requests lacks: requests of either version, and blocks of time."""
    lacks = list(_lacks(one, config))
    times = [forecast(needed, had, seconds) for needed, had, _ in lacks]
    known = [time for time in times if time is not None]
    requests = max(config.minimum - one.stage_requests[0], config.minimum - one.stage_requests[1], 0)
    missing = " and ".join(said for _, _, said in lacks)
    return Wait(
        name_comparison(one), missing, requests, max(known, default=0) if len(known) == len(times) else None
    )


def _lacks(one: ComparisonResult, config: EvidenceConfig) -> Iterator[tuple[int, int, str]]:
    """Yield how many are needed, how many there were, and both in words."""
    what, which = "requests", ""
    if one.comparison is Comparison.TEXT:
        what, which = "texts", " that are searched for the same refusals"
    for had, side in zip(one.stage_requests, ("old", "new"), strict=True):
        if (needed := config.minimum - had) > 0:
            so_far = f"({had:,} of {config.minimum:,} so far)"
            yield needed, had, f"{needed:,} more {what} of the {side} version{which} {so_far}"
    least = LEAST_BLOCKS[one.comparison]
    if (needed := least - one.stage_blocks) > 0:
        had = one.stage_blocks
        yield needed, had, f"{needed} more blocks of time with requests of both versions ({had} of {least} so far)"


def _lack_of_pairs(one: ComparisonResult, config: EvidenceConfig, seconds: int) -> Wait:
    (offered, lost), counted = one.lost, one.stage_requests[0]
    if lost > MOST_LOST * offered:
        what = "copies that are answered"
        if one.comparison is Comparison.JUDGE:
            what = "a judge that answers with verdicts"
        missing = f"{what}: {lost:,} of {offered:,} were lost, and {MOST_LOST:.0%} may be"
        return Wait(name_comparison(one), missing)
    had, least = counted, config.minimum
    if one.comparison is Comparison.PAIRED and not one.compared:
        # No pair is compared before the unit of the predictions is known.
        had, least = offered, max(least, FIRST)
    needed = least - had
    if needed <= 0:
        return Wait(name_comparison(one), f"copies that can be compared: of {offered:,} none can")
    what = "judged pairs of texts" if one.comparison is Comparison.JUDGE else "copied requests"
    missing = f"{needed:,} more {what} ({had:,} of {least:,} so far)"
    return Wait(name_comparison(one), missing, needed, forecast(needed, had, seconds))


def _extrapolate_rising(one: ComparisonResult) -> tuple[int, int | None]:
    """Return how many requests the test has had that may be about to fail, and about how many more decide it."""
    rising = [each for each in one.measurements if each.rising]
    if not rising:
        count = min(one.stage_requests)
        return count, extrapolate(count, one.evidence)
    found = max(rising, key=lambda each: each.evidence)
    needed = extrapolate(found.count, found.evidence)
    return found.count, _extrapolate_bounds(found) if needed is None else needed


def extrapolate(count: int, evidence: float) -> int | None:
    """Return about how many more requests bring the evidence to 1, if it goes on growing as with these; None: there
    is too little of it to say."""
    return max(0, math.ceil(count * (1 / evidence - 1))) if evidence >= SOON else None


def _extrapolate_bounds(found: Measurement) -> int | None:
    """Return about how many more requests make the bounds so narrow that they leave the tolerance out, if the
    estimate stays: their width goes with the root of the number."""
    beyond, half = abs(found.estimate - found.tolerance), (found.high - found.low) / 2
    if not half < FARTHEST * beyond:
        return None
    return max(1, math.ceil(found.count * ((half / beyond) ** 2 - 1)))


def forecast(needed: int | None, had: int, seconds: int) -> int | None:
    """Return the seconds until so many more have come, where ``had`` came in ``seconds``; None: unknown."""
    if needed == 0:
        return 0
    return math.ceil(needed * seconds / had) if needed is not None and had and seconds > 0 else None
