"""Start-up limits of a replica: for the worker, which reports the limit that it exceeded, and for its supervisor,
which ends a worker that can no longer report. Pure; seconds."""

SHARE = 0.1
"""Part of a limit that the start of the process may use up, and by which a worker may report late."""
MAX_GRACE = 10.0


def remaining_limit(limit: float, spent: float) -> float:
    """Return how much of a limit is left for the model after the process took ``spent`` to start. The process start
    counts, so that short limits hold for the whole start, but a busy machine uses up at most a tenth of the limit."""
    return limit - min(spent, SHARE * limit)


def supervisor_grace(limit: float) -> float:
    """Return how much later than the worker the supervisor gives up."""
    return min(MAX_GRACE, SHARE * limit)
