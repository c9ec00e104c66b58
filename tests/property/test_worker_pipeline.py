"""A pipeline's stages are asked in order, each with what the one before said; whatever fails is named.

The stages are fakes with every way to answer: at once, later, in parts, not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
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
)
from tidegate.serving.contract.replica_spec import ContainerSpec
from tidegate.serving.contract.target_headers import CONTAINER
from tidegate.serving.engines.pipeline import (
    ANY_ARRAY,
    ANY_TEXT,
    ARRAY,
    JSON,
    Direct,
    Pipeline,
    PipelineStage,
    stages,
)
from tidegate.serving.scoring.batching import Batcher

LIMIT = 100
WAYS = ("at once", "later", "in parts", "fails", "fails later", "fails in parts", "too much")
FAILING = ("fails", "fails later", "fails in parts", "too much")


@dataclass
class Fake:
    """Adds its mark to the body. ``held``: what is still to be answered, for the way ``waits``."""

    mark: str
    way: str = "at once"
    asked: list[Call] = field(default_factory=list)
    held: list[Callable[[], None]] = field(default_factory=list)
    healthy: bool = True
    closed: bool = False

    def submit(self, call: Call, done: Done) -> None:
        self.asked.append(call)
        answer = Answer(call.body + self.mark.encode(), f"text/{self.mark}")
        loop = asyncio.get_running_loop()
        match self.way:
            case "at once":
                done(answer)
            case "later":
                loop.call_soon(done, answer)
            case "in parts" | "fails in parts" | "too much":
                loop.call_soon(done, Stream(answer.content_type, self._parts(answer.body)))
            case "fails":
                done(ModelFailed(400, f"{self.mark} will not"))
            case "fails later":
                loop.call_soon(done, ModelFailed(503, f"{self.mark} cannot"))
            case "refuses":
                done(Rejected(429, "ModelNotReadyException", "later"))
            case "waits":
                self.held.append(lambda: done(answer))

    async def _parts(self, body: bytes) -> AsyncIterator[bytes]:
        for number in range(len(body)):
            yield body[number : number + 1]
            await asyncio.sleep(0)
        if self.way == "fails in parts":
            raise ModelFailed(500, f"{self.mark} broke off")
        if self.way == "too much":
            yield bytes(LIMIT)

    async def close(self) -> None:
        self.closed = True


def piped(fakes: Sequence[Fake], timeout: float = 60.0) -> Pipeline:
    accepts = [f"accept/{number}".encode() for number in range(len(fakes) - 1)]
    return Pipeline(
        [PipelineStage(f.mark, f, a) for f, a in zip(fakes, (*accepts, None), strict=True)], LIMIT, timeout
    )


async def settled() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def ask(engine: Pipeline | Direct, call: Call) -> list[Outcome]:
    found: list[Outcome] = []
    engine.submit(call, found.append)
    await settled()
    return found


async def whole(stream: Stream) -> bytes:
    return b"".join([part async for part in stream.parts])


def noted(call: Call) -> list[tuple[str, str, float]]:
    """(container, metric, value) of all but the times."""
    return [(n.dimensions[0][1], n.name, n.value) for n in call.notes if n.name != "ContainerLatency"]


MARKS = st.lists(st.sampled_from(WAYS), min_size=2, max_size=15)


@given(MARKS, st.binary(max_size=5))
async def test_stages_are_asked_in_order_until_one_fails(ways: list[str], body: bytes) -> None:
    fakes = [Fake(chr(97 + number), way) for number, way in enumerate(ways)]
    given = {b"content-type": b"text/in", b"accept": b"text/out", b"x-amzn-sagemaker-inference-id": b"7"}
    call = Call(body, given)
    [outcome] = await ask(piped(fakes), call)
    last = len(fakes) - 1
    breaks = [n for n, way in enumerate(ways) if way in FAILING and (n < last or way.startswith("fails"))]
    upto = min([*breaks, last])
    for number, fake in enumerate(fakes):
        assert len(fake.asked) == (number <= upto)
    said = body + "".join(fake.mark for fake in fakes).encode()
    for number, fake in enumerate(fakes[: upto + 1]):
        [inner] = fake.asked
        assert inner.body == said[: len(body) + number]
        assert inner.content_type == ("text/in" if number == 0 else f"text/{fakes[number - 1].mark}")
        assert inner.accept == ("text/out" if number == last else f"accept/{number}")
        assert inner.headers[b"x-amzn-sagemaker-inference-id"] == b"7"
    if isinstance(outcome, Stream):
        assert ways[last] in ("in parts", "fails in parts", "too much")
        try:
            assert (await whole(outcome)).startswith(said)
            assert ways[last] != "fails in parts"
        except ModelFailed as failed:
            assert (failed.container, failed.message) == (fakes[last].mark, f"{fakes[last].mark} broke off")
    elif isinstance(outcome, ModelFailed):
        assert outcome.container == fakes[upto].mark
        assert breaks
    else:
        assert outcome == Answer(said, f"text/{fakes[last].mark}")
    counted = {container for container, _, _ in noted(call)}
    assert counted == {fake.mark for fake in fakes[: upto + 1]}
    for fake in fakes[: upto + 1]:
        own = {name: value for container, name, value in noted(call) if container == fake.mark}
        client = fake.way == "fails"
        server = fake.way in ("fails later", "fails in parts", "too much") and not isinstance(outcome, Stream)
        assert own == {"Invocations": 1, "Invocation4XXErrors": client, "Invocation5XXErrors": server}


@given(st.integers(0, 3), st.booleans())
async def test_a_client_that_leaves_stops_the_stages_that_have_not_begun(held: int, answered: bool) -> None:
    fakes = [Fake(chr(97 + number)) for number in range(4)]
    fakes[held].way = "waits"
    call = Call(b"", {})
    found: list[Outcome] = []
    piped(fakes).submit(call, found.append)
    call.abandon()
    assert fakes[held].asked[0].abandoned
    for answer in fakes[held].held if answered else ():
        answer()
    await settled()
    assert [len(fake.asked) for fake in fakes] == [1] * (held + 1) + [0] * (3 - held)
    if answered and held < 3:
        [outcome] = found
        assert outcome is GONE


@pytest.mark.parametrize("begun", [True, False])
async def test_a_stream_that_is_collected_ends_when_the_client_leaves(begun: bool) -> None:
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b""
                await asyncio.sleep(0)
        finally:
            ended.set()

    class Endless(Fake):
        def submit(self, call: Call, done: Done) -> None:
            done(Stream("text/x", endless()))

    second = Fake("b")
    call = Call(b"", {})
    found: list[Outcome] = []
    piped([Endless("a"), second]).submit(call, found.append)
    if begun:
        await settled()
    assert not found
    call.abandon()
    await settled()
    [outcome] = found
    assert outcome is GONE
    assert ended.is_set() and not second.asked


@given(st.integers(0, 2), st.sampled_from(["waits", "in parts"]))
def test_a_stage_that_takes_too_long_is_named_and_no_longer_heard(slow: int, way: str) -> None:
    async def run() -> None:
        fakes = [Fake(chr(97 + number)) for number in range(3)]
        fakes[slow].way = way
        call = Call(b"12345", {})
        found: list[Outcome] = []
        piped(fakes, timeout=0.0 if way == "waits" else -1.0).submit(call, found.append)
        await settled()
        for answer in fakes[slow].held:
            answer()
        await settled()
        if way == "in parts" and slow == 2:
            assert isinstance(found[0], ModelFailed | Stream)
            return
        [outcome] = found
        assert isinstance(outcome, ModelFailed)
        assert (outcome.status, outcome.container) == (0, fakes[slow].mark)
        assert f"from container {fakes[slow].mark}" in outcome.message
        assert [len(fake.asked) for fake in fakes] == [1] * (slow + 1) + [0] * (2 - slow)
        assert (fakes[slow].mark, "Invocation5XXErrors", 1.0) in noted(call)
        assert fakes[slow].asked[0].abandoned

    asyncio.run(run())


async def test_custom_attributes_pass_on_from_stage_to_stage() -> None:
    class Attributing(Fake):
        def submit(self, call: Call, done: Done) -> None:
            self.asked.append(call)
            done(Answer(b"", "text/x", ((b"X-Amzn-SageMaker-Custom-Attributes", self.mark.encode()),)))

    first, plain, last = Attributing("a"), Fake("b"), Fake("c")
    call = Call(b"", {b"x-amzn-sagemaker-custom-attributes": b"of the client"})
    [outcome] = await ask(piped([first, plain, last]), call)
    got = [each.asked[0].headers[b"x-amzn-sagemaker-custom-attributes"] for each in (first, plain, last)]
    assert got == [b"of the client", b"a", b"a"]
    assert isinstance(outcome, Answer) and outcome.headers == ()


async def test_what_the_platform_refuses_is_no_containers_error() -> None:
    call = Call(b"", {})
    assert await ask(piped([Fake("a", "refuses"), Fake("b")]), call) == [
        Rejected(429, "ModelNotReadyException", "later")
    ]
    assert call.notes == ()


def container(name: str, **environment: str) -> ContainerSpec:
    runtime = RuntimeChoice(RuntimeKind.XGBOOST)
    return ContainerSpec(name=name, runtime=runtime, model_dir="/m", environment=environment)


class Sum:
    """A scorer of tables."""

    batches = True

    def parse(self, call: Call) -> bytes:
        return call.body

    def size(self, rows: bytes) -> int:
        return len(rows)

    def score(self, requests: Sequence[bytes]) -> list[int]:
        return [sum(rows) for rows in requests]

    def count(self, scores: int) -> None:
        return None

    def render(self, scores: int, call: Call) -> Answer:
        return Answer(bytes([scores % 256]), "x/sum")


async def test_each_stage_is_asked_for_what_the_next_one_reads() -> None:
    table = Batcher(Sum(), asyncio.get_running_loop())
    engines: list[ModelEngine] = [Fake("a"), table, Fake("c"), Fake("d"), Fake("e"), table, table]
    own = {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}
    containers = [container(mark, **(own if mark == "d" else {})) for mark in "abcdefg"]
    made = stages(containers, engines)
    assert [stage.name for stage in made] == list("abcdefg")
    assert [stage.accept for stage in made] == [ANY_ARRAY, JSON, ANY_TEXT, b"", ANY_ARRAY, ARRAY, None]
    [outcome] = await ask(
        Pipeline(stages(containers[:5], engines[:5]), LIMIT, 60.0), Call(b"", {b"accept": b"text/x"})
    )
    asked = [engine.asked[0] for engine in engines if isinstance(engine, Fake)]
    assert [call.accept.encode() for call in asked] == [ANY_ARRAY, ANY_TEXT, b"", b"text/x"]
    assert outcome == Answer(b"acde", "text/e")
    await table.close()


async def test_a_sick_stage_makes_the_whole_sick_and_all_are_closed() -> None:
    async def run(make: Callable[[list[Fake]], Any]) -> None:
        fakes = [Fake("a"), Fake("b")]
        engine = make(fakes)
        assert engine.healthy
        fakes[1].healthy = False
        assert not engine.healthy
        await engine.close()
        assert all(fake.closed for fake in fakes)

    await run(piped)
    await run(lambda fakes: Direct({fake.mark: fake for fake in fakes}))


@given(st.sampled_from([*WAYS, "refuses"]), st.sampled_from([b"a", b"b", b"c", b"", None]))
async def test_a_container_is_asked_by_its_name_alone(way: str, target: bytes | None) -> None:
    fakes = {"a": Fake("a", way), "b": Fake("b", way)}
    call = Call(b"x", {} if target is None else {CONTAINER: target})
    [outcome] = await ask(Direct(fakes), call)
    for mark, fake in fakes.items():
        assert len(fake.asked) == (mark.encode() == target)
    if target not in (b"a", b"b"):
        assert isinstance(outcome, Rejected)
        assert (outcome.status, outcome.name) == (400, "ValidationError")
        assert outcome.message.startswith("TargetContainerHostname ") and outcome.message.endswith("are: a, b.")
    elif isinstance(outcome, ModelFailed):
        assert outcome.container.encode() == target
    assert {name for name, _, _ in noted(call)} == (
        {target.decode()} if target in (b"a", b"b") and way != "refuses" else set()
    )
