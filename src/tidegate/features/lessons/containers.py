"""Several containers behind one endpoint: a pipeline, and containers that are asked directly. The engines are those
of a replica, on a virtual clock; only the models in the containers are played.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from statistics import median
from typing import Any

from tidegate.console.figures import UNKNOWN, format_milliseconds
from tidegate.features.lessons.lesson import Chart, Choice, Lesson, ResultTable, Simulation, line, outcome
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
)
from tidegate.serving.contract.replica_spec import ContainerSpec
from tidegate.serving.contract.target_headers import CONTAINER
from tidegate.serving.engines.pipeline import Direct, Pipeline, stages
from tidegate.simulation import virtual_time
from tidegate.simulation.arrivals import draw_arrivals

CONTAINERS: Mapping[str, float] = {"prepare": 0.02, "score": 0.06, "check": 0.01}
"""Seconds of a request in each container."""
PYTHON = RuntimeChoice(RuntimeKind.PYTHON)
SLOTS = 4
"""Requests that a container works on at a time."""
RATE, SECONDS = 20.0, 30
"""Requests a second, and for how long."""
TIMEOUT = 2.0
"""Seconds within which an answer is useful; a pipeline ends a request then."""
SLOWER = 8
FAULTS: Mapping[str, str] = {
    "none": "None",
    "slow": f"It works {SLOWER} times as long",
    "fails": "It fails",
    "unnamed": "The clients name no container",
}
LATE = "answered too late"


@dataclass
class _PlayedContainer:
    """A container that answers after its time, ``SLOTS`` requests at once. ``seen``: what it got and answered."""

    name: str
    seconds: float
    fails: bool
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(SLOTS)
        self._running = set[asyncio.Task[None]]()

    def submit(self, call: Call, done: Done) -> None:
        task = asyncio.get_running_loop().create_task(self._work(call, done))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _work(self, call: Call, done: Done) -> None:
        async with self._slots:
            if call.abandoned:
                return done(GONE)
            await asyncio.sleep(self.seconds)
        if self.fails:
            return done(ModelFailed(500, "the model raised an exception"))
        body = call.body + b" > " + self.name.encode()
        if not self.seen:
            self.seen.append((call.body.decode(), call.accept or "as the client wishes", body.decode()))
        return done(Answer(body, "application/json"))

    @property
    def healthy(self) -> bool:
        return True

    async def close(self) -> None:
        await asyncio.gather(*self._running, return_exceptions=True)


@dataclass(frozen=True)
class _Reply:
    """Outcome of a request: ``container`` is the one that it named; times are seconds."""

    began: float
    took: float
    container: str
    failure: str

    @property
    def is_good(self) -> bool:
        return not self.failure


def simulate(chosen: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """Send the same requests to both, while something is wrong with one container."""
    fault, place = chosen["fault"], chosen["container"]
    pipeline, seen = virtual_time.run(_play(True, fault, place))
    direct, _ = virtual_time.run(_play(False, fault, place))
    spared = [one for one in direct if one.container != place]
    failures = {title: _describe_failures(found) for title, found in (("Pipeline", pipeline), ("Direct", direct))}
    said = [f"{title}: {text}" for title, text in failures.items() if text]
    return outcome(
        (
            (
                "Pipeline: good answers",
                _percent(pipeline),
                f"of {len(pipeline):,}, in {TIMEOUT:g} s",
                _tone(pipeline),
            ),
            ("Direct: good answers", _percent(direct), f"of {len(direct):,}, in {TIMEOUT:g} s", _tone(direct)),
            (f"Direct: those that name another than {place}", _percent(spared), "", _tone(spared)),
            (
                *("A good answer of the pipeline takes", _typical(pipeline)),
                *(f"direct: {_typical(direct)}, of one container; medians", ""),
            ),
        ),
        "A request to a pipeline goes through every container, so its times add up, and the failure or queue of one"
        " is that of all requests. A direct endpoint is asked for one container by name: the others answer as before,"
        " and the client joins the results. Errors name the container in both, and so do the metrics of"
        " each container. A pipeline is for stages that every request needs in one order, a direct endpoint for"
        " models that share instances although each request needs one of them.",
        findings=said,
        charts=[_draw_chart(pipeline, direct, place)],
        tables=[_show_way(seen)],
        further=("With real containers on this machine", "tidegate examples up document-ocr"),
        facts={
            **{"pipeline": _share(pipeline), "direct": _share(direct), "spared": _share(spared)},
            **{"failures": failures, "way": [row[0] for row in seen]},
        },
    )


async def _play(serial: bool, fault: str, place: str) -> tuple[list[_Reply], list[tuple[str, ...]]]:
    engines = {
        name: _PlayedContainer(
            name,
            seconds * (SLOWER if name == place and fault == "slow" else 1),
            name == place and fault == "fails",
        )
        for name, seconds in CONTAINERS.items()
    }
    engine: ModelEngine = (
        Pipeline(
            stages(
                [ContainerSpec(runtime=PYTHON, model_dir="", name=name) for name in engines],
                list(engines.values()),
            ),
            1 << 20,
            TIMEOUT,
        )
        if serial
        else Direct(engines)
    )
    loop, draw = asyncio.get_running_loop(), Random("containers 1").random
    waiting: list[asyncio.Future[_Reply]] = []
    names = tuple(CONTAINERS)
    for second, count in enumerate(draw_arrivals([RATE] * SECONDS, draw)):
        for at in sorted(second + draw() for _ in range(round(count))):
            await asyncio.sleep(max(0.0, at - loop.time()))
            waiting.append(_ask(engine, names[len(waiting) % len(names)], fault != "unnamed"))
    replies = list(await asyncio.gather(*waiting))
    await engine.close()
    return replies, [(one.name, *seen) for one in engines.values() for seen in one.seen]


def _ask(engine: ModelEngine, container: str, named: bool) -> "asyncio.Future[_Reply]":
    loop = asyncio.get_running_loop()
    began, found = loop.time(), loop.create_future()

    def done(result: Outcome) -> None:
        took = loop.time() - began
        failure = LATE if took > TIMEOUT else ""
        if isinstance(result, ModelFailed):
            failure = f"{result.container}: {result.message}"
        elif isinstance(result, Rejected):
            failure = result.message
        if not found.done():
            found.set_result(_Reply(began, took, container, failure))

    engine.submit(Call(b"request", {CONTAINER: container.encode()} if named else {}), done)
    return found


def _share(replies: Sequence[_Reply]) -> float:
    return sum(one.is_good for one in replies) / len(replies)


def _percent(replies: Sequence[_Reply]) -> str:
    return f"{100 * _share(replies):.0f} %"


def _tone(replies: Sequence[_Reply]) -> str:
    return "good" if _share(replies) == 1 else "bad"


def _typical(replies: Sequence[_Reply]) -> str:
    good = [one.took for one in replies if one.is_good]
    return format_milliseconds(1_000 * median(good)) if good else UNKNOWN


def _describe_failures(replies: Sequence[_Reply]) -> str:
    kinds = dict.fromkeys(one.failure for one in replies if one.failure)
    return "; ".join(f"{sum(one.failure == kind for one in replies)} × {kind}" for kind in kinds)


def _draw_chart(pipeline: Sequence[_Reply], direct: Sequence[_Reply], place: str) -> Chart:
    groups = (
        ("pipeline", pipeline),
        (f"direct, to {place}", [one for one in direct if one.container == place]),
        ("direct, to another", [one for one in direct if one.container != place]),
    )
    series = []
    for look, (label, replies) in enumerate(groups):
        slowest = [
            max((one.took for one in replies if int(one.began) == second), default=None)
            for second in range(SECONDS)
        ]
        series.append(line(label, [None if one is None else max(0.001, round(one, 3)) for one in slowest], look))
    return (
        {"x": list(range(SECONDS)), "series": series, "across": "second", "after": " s", "log_up": True},
        "Seconds until the slowest request of each second had its answer or its error",
        "Logarithmic. A queue in one container is the pipeline's queue.",
    )


def _show_way(seen: Sequence[Sequence[str]]) -> ResultTable:
    return (
        "One request on its way through the pipeline",
        ("Container", "What it gets", "Content type that it is asked for", "What it answers"),
        [list(row) for row in seen],
    )


CONTAINERS_LESSON = Lesson(
    "containers",
    "Pipeline and direct endpoints",
    "Several containers behind one endpoint: one after the other, or each by its name.",
    simulation=Simulation(
        simulate,
        (
            Choice("fault", "What is wrong", FAULTS, "slow"),
            Choice("container", "With the container", {name: name for name in CONTAINERS}, "score"),
        ),
    ),
)
