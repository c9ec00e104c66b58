"""Results and reports of a request, shared by the two ways to process one: with a task of its own, and without."""

from dataclasses import dataclass, field

from tidegate.domain.asynchronous import ItemMeasurements, ItemOutcome, ItemState, LeasedItem, OutcomeKind
from tidegate.domain.errors import ArtifactError, NotFound, TidegateError
from tidegate.features.asynchronous.dispatcher.calls import ModelResponse
from tidegate.http1.messages import StreamedReply
from tidegate.ports.queue import ItemReport
from tidegate.queueing.transitions import AttemptFailed, FaultKind

MARGIN = 1.0
"""Seconds before the end of its lease from which nothing more is stored for an item."""


@dataclass(frozen=True)
class RequestProgress:
    """How far a request came without a task. ``got``: the instance's answer, or the report to write.
    ``seconds``: left for an answer that is still coming."""

    got: ModelResponse | AttemptFailed | StreamedReply | ItemReport
    values: dict[str, float] = field(default_factory=dict)
    """Measurements so far."""
    seconds: float = 0.0


def failure_of(error: TidegateError) -> AttemptFailed:
    """Classify an error that occurred when an input was read or an output was stored."""
    permanent = isinstance(error, (ArtifactError, NotFound))
    return AttemptFailed(FaultKind.INPUT if permanent else FaultKind.PLATFORM, str(error))


def end_report(
    held: LeasedItem, outcome: ItemOutcome, variant: str, values: dict[str, float], now: float
) -> ItemReport:
    """Report that the item has ended, with its measurements: ``values``, to which those that all items have are
    added."""
    item, end = held.item, outcome.end
    values["TimeInBacklog"] = (held.begun_at - item.accepted_at) * 1e3
    values["InvocationsProcesssed"] = 1.0
    values["InvocationFailures"] = 1.0 if end is OutcomeKind.FAILED else 0.0
    values["ExpiredRequests"] = 1.0 if end is OutcomeKind.EXPIRED else 0.0
    if end is not OutcomeKind.EXPIRED:
        values["TotalProcessingTime"] = (now - held.begun_at) * 1e3
    measures = ItemMeasurements(item.endpoint, variant, now, values)
    return ItemReport(item.id, held.fence, ItemState.DONE, 0.0, held.tries, held.losses, outcome, measures)
