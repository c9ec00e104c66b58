"""What a call leaves in the metrics of each container that it passed: SageMaker's per-container metrics."""

from collections.abc import AsyncIterator
from time import perf_counter_ns

from tidegate.serving.contract.invocation import Call, ModelFailed, Note, Outcome, Rejected, Stream

LATENCY = "ContainerLatency"
"""Microseconds in the container; of an answer in parts, until the first one may come."""


class Meter:
    """Of one container. The errors are 0 or 1 for each request, so that their Average is the rate."""

    def __init__(self, container: str) -> None:
        self.container = container
        self._dimensions = (("ContainerName", container),)
        self._good = self._counted(False, False)
        self._client_error = self._counted(True, False)
        self._server_error = self._counted(False, True)

    def _counted(self, client: bool, server: bool) -> tuple[Note, ...]:
        values = {"Invocations": 1, "Invocation4XXErrors": client, "Invocation5XXErrors": server}
        return tuple(Note(name, float(value), self._dimensions) for name, value in values.items())

    def finish(self, call: Call, began: int, outcome: Outcome) -> Outcome:
        """The outcome with the container named in its failure. ``began`` is ``perf_counter_ns`` when the container
        was asked; a request that the platform turned down is not counted."""
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
            return outcome._replace(parts=_named(outcome.parts, self.container))
        return outcome


async def _named(parts: AsyncIterator[bytes], container: str) -> AsyncIterator[bytes]:
    """The same parts; a failure among them names the container."""
    try:
        async for part in parts:
            yield part
    except ModelFailed as failed:
        failed.container = container
        raise
