"""A serial inference pipeline: each container's answer is the next one's request, all within one replica.

What passes from stage to stage is the body with its content type, and the client's ``X-Amzn-SageMaker-*`` headers;
custom attributes that a stage answers with take the place of the client's for the stages after it. The client's
Accept goes to the last stage; without one, a table runtime there answers in the form that the client sent. The
others are asked for what the next one reads best: an array between built-in table runtimes (no text is made and read
again, no digit is lost), JSON or else CSV before anything else; a stage whose environment sets its default accept is
asked for nothing and follows that.

Stages of one process hand on by plain calls. A replica serves one version, so a request sees one version all along.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter_ns

from tidegate.serving.contract.container_metrics import Meter
from tidegate.serving.contract.invocation import (
    Answer,
    Call,
    Done,
    Engine,
    ModelFailed,
    Outcome,
    Stream,
    TimedOut,
    let_go,
)
from tidegate.serving.contract.replica_spec import ContainerSpec
from tidegate.serving.scoring.batching import Batcher, failed

ARRAY, JSON = b"application/x-npy", b"application/json"
"""One form alone, for stages that are known to write it: nothing is quicker to choose from."""
ANY_ARRAY = b"application/x-npy, application/json;q=0.9, text/csv;q=0.8"
ANY_TEXT = b"application/json, text/csv;q=0.9, */*;q=0.1"
_FORMS = (b"text/csv", b"application/json", b"application/x-npy")
_DEFAULT_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
_GONE = "The client or the server went away."


@dataclass(frozen=True)
class Stage:
    """``accept`` is what it is asked to answer in; None: whatever the client accepts (the last one's).
    ``likewise``: a client that accepts anything is answered in the form that it sent."""

    name: str
    engine: Engine
    accept: bytes | None = None
    likewise: bool = False
    meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "meter", Meter(self.name))


def stages(containers: Sequence[ContainerSpec], engines: Sequence[Engine]) -> list[Stage]:
    """Each container with its engine, and what it is asked to answer in."""
    likewise = isinstance(engines[-1], Batcher) and _DEFAULT_ACCEPT not in containers[-1].environment
    accepts = [
        b"" if _DEFAULT_ACCEPT in container.environment else _between(*pair)
        for container, pair in zip(containers, pairwise(engines), strict=False)
    ]
    named = zip(containers, engines, (*accepts, None), strict=True)
    return [
        Stage(container.name, engine, accept, likewise and accept is None) for container, engine, accept in named
    ]


def _between(engine: Engine, then: Engine) -> bytes:
    """What ``engine`` is asked to answer in, so that ``then`` reads it well. A batcher is a table runtime."""
    if isinstance(engine, Batcher):
        return ARRAY if isinstance(then, Batcher) else JSON
    return ANY_ARRAY if isinstance(then, Batcher) else ANY_TEXT


class Pipeline:
    """An engine made of engines. ``limit``: bytes that a stage may answer in parts with before the last;
    ``timeout``: seconds for all stages together."""

    def __init__(self, stages: Sequence[Stage], limit: int, timeout: float) -> None:
        self._stages = tuple(stages)
        self._limit = limit
        self._timeout = timeout
        self._waits = not all(isinstance(stage.engine, Batcher) for stage in stages)
        """Whether a stage may take long without the event loop being busy with it."""

    def submit(self, call: Call, done: Done) -> None:
        run = _Run(self._stages, self._limit, call, done)
        call.on_abandon(run.abandon)
        if self._waits:
            run.hurry(self._timeout)
        run.begin(0, call.body, {})

    @property
    def healthy(self) -> bool:
        return all(stage.engine.healthy for stage in self._stages)

    async def close(self) -> None:
        await asyncio.gather(*(stage.engine.close() for stage in self._stages))


class _Run:
    """One request on its way through the stages."""

    __slots__ = (
        *("_began", "_call", "_changes", "_done", "_inner", "_limit"),
        *("_number", "_over", "_stages", "_task", "_timer"),
    )

    def __init__(self, stages: tuple[Stage, ...], limit: int, call: Call, done: Done) -> None:
        self._stages = stages
        self._limit = limit
        self._call = call
        self._done = done
        self._number = 0
        self._began = 0
        self._inner: Call | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def hurry(self, timeout: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(timeout, self._late)

    def begin(self, number: int, body: bytes, changes: dict[bytes, bytes]) -> None:
        """Asks stage ``number`` (from 0); ``changes`` are headers in place of the client's."""
        stage = self._stages[number]
        headers = {**self._call.headers, **changes}
        if stage.accept is not None:
            headers[b"accept"] = stage.accept
            if not stage.accept:
                del headers[b"accept"]
        elif stage.likewise and headers.get(b"accept", b"") in (b"", b"*/*"):
            sent = self._call.headers.get(b"content-type", b"").partition(b";")[0] or b"text/csv"
            headers[b"accept"] = sent if sent in _FORMS else JSON
        self._number = number
        self._changes = changes
        self._inner = Call(body, headers, parts=stage.accept is None and self._call.parts)
        self._began = perf_counter_ns()
        stage.engine.submit(self._inner, self._arrived)

    def abandon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._inner is not None:
            self._inner.abandon()
        if self._task is not None:
            self._task.cancel()

    def _late(self) -> None:
        """The client is told which stage is slow; what that one still says is not heard."""
        stage = self._stages[self._number]
        self._end(stage.meter.finish(self._call, self._began, TimedOut(stage.name)))
        self.abandon()

    def _end(self, outcome: Outcome) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._done(outcome)

    def _arrived(self, outcome: Outcome) -> None:
        if self._over:
            return
        if isinstance(outcome, Stream) and self._number < len(self._stages) - 1:
            self._task = asyncio.get_running_loop().create_task(self._collect(outcome))
            return
        stage = self._stages[self._number]
        outcome = stage.meter.finish(self._call, self._began, outcome)
        if not isinstance(outcome, Answer) or self._number == len(self._stages) - 1:
            self._end(outcome)
        elif self._call.abandoned:
            self._end(ModelFailed(0, _GONE, stage.name))
        else:
            changes = {**self._changes, b"content-type": outcome.content_type.encode("latin-1", "replace")}
            for name, value in outcome.headers:
                if name.lower() == _ATTRIBUTES:
                    changes[_ATTRIBUTES] = value
            self.begin(self._number + 1, outcome.body, changes)

    async def _collect(self, stream: Stream) -> None:
        """The next stage takes a whole request."""
        try:
            outcome = await _whole(stream, self._limit)
        except asyncio.CancelledError:
            self._arrived(ModelFailed(0, _GONE))
            raise
        except Exception as error:
            outcome = failed(error)
        self._arrived(outcome)


async def _whole(stream: Stream, limit: int) -> Outcome:
    parts, size = [], 0
    try:
        async for part in stream.parts:
            parts.append(part)
            size += len(part)
            if size > limit:
                return ModelFailed(500, f"The answer has more than {limit} bytes.")
    finally:
        await let_go(stream.parts)
    return Answer(b"".join(parts), stream.content_type, stream.headers)
