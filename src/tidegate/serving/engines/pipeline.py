"""Engines of several containers in one replica: a serial pipeline, where each container's answer is the next one's
request, and containers side by side, where each request names its own.

The body, its content type and the client's ``X-Amzn-SageMaker-*`` headers pass from stage to stage; custom attributes
in a stage's answer replace the client's for later stages. The client's Accept goes to the last stage; without one, a
table runtime there answers in the content type of the client's request. Every other stage gets an Accept that suits
the next one: an array between built-in table runtimes (nothing is formatted and parsed again, and no digit is lost),
otherwise JSON, then CSV. A stage whose environment sets its default accept gets no Accept.

Stages in one process call each other directly. A replica serves one version, so a request sees one version only.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from time import perf_counter_ns, time_ns

from tidegate.serving.contract.call_trace import StageRun
from tidegate.serving.contract.container_metrics import Meter
from tidegate.serving.contract.invocation import (
    GONE,
    Answer,
    Call,
    Done,
    ModelEngine,
    ModelFailed,
    Outcome,
    Rejected,
    Stream,
    TimedOut,
    close_parts,
)
from tidegate.serving.contract.replica_spec import ContainerSpec
from tidegate.serving.contract.signature import Form, ModelSignature, find_signature
from tidegate.serving.contract.target_headers import CONTAINER
from tidegate.serving.contract.traced_call import TracedCall
from tidegate.serving.scoring.batching import Batcher, model_failure

ARRAY, JSON = b"application/x-npy", b"application/json"
"""A single type, for stages that are known to support it: the fastest to negotiate."""
ANY_ARRAY = b"application/x-npy, application/json;q=0.9, text/csv;q=0.8"
ANY_TEXT = b"application/json, text/csv;q=0.9, */*;q=0.1"
_FORMS = (b"text/csv", b"application/json", b"application/x-npy")
_DEFAULT_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
_ENDED = "The server went away."


@dataclass(frozen=True)
class PipelineStage:
    """``accept``: the Accept header that it gets; None: the client's (for the last stage). ``likewise``: a client
    that accepts anything gets the content type that it sent."""

    name: str
    engine: ModelEngine
    accept: bytes | None = None
    likewise: bool = False
    meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "meter", Meter(self.name))


def stages(containers: Sequence[ContainerSpec], engines: Sequence[ModelEngine]) -> list[PipelineStage]:
    """The stages, each with its engine and Accept."""
    likewise = isinstance(engines[-1], Batcher) and _DEFAULT_ACCEPT not in containers[-1].environment
    accepts = [
        b"" if _DEFAULT_ACCEPT in container.environment else _accept_between(*pair)
        for container, pair in zip(containers, pairwise(engines), strict=False)
    ]
    named = zip(containers, engines, (*accepts, None), strict=True)
    return [
        PipelineStage(container.name, engine, accept, likewise and accept is None)
        for container, engine, accept in named
    ]


def _accept_between(engine: ModelEngine, then: ModelEngine) -> bytes:
    """The Accept for ``engine`` that suits ``then``. A batcher is a table runtime."""
    if isinstance(engine, Batcher):
        return ARRAY if isinstance(then, Batcher) else JSON
    return ANY_ARRAY if isinstance(then, Batcher) else ANY_TEXT


@dataclass(frozen=True)
class StageOutput:
    """The answer of a stage, which is the next one's request."""

    stage: str
    body: bytes
    content_type: str


class Pipeline:
    """Runs stages one after the other. ``limit``: bytes of a streamed answer of any stage but the last; ``timeout``:
    seconds for all stages together."""

    def __init__(self, stages: Sequence[PipelineStage], limit: int, timeout: float) -> None:
        self._stages = tuple(stages)
        self._limit = limit
        self._timeout = timeout
        self._waits = not all(isinstance(stage.engine, Batcher) for stage in stages)
        """Whether a stage may take long while the event loop is free, so that a timer is needed."""

    @property
    def signature(self) -> ModelSignature | None:
        """The inputs are those of the first stage, and answers those of the last."""
        first, last = (find_signature(stage.engine) for stage in (self._stages[0], self._stages[-1]))
        return first and first._replace(arrays=last is not None and last.form is Form.TABLE and last.arrays)

    def submit(self, call: Call, done: Done) -> None:
        kind = _Run if call.trace is None else _TimedRun
        self._start(kind(self._stages, self._limit, call, done), call)

    def trace(self, call: Call, done: Done, seen: list[StageOutput]) -> None:
        """Like ``submit``; ``seen`` gets what each stage but the last one answers."""
        run = _TracedRun(self._stages, self._limit, call, done)
        run.seen = seen
        self._start(run, call)

    def _start(self, run: "_Run", call: Call) -> None:
        call.on_abandon(run.abandon)
        if self._waits:
            run.set_deadline(self._timeout)
        run.begin(0, call.body, {})

    @property
    def healthy(self) -> bool:
        return all(stage.engine.healthy for stage in self._stages)

    async def close(self) -> None:
        await asyncio.gather(*(stage.engine.close() for stage in self._stages))


