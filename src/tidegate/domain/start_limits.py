"""How long a replica may take to start: for the worker, which names the limit that was exceeded, and for its
supervisor, which ends a worker that cannot do so any more. Pure; seconds."""

SHARE = 0.1
"""Part of a limit: that the start of the process may take from the model, and that a worker may be late to report."""
MAX_GRACE = 10.0


def remaining_limit(limit: float, spent: float) -> float:
    """What is left of a limit after the process took ``spent`` to come up. That counts, so that short limits hold for
    the whole start, but a busy machine takes no more than a tenth of the limit from the model."""
    return limit - min(spent, SHARE * limit)


def supervisor_grace(limit: float) -> float:
    """How much later than the worker its supervisor gives up."""
    return min(MAX_GRACE, SHARE * limit)
