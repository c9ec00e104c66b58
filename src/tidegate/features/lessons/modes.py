"""Four inference modes under one burst after a pause: what each request waits for, and how long instances are there.
The counts of instances are those of the production rules; requests are served first come, first served.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from statistics import median
from typing import Any

from tidegate.console.figures import UNKNOWN, format_clock, format_milliseconds
from tidegate.domain.asynchronous import AsyncConfig, Backlog
from tidegate.domain.fleet import Serverless
from tidegate.domain.transform import SplitType
from tidegate.features.asynchronous.loop import desired_count
from tidegate.features.lessons.lesson import Chart, Choice, Lesson, Simulation, line, outcome
from tidegate.settings import Settings
from tidegate.targets import on_demand
from tidegate.transform.splitting import batches

TICK, HORIZON = 0.05, 600.0
"""Seconds between two decisions, and of the simulation."""
BEGINS, LASTS = 10, 10
"""Seconds until the burst, and of the burst."""
SLOTS = 4
"""Requests that an instance works on at a time, in every mode."""
MOST = 20
"""Requests that a serverless variant may have at a time."""
IDLE_AFTER = 120.0
"""Seconds without a request after which an instance goes."""
PATIENCE = float(Settings().queue_timeout)
"""Seconds that a request waits for a busy instance before it is refused."""
BATCH_BYTES, ROW_BYTES = 6_000, 1_000
"""Bytes of a request of the batch job at the most, and of a row."""
BURSTS: Mapping[str, str] = {
    "1": "1 request",
    "50": "50 requests",
    "400": "400 requests",
    "2000": "2,000 requests",
}
STARTS: Mapping[str, str] = {"1": "1 s", "6": "6 s", "30": "30 s", "90": "90 s"}
WORKS: Mapping[str, str] = {"0.05": "50 ms", "0.4": "0.4 s", "3": "3 s"}
PROVISIONED: Mapping[str, str] = {"4": "4", "12": "12", "20": "20"}
SHOWN_EVERY = 20
"""Ticks between two points of the chart."""


@dataclass(frozen=True)
class _Demand:
    """Demand that a rule sees: requests that wait and are worked on, instances, and when there last was work (in
    seconds)."""

    now: float
    waiting: int
    working: int
    ready: int
    present: int
    busy_at: float


@dataclass
class _Capacity:
    """Instances of one mode. ``decide`` returns how many are wanted; ``slots`` how many requests they take together;
    ``patience``: seconds that a request waits for a busy instance before it is refused; ``present`` at the start."""

    decide: Callable[[_Demand], int]
    slots: Callable[[int], int] = lambda ready: ready * SLOTS
    patience: float = float("inf")
    present: int = 0


@dataclass
class _ModeRun:
    """``answers``: seconds after its arrival at which each request was answered. ``points``: answered so far."""

    answers: list[float] = field(default_factory=list)
    refused: int = 0
    instance_seconds: float = 0.0
    points: list[int] = field(default_factory=list)


def simulate(chosen: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """Send the same burst to all modes."""
    count, start, work = int(chosen["burst"]), float(chosen["start"]), float(chosen["work"])
    arrivals = _draw_burst(count)
    runs = {
        "Real-time": _run(arrivals, start, work, _Capacity(lambda at: 1, patience=PATIENCE, present=1)),
        "Serverless": _run(arrivals, start, work, _serverless(0)),
        "Serverless, provisioned": _run(arrivals, start, work, _serverless(int(chosen["provisioned"]))),
        "Asynchronous": _run(arrivals, start, work, _asynchronous()),
        "Batch": _run_batch(arrivals, start, work),
    }
    cold, warm, waiting = (runs[name] for name in ("Serverless", "Serverless, provisioned", "Asynchronous"))
    return outcome(
        (
            ("Serverless: the first answer", _time(cold.answers[:1]), "a cold start, then the work", ""),
            (
                *("With provisioned concurrency", _time(warm.answers[:1])),
                *(f"{chosen['provisioned']} requests at a time need no start", ""),
            ),
            (
                "Asynchronous: the last answer",
                _time([max(waiting.answers)]),
                "nothing is refused: the queue keeps it",
                "",
            ),
            (
                *("Refused with status 429", f"{runs['Real-time'].refused + cold.refused:,}"),
                *(f"{runs['Real-time'].refused:,} real-time, {cold.refused:,} serverless", ""),
            ),
        ),
        _describe(BURSTS[chosen["burst"]]),
        charts=[_draw_chart(runs, len(arrivals))],
        tables=[
            (
                f"The burst in each mode, and the {HORIZON / 60:g} minutes around it",
                ("Mode", "First answer", "Median", "Slowest", "Refused", "Time that instances were there"),
                [_row(name, run) for name, run in runs.items()],
            )
        ],
        further=("Which mode fits, with its price", "tidegate plan"),
        facts={name: _measure(run) for name, run in runs.items()},
    )


def _describe(burst: str) -> str:
    return (
        f"For {BEGINS} seconds nobody asks; then there is a burst of {burst} within {LASTS} seconds. An instance"
        f" takes {SLOTS} at a time. Real-time has one instance, which neither starts nor goes: the lesson on a peak"
        f" shows autoscaling. Serverless may have {MOST} requests at a time. A request that finds all instances busy"
        f" for {PATIENCE:g} seconds is refused; one that finds none is held until the first has started. An"
        " asynchronous queue wakes one instance and refuses nothing. The batch job reads all requests as one file"
        " after the burst."
    )


def _draw_chart(runs: Mapping[str, _ModeRun], count: int) -> Chart:
    """Draw the answers up to soon after the last change."""
    lasts = max(run.points.index(run.points[-1]) for run in runs.values()) + 10
    series = [
        line(name, [round(100 * one / count, 1) for one in run.points[:lasts]], look)
        for look, (name, run) in enumerate(runs.items())
    ]
    x = [round(place * TICK * SHOWN_EVERY) for place in range(len(series[0]["values"]))]
    return (
        {"x": x, "series": series, "clock": True, "across": "minutes", "after": " %", "most": 105},
        "Requests that have an answer",
        "In percent of the burst. A line that ends below 100 % refused some.",
    )


def _measure(run: _ModeRun) -> dict[str, float]:
    return {
        **{"first": run.answers[0], "slowest": max(run.answers), "answered": len(run.answers)},
        **{"refused": run.refused, "instance_seconds": run.instance_seconds},
    }


def _draw_burst(count: int) -> list[float]:
    """Seconds at which requests come: the first at the beginning of the burst, the others by chance."""
    draw = Random("modes 1").random
    return sorted([float(BEGINS), *(BEGINS + LASTS * draw() for _ in range(count - 1))])


def _serverless(provisioned: int) -> _Capacity:
    bounds = Serverless(1 << 31, MOST, provisioned, IDLE_AFTER, SLOTS)
    memory = on_demand.ScalingMemory()

    def decide(at: _Demand) -> int:
        nonlocal memory
        memory = on_demand.decide(memory, at.waiting + at.working, bounds, at.now)
        return memory.wanted

    def slots(ready: int) -> int:
        return sum(on_demand.shares(bounds, ready)) if ready else 0

    return _Capacity(decide, slots, PATIENCE, bounds.least)


def _asynchronous() -> _Capacity:
    config = AsyncConfig("s3://results", max_concurrent=SLOTS, idle_after=IDLE_AFTER)
    return _Capacity(
        lambda at: desired_count(config, at.present, Backlog(at.waiting, at.working), at.busy_at, at.now),
        lambda ready: ready * config.max_concurrent,
    )


def _run_batch(arrivals: Sequence[float], start: float, work: float) -> _ModeRun:
    """One instance from the end of the burst to the last row; rows are packed by the code of transform jobs, and all
    rows of a request are answered together."""
    rows = [b"x" * (ROW_BYTES - 1) + b"\n"] * len(arrivals)
    packed = [one.count for one in batches(rows, SplitType.LINE, limit=BATCH_BYTES, single=False)]
    begins = float(BEGINS + LASTS)
    job = _Capacity(lambda at: int(at.now >= begins and bool(at.waiting or at.working or at.now == begins)))
    run = _run([begins] * len(packed), start, work, job)
    answered = [
        begins - arrival + took
        for arrival, took in zip(
            arrivals,
            (took for took, size in zip(run.answers, packed, strict=True) for _ in range(size)),
            strict=True,
        )
    ]
    points = [round(len(arrivals) * one / len(packed)) for one in run.points]
    return _ModeRun(answered, 0, run.instance_seconds, points)


def _run(arrivals: Iterable[float], start: float, work: float, capacity: _Capacity) -> _ModeRun:
    coming, waiting, working = deque(arrivals), deque[float](), list[tuple[float, float]]()
    ready_at, run, busy_at, free_since = [0.0] * capacity.present, _ModeRun(), 0.0, 0.0
    for tick in range(round(HORIZON / TICK)):
        now = tick * TICK
        while coming and coming[0] <= now:
            waiting.append(coming.popleft())
        run.answers += [end - came for end, came in working if end <= now]
        working = [one for one in working if one[0] > now]
        ready = sum(at <= now for at in ready_at)
        free_since = free_since if ready else now
        while waiting and ready and now - max(waiting[0], free_since) > capacity.patience:
            waiting.popleft()
            run.refused += 1
        while waiting and len(working) < capacity.slots(ready):
            working.append((now + work, waiting.popleft()))
        busy_at = now if waiting or working else busy_at
        wanted = capacity.decide(_Demand(now, len(waiting), len(working), ready, len(ready_at), busy_at))
        ready_at = ready_at[:wanted] + [now + start] * (wanted - len(ready_at))
        run.instance_seconds += len(ready_at) * TICK
        if tick % SHOWN_EVERY == 0:
            run.points.append(len(run.answers))
    return run


def _time(answers: Sequence[float]) -> str:
    return format_milliseconds(1_000 * answers[0]) if answers else UNKNOWN


def _row(name: str, run: _ModeRun) -> list[str]:
    times = [run.answers[:1], [median(run.answers)], [max(run.answers)]]
    return [name, *(_time(one) for one in times), f"{run.refused:,}", format_clock(run.instance_seconds)]


MODES_LESSON = Lesson(
    "modes",
    "A cold start and a queue",
    "Real-time, serverless, asynchronous and batch meet the same burst: who waits, for what, and who is refused?",
    simulation=Simulation(
        simulate,
        (
            Choice("burst", "What comes after a pause", BURSTS, "400"),
            Choice("start", "An instance starts within", STARTS, "6"),
            Choice("work", "The model works on a request for", WORKS, "0.4"),
            Choice("provisioned", "Provisioned concurrency", PROVISIONED, "12"),
        ),
    ),
)