class _Run:
    """One request in progress."""

    __slots__ = (
        *("_began", "_call", "_changes", "_done", "_inner", "_limit"),
        *("_number", "_over", "_stages", "_task", "_timer"),
    )

    def __init__(self, stages: tuple[PipelineStage, ...], limit: int, call: Call, done: Done) -> None:
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

    def set_deadline(self, timeout: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(timeout, self._time_out)

    def begin(self, number: int, body: bytes, changes: dict[bytes, bytes]) -> None:
        """Send a request to stage ``number`` (from 0); ``changes`` are headers that replace the client's."""
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
        self._inner = self._make_call(body, headers, stage.accept is None and self._call.parts)
        self._began = perf_counter_ns()
        stage.engine.submit(self._inner, self._continue)

    def _make_call(self, body: bytes, headers: dict[bytes, bytes], parts: bool) -> Call:
        return Call(body, headers, parts)

    def _finish_stage(self, outcome: Outcome) -> Outcome:
        """Count the stage's call; the outcome names the stage in a failure."""
        return self._stages[self._number].meter.finish(self._call, self._began, outcome)

    def abandon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._inner is not None:
            self._inner.abandon()
        if self._task is not None:  # after its first step: without that it would tell no outcome
            asyncio.get_running_loop().call_soon(self._task.cancel)

    def _time_out(self) -> None:
        """End with an error that names the slow stage, and ignore its answer."""
        self._end(self._finish_stage(TimedOut(self._stages[self._number].name)))
        self.abandon()

    def _end(self, outcome: Outcome) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._done(outcome)

    def _continue(self, outcome: Outcome) -> None:
        if self._over:
            return
        if isinstance(outcome, Stream) and self._number < len(self._stages) - 1:
            self._task = asyncio.get_running_loop().create_task(self._collect(outcome))
            return
        stage = self._stages[self._number]
        outcome = self._finish_stage(outcome)
        if not isinstance(outcome, Answer) or self._number == len(self._stages) - 1:
            self._end(outcome)
        elif self._call.abandoned:
            self._end(GONE)
        else:
            changes = {**self._changes, b"content-type": outcome.content_type.encode("latin-1", "replace")}
            for name, value in outcome.headers:
                if name.lower() == _ATTRIBUTES:
                    changes[_ATTRIBUTES] = value
            self.begin(self._number + 1, _rows(outcome) if stage.accept == ARRAY else outcome.body, changes)

    async def _collect(self, stream: Stream) -> None:
        """Join a streamed answer, since the next stage needs a whole body."""
        try:
            outcome = await _join(stream, self._limit)
        except asyncio.CancelledError:
            self._continue(GONE if self._call.abandoned else ModelFailed(0, _ENDED))
            raise
        except Exception as error:
            outcome = model_failure(error)
        self._continue(outcome)


class _TimedRun(_Run):
    """Notes in the call's trace when each stage ran."""

    __slots__ = ("_since",)

    def begin(self, number: int, body: bytes, changes: dict[bytes, bytes]) -> None:
        self._since = time_ns()
        super().begin(number, body, changes)

    def _make_call(self, body: bytes, headers: dict[bytes, bytes], parts: bool) -> Call:
        call = super()._make_call(body, headers, parts)
        return call if self._call.trace is None else TracedCall(call, self._call.trace, self._number)

    def _finish_stage(self, outcome: Outcome) -> Outcome:
        trace = self._call.trace
        if trace is not None:
            trace.stages.append(StageRun(self._stages[self._number].name, self._since, time_ns()))
        return super()._finish_stage(outcome)


class _TracedRun(_Run):
    """Keeps what the stages answered."""

    __slots__ = ("seen",)

    seen: list[StageOutput]

    def begin(self, number: int, body: bytes, changes: dict[bytes, bytes]) -> None:
        if number:
            kind = changes[b"content-type"].decode("latin-1")
            self.seen.append(StageOutput(self._stages[number - 1].name, body, kind))
        super().begin(number, body, changes)


def _rows(answer: Answer) -> bytes:
    """The answer of a table runtime for the next one, which would take a value for each row for one row of values."""
    if answer.content_type.encode() != ARRAY:
        return answer.body
    from tidegate.serving.formats import npy  # noqa: PLC0415  # needs numpy, which these stages have imported

    return npy.as_column(answer.body)


async def _join(stream: Stream, limit: int) -> Outcome:
    parts, size = [], 0
    try:
        async for part in stream.parts:
            parts.append(part)
            size += len(part)
            if size > limit:
                return ModelFailed(500, f"The answer has more than {limit} bytes.")
    finally:
        await close_parts(stream.parts)
    return Answer(b"".join(parts), stream.content_type, stream.headers)


# --- an engine for several containers, where each request names its own (TargetContainerHostname) ---


class Direct:
    """Passes each request to the engine of the container that it names."""

    def __init__(self, engines: Mapping[str, ModelEngine]) -> None:
        self._engines = {name.encode(): (engine, Meter(name)) for name, engine in engines.items()}
        self._names = ", ".join(engines)

    def submit(self, call: Call, done: Done) -> None:
        name = call.headers.get(CONTAINER, b"")
        found = self._engines.get(name)
        if found is None:
            done(self._unknown(name))
            return
        engine, meter = found
        engine.submit(call, partial(self._finish, meter, call, done, perf_counter_ns()))

    @property
    def healthy(self) -> bool:
        return all(engine.healthy for engine, _ in self._engines.values())

    async def close(self) -> None:
        await asyncio.gather(*(engine.close() for engine, _ in self._engines.values()))

    @staticmethod
    def _finish(meter: Meter, call: Call, done: Done, began: int, outcome: Outcome) -> None:
        done(meter.finish(call, began, outcome))

    def _unknown(self, name: bytes) -> Rejected:
        if not name:
            message = "TargetContainerHostname is required to invoke a multi-container endpoint in Direct mode"
        else:
            shown = name[:63].decode("latin-1")
            message = f"TargetContainerHostname '{shown}' is not a container of this endpoint"
        return Rejected(400, "ValidationError", f"{message}; its containers are: {self._names}.")
