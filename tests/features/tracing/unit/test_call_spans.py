"""What a traced prediction's spans say, from what batches and stages noted."""

import asyncio
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.serving.scoring.test_batching import Doubler
from tidegate.domain.spans import Span, SpanContext, SpanKind
from tidegate.features.tracing.worker.call_spans import StartWindow, make_spans
from tidegate.serving.contract.call_trace import CallTrace, ModelRun, Receipt, StageRun
from tidegate.serving.contract.invocation import Answer, Call, ModelFailed, Outcome
from tidegate.serving.contract.traced_call import with_trace
from tidegate.serving.engines.pipeline import Pipeline, PipelineStage
from tidegate.serving.scoring.batching import Batcher

TRACE = "a" * 32


def noted(parent: SpanContext | None = None, linked: bool = False) -> CallTrace:
    return CallTrace(TRACE, parent, linked, 2_000_000, Receipt(1_000, 1_500, 1_800, b""))


def spans(trace: CallTrace, ended: int = 9_000_000, start: StartWindow | None = None) -> list[Span]:
    numbers = count(1)
    return make_spans(
        trace, "invoke", {"tidegate.endpoint": "fraud"}, ended, start, lambda: f"{next(numbers):016x}"
    )


def test_a_call_that_was_scored_in_a_batch() -> None:
    trace = noted(SpanContext("b" * 32, "c" * 16, state="a=1"))
    trace.runs.append(ModelRun(3_000_000, 5_000_000, 7, 21, -1))
    trace.model_ended, trace.status = 6_000_000, 200
    *inner, root = spans(trace)
    assert [(one.name, one.start, one.end) for one in inner] == [
        ("proxy", 1_000_000, 1_500_000),
        ("receive", 1_500_000, 1_800_000),
        ("wait", 2_000_000, 3_000_000),
        ("model", 3_000_000, 5_000_000),
        ("answer", 6_000_000, 9_000_000),
    ]
    assert inner[3].attributes == {"tidegate.batch.requests": 7, "tidegate.batch.rows": 21}
    assert {one.parent for one in inner} == {root.span_id}
    assert (root.start, root.end, root.kind, root.parent) == (1_000_000, 9_000_000, SpanKind.SERVER, "c" * 16)
    assert (root.state, root.link, root.error) == ("a=1", None, None)


def test_a_run_of_a_queued_request_is_linked() -> None:
    cause = SpanContext("b" * 32, "c" * 16, state="a=1")
    root = spans(noted(cause, linked=True))[-1]
    assert (root.kind, root.parent, root.link, root.state) == (SpanKind.CONSUMER, None, cause, "")


def test_failures_of_the_model_are_errors_and_refused_requests_are_not() -> None:
    for failure, status, error in [(0, 424, "model failed"), (500, 424, "model failed"), (400, 424, None)]:
        trace = noted()
        trace.failure, trace.status = failure, status
        assert spans(trace)[-1].error == error
    trace = noted()
    trace.status = 503
    assert spans(trace)[-1].error == "status 503"


def test_a_cold_start_is_shown_within_the_request_that_waited_for_it() -> None:
    start = StartWindow(0.0005, (("noticed", 0.0012), ("loaded", 0.0014)))
    [cold] = [one for one in spans(noted(), start=start) if one.name == "cold start"]
    assert (cold.start, cold.end) == (1_000_000, 1_400_000)
    assert [(event.name, event.at) for event in cold.events] == [("noticed", 1_200_000), ("loaded", 1_400_000)]


times = st.integers(0, 10_000_000)


@given(
    st.lists(st.tuples(times, times), max_size=40), st.lists(st.tuples(times, times), max_size=40), times, times
)
def test_spans_lie_within_the_first_whatever_the_clock_did(
    runs: list[tuple[int, int]], stages: list[tuple[int, int]], answered: int, ended: int
) -> None:
    trace = noted()
    trace.runs = [ModelRun(*one, 1, 1, number % 3 - 1) for number, one in enumerate(runs)]
    trace.stages = [StageRun("s", *one) for one in stages]
    trace.model_ended = answered
    *inner, root = spans(trace, ended, StartWindow(ended / 1e9, (("loaded", answered / 1e9),)))
    ids = {root.span_id} | {one.span_id for one in inner}
    assert len(ids) == len(inner) + 1 and len(ids) < 150
    for one in inner:
        assert one.parent in ids and root.start <= one.start <= one.end <= root.end
        assert all(one.start <= event.at <= one.end for event in one.events)


def run(*bodies: bytes, traced: tuple[int, ...], stages: int = 0) -> list[tuple[CallTrace | None, Outcome]]:
    """Submit at once; ``traced`` are numbers of bodies. ``stages``: of a pipeline of the same model."""

    async def main() -> list[tuple[CallTrace | None, Outcome]]:
        loop = asyncio.get_running_loop()
        engine: Batcher[list[int], list[int]] | Pipeline = Batcher(Doubler(), loop)
        if stages:
            engine = Pipeline(
                [PipelineStage(f"s{n}", Batcher(Doubler(), loop)) for n in range(stages)], 1000, 30.0
            )
        found: list[tuple[CallTrace | None, asyncio.Future[Outcome]]] = []
        for number, body in enumerate(bodies):
            trace = noted() if number in traced else None
            call = Call(body, {b"content-type": b"text/plain"})
            found.append((trace, loop.create_future()))
            engine.submit(call if trace is None else with_trace(call, trace), found[-1][1].set_result)
        return [(trace, await asyncio.wait_for(future, 300)) for trace, future in found]

    return asyncio.run(main())


def test_only_traced_calls_of_a_batch_note_it_and_answers_are_the_same() -> None:
    found = run(b"1", b"2 3", b"4", traced=(1,))
    assert [outcome.body for _, outcome in found if isinstance(outcome, Answer)] == [b"2", b"4 6", b"8"]
    assert [trace is not None for trace, _ in found] == [False, True, False]
    assert found[1][0] is not None
    [batch] = found[1][0].runs
    assert (batch.requests, batch.rows) == (3, 4) and 0 < batch.start <= batch.end


def test_a_batch_that_fails_is_noted_and_so_is_the_run_alone() -> None:
    found = run(b"1", b"13", traced=(0, 1))
    assert isinstance(found[0][1], Answer) and isinstance(found[1][1], ModelFailed)
    for trace, _ in found:
        assert trace is not None and [one.requests for one in trace.runs] == [2, 1]


def test_each_stage_of_a_pipeline_is_noted_with_its_run() -> None:
    [(trace, outcome), _] = run(b"1", b"2", traced=(0,), stages=2)
    assert isinstance(outcome, Answer) and outcome.body == b"4" and trace is not None
    assert [stage.container for stage in trace.stages] == ["s0", "s1"]
    assert [one.stage for one in trace.runs] == [0, 1]
    trace.model_ended = max(stage.end for stage in trace.stages)
    inner = spans(trace, trace.model_ended + 1)
    shown = {one.span_id: one for one in inner if one.name == "stage"}
    assert [one.attributes["tidegate.container"] for one in shown.values()] == ["s0", "s1"]
    assert [one.parent for one in inner if one.name == "model"] == list(shown)
