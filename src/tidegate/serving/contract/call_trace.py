"""The data that is recorded about a traced call while it is processed."""

from typing import NamedTuple

from tidegate.domain.spans import SpanContext


class ModelRun(NamedTuple):
    """One call of the model's library. Times are epoch nanoseconds."""

    start: int
    end: int
    requests: int
    """Requests that were scored together."""
    rows: int
    stage: int
    """Index into ``CallTrace.stages``, of a pipeline; -1: there is none."""


class StageRun(NamedTuple):
    """A stage of a pipeline."""

    container: str
    start: int
    end: int


class Receipt(NamedTuple):
    """How a request came. Times are epoch microseconds."""

    stamped: int
    """When the proxy had it."""
    arrived: int
    """When its first byte was here."""
    complete: int
    inference_id: bytes
    """As the client gave it; empty: it gave none."""


class CallTrace:
    """``parent``: the caller's span, or the one that led to this trace where ``linked``; None: the trace begins here.
    ``began``: when the engine got the call, in epoch nanoseconds."""

    __slots__ = (
        *("began", "linked", "model_ended", "over", "parent", "receipt", "runs", "stages", "status"),
        *("failure", "trace_id"),
    )

    def __init__(
        self, trace_id: str, parent: SpanContext | None, linked: bool, began: int, receipt: Receipt
    ) -> None:
        self.trace_id = trace_id
        self.parent = parent
        self.linked = linked
        self.began = began
        self.receipt = receipt
        self.failure: int | None = None
        """The model's own status, if it failed; 0: it did not answer."""
        self.model_ended = 0
        """When the engine's outcome came; 0: not yet."""
        self.status = 0
        """Of the client's response; 0: not known yet."""
        self.runs: list[ModelRun] = []
        self.stages: list[StageRun] = []
        self.over = False
        """Its spans were made."""
