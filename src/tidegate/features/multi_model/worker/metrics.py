"""Metrics of each request. Only the busiest models have labels of their own. Pure."""

import heapq
from collections.abc import Iterable

from tidegate.serving.contract.invocation import Call, ModelFailed, Outcome, Rejected

LABELS = 20
"""Models with metrics of their own; the others share a label."""
OTHER = "(other)"
AGAIN = 30.0
"""Seconds between two choices of the busiest models."""

HIT = "ModelCacheHit"
WAIT = "ModelLoadingWaitTime"
DOWNLOAD = "ModelDownloadingTime"
LOAD = "ModelLoadingTime"
UNLOAD = "ModelUnloadingTime"
LOADED = "LoadedModelCount"


class Labels:
    """The labels in use: at most ``LABELS`` names and ``OTHER``."""

    def __init__(self) -> None:
        self._dimensions: dict[str, tuple[tuple[str, str], ...]] = {}
        self._other = (("TargetModel", OTHER),)
        self.due = 0.0

    def choose(self, heats: Iterable[tuple[float, str]], now: float) -> None:
        busiest = heapq.nlargest(LABELS, heats)
        self._dimensions = {name: (("TargetModel", name),) for _, name in busiest}
        self.due = now + AGAIN

    def of(self, name: str) -> tuple[tuple[str, str], ...]:
        return self._dimensions.get(name, self._other)


def status_of_answer(outcome: Outcome) -> int | None:
    """0: there was none. None for a rejection by the platform, which does not count as the model's answer."""
    if isinstance(outcome, Rejected):
        return None
    return outcome.status if isinstance(outcome, ModelFailed) else 200


def note_answer(call: Call, dimensions: tuple[tuple[str, str], ...], status: int, seconds: float) -> None:
    """Add the metrics of one model."""
    call.note("Invocations", 1, dimensions)
    call.note("Invocation4XXErrors", int(400 <= status < 500), dimensions)
    call.note("Invocation5XXErrors", int(status == 0 or status >= 500), dimensions)
    call.note("ModelLatency", round(seconds * 1e6), dimensions)
