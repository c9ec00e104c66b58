"""SageMaker's per-container metrics of a call."""

from collections.abc import AsyncIterator
from time import perf_counter_ns

from tidegate.serving.contract.invocation import Call, ModelFailed, Note, Outcome, Rejected, Stream

LATENCY = "ContainerLatency"
"""Microseconds in the container; of a stream, until its head."""


class Meter:
    """Metrics of one container. Errors are 0 or 1 for each request, so that their Average is the rate."""

    def __init__(self, container: str) -> None:
        self.container = container
        self._dimensions = (("ContainerName", container),)
        self._good = self._counts(False, False)
        self._client_error = self._counts(True, False)
        self._server_error = self._counts(False, True)

    def _counts(self, client: bool, server: bool) -> tuple[Note, ...]:
        values = {"Invocations": 1, "Invocation4XXErrors": client, "Invocation5XXErrors": server}
        return tuple(Note(name, float(value), self._dimensions) for name, value in values.items())

    def finish(self, call: Call, began: int, outcome: Outcome) -> Outcome:
        """Count a call, and return its outcome with the container named in a failure. ``began``: when the container
        got the request, by ``perf_counter_ns``. Requests that the platform rejected do not count."""
        if isinstance(outcome, Rejected):
            return outcome
        latency = Note(LATENCY, (perf_counter_ns() - began) // 1000, self._dimensions)
        if not isinstance(outcome, ModelFailed):
            counted = self._good
        elif 400 <= outcome.status < 500:
            counted = self._client_error
        else:
            counted = self._server_error
        call.notes = (*call.notes, latency, *counted)
        if isinstance(outcome, ModelFailed):
            outcome.container = self.container
        if isinstance(outcome, Stream):
            return outcome._replace(parts=_name_failures(outcome.parts, self.container))
        return outcome


async def _name_failures(parts: AsyncIterator[bytes], container: str) -> AsyncIterator[bytes]:
    """The same parts, with the container named in a failure."""
    try:
        async for part in parts:
            yield part
    except ModelFailed as failed:
        failed.container = container
        raise
