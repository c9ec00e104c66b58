"""A loaded model behind an event loop in a thread of its own, so that a call that never ends cannot hold the function
beyond its deadline."""

import asyncio
import gc
import threading
from collections.abc import Sequence
from concurrent import futures
from contextlib import suppress
from functools import partial

from tidegate.domain.errors import StartTimeout, TidegateError, Transient
from tidegate.serving.contract.invocation import (
    Answer,
    Call,
    ModelEngine,
    ModelFailed,
    Outcome,
    Rejected,
    Stream,
    TimedOut,
    close_parts,
)
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.engines.assembly import fetch, open_engine

Whole = Answer | Rejected | ModelFailed
_PROBE = 0.2
"""Seconds in which the loop must respond after a call that did not end."""


class LoopModel:
    """Opened by the constructor. All methods are for the thread that called it."""

    def __init__(self, spec: ReplicaSpec, seconds: float) -> None:
        """Load the model within ``seconds``. Raises ArtifactError, Invalid, StartTimeout or Transient."""
        self._spec = spec
        self._ended = ""
        self._late: list[futures.Future[Whole]] = []
        """Calls that were given up and still hold the model."""
        self._joining: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="model", daemon=True).start()
        opening = asyncio.run_coroutine_threadsafe(self._open(seconds), self._loop)
        try:
            self._engine: ModelEngine = opening.result(seconds + 1)
        except TimeoutError:
            opening.cancel()
            raise StartTimeout(f"the model did not load within {seconds:g} s") from None
        gc.collect()
        gc.freeze()  # what was loaded lives as long as the process

    def ask(self, calls: Sequence[Call], seconds: float) -> list[Whole]:
        """Outcomes in the order of the calls; TimedOut for those without one after ``seconds``. Without time left
        nothing is started."""
        if seconds <= 0:
            return [TimedOut(self._spec.containers[0].name) for _ in calls]
        pending: list[futures.Future[Whole]] = [futures.Future() for _ in calls]
        self._loop.call_soon_threadsafe(self._submit, calls, pending)
        futures.wait(pending, seconds)
        outcomes: list[Whole] = []
        for call, future in zip(calls, pending, strict=True):
            if future.done():
                outcomes.append(future.result())
                continue
            self._loop.call_soon_threadsafe(call.abandon)
            self._late.append(future)
            outcomes.append(TimedOut(self._spec.containers[0].name))
        return outcomes

    @property
    def healthy(self) -> bool:
        """Whether it can answer further calls. False: a call that was given up holds it, or a program ended."""
        self._late = [future for future in self._late if not future.done()]
        if self._ended or self._late or not self._engine.healthy:
            return False
        responded = threading.Event()
        self._loop.call_soon_threadsafe(responded.set)
        return responded.wait(_PROBE)

    def close(self) -> None:
        """Release what can be released; a thread that is stuck stays."""
        closing = asyncio.run_coroutine_threadsafe(self._engine.close(), self._loop)
        with suppress(TimeoutError, TidegateError):
            closing.result(_PROBE)
        self._loop.call_soon_threadsafe(self._loop.stop)

    # --- in the loop ---

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _open(self, seconds: float) -> ModelEngine:
        until = self._loop.time() + seconds
        if any(container.data_url for container in self._spec.containers):  # else it is in the package
            await fetch(self._spec, until, lambda _: None)
        return await open_engine(self._spec, self._note_program_end, until)

    def _note_program_end(
        self, container: ContainerSpec, code: int, why: str = "", *, permanent: bool = False
    ) -> None:
        self._ended = why or f"the program of container {container.name} ended with exit code {code}"

    def _submit(self, calls: Sequence[Call], pending: Sequence["futures.Future[Whole]"]) -> None:
        """All in one iteration of the loop, so that they are scored together."""
        for call, future in zip(calls, pending, strict=True):
            self._engine.submit(call, partial(self._finish, future))

    def _finish(self, future: "futures.Future[Whole]", outcome: Outcome) -> None:
        if isinstance(outcome, Stream):
            task = self._loop.create_task(self._join(future, outcome))
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)
        else:
            future.set_result(outcome)

    async def _join(self, future: "futures.Future[Whole]", stream: Stream) -> None:
        """The parts of a stream as one answer."""
        parts: list[bytes] = []
        made: Whole
        try:
            async with asyncio.timeout(self._spec.stream_timeout):
                parts.extend([part async for part in stream.parts])
            made = Answer(b"".join(parts), stream.content_type, stream.headers)
        except ModelFailed as failed:
            made = failed
        except TimeoutError:
            made = TimedOut(self._spec.containers[0].name)
        finally:
            await close_parts(stream.parts)
        future.set_result(made)


def reopen(model: LoopModel, spec: ReplicaSpec, seconds: float) -> LoopModel:
    """Another one in its place. Raises Transient if it cannot be loaded in time."""
    model.close()
    try:
        return LoopModel(spec, seconds)
    except TidegateError as error:
        raise Transient(f"the model is being loaded again, since a request blocked it: {error.message}") from None
