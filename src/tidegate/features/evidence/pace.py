"""How much later, or slower, something may be than what was usual before it is a difference. Pure."""

LATENCY_SLACK = 0.01
"""Part of the requests that may be slower than tolerated: one in a hundred more is no difference of versions."""
LEAST_DELAY = 1000.0
"""Microseconds by which a latency must differ at least: less is noise of the machine."""
SKETCH_ERROR = 1 / 0.99**2
"""Factor by which two sketched values of equal latencies differ at most."""
FEWEST = 50
"""Values of the old version before thresholds are taken from them."""


def allowed_delay(usual: float, tolerance: float) -> float:
    """Microseconds. ``usual``: a quantile of the old version's; ``tolerance``: by which part it may be exceeded."""
    return max(usual * (1 + tolerance), usual + LEAST_DELAY) * SKETCH_ERROR


def allowed_speed(usual: float, tolerance: float) -> float:
    """The smallest speed that ``usual`` exceeds by no more than ``tolerance``."""
    return usual / (1 + tolerance) / SKETCH_ERROR


def harmful_delay(usual: float, harm: float) -> float:
    """Microseconds that a harmful latency exceeds for certain. ``harm``: the part by which it exceeds ``usual``."""
    return max(usual * (1 + harm), usual + LEAST_DELAY) / SKETCH_ERROR
