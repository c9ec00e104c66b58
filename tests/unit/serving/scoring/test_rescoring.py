"""Real batches are checked against what their requests get alone, for a bounded share of the time."""

import asyncio
import math
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from tidegate.serving.contract.invocation import Answer, Call, ModelFailed, Outcome
from tidegate.serving.scoring import rescoring
from tidegate.serving.scoring.batching import MISMATCH, Batcher
from tidegate.serving.scoring.rescoring import (
    QUICK,
    SHARE,
    TRIAL_BATCHES,
    TRIAL_ROWS,
    TRIAL_SECONDS,
    RescoringSchedule,
)


class Mixing:
    """A scorer (a fake of a model) that answers numbers as they are, until one of ``bad`` is in a batch: then the
    others are off by one."""

    batches = True

    def __init__(self, bad: int = 99) -> None:
        self.bad = bad
        self.calls: list[int] = []
        self.again = 0
        self.fails_alone = False

    def parse(self, call: Call) -> int:
        return int(call.body)

    def size(self, rows: int) -> int:
        return 1

    def score(self, requests: Sequence[int]) -> list[int]:
        self.calls.append(len(requests))
        off = len(requests) > 1 and self.bad in requests
        return [number + 1 if off and number != self.bad else number for number in requests]

    def count(self, scores: int) -> int:
        return 1

    def score_again(self, rows: int) -> int:
        self.again += 1
        if self.fails_alone:
            raise ModelFailed(400, "not alone")
        return rows

    def difference(self, rows: int, alone: int, batched: int) -> str:
        return "" if alone == batched else f"{alone} alone, {batched} together"

    def render(self, scores: int, call: Call) -> Answer:
        return Answer(b"%d" % scores, "text/plain")


async def ask(engine: Batcher[Any, Any], *numbers: int) -> tuple[list[Outcome], list[Call]]:
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[Outcome]] = [loop.create_future() for _ in numbers]
    calls = [Call(b"%d" % number, {}) for number in numbers]
    for call, future in zip(calls, futures, strict=True):
        engine.submit(call, future.set_result)
    return await asyncio.wait_for(asyncio.gather(*futures), 300), calls


def bodies(outcomes: Sequence[Outcome]) -> list[int]:
    return [int(outcome.body) for outcome in outcomes if isinstance(outcome, Answer)]


def noted(calls: Sequence[Call]) -> list[float]:
    return [note.value for call in calls for note in call.notes if note.name == MISMATCH]


async def test_the_first_batches_are_answered_by_what_each_request_gets_alone(capfd: Any) -> None:
    model = Mixing()
    engine: Batcher[Any, Any] = Batcher(model, asyncio.get_running_loop())
    outcomes, calls = await ask(engine, 1, 99, 3)
    assert bodies(outcomes) == [1, 99, 3]
    assert noted(calls) == [1.0]
    outcomes, calls = await ask(engine, 1, 99, 3)
    assert bodies(outcomes) == [1, 99, 3]
    assert noted(calls) == []
    assert model.calls == [3, 1, 1, 1]
    said = "each request is scored alone from now on: 1 alone, 2 together\n"
    assert capfd.readouterr().out == said


async def test_batches_on_trial_are_small_and_then_grow() -> None:
    model = Mixing()
    engine: Batcher[Any, Any] = Batcher(model, asyncio.get_running_loop(), cap=32)
    for _ in range(TRIAL_BATCHES + 1):
        await ask(engine, *range(TRIAL_ROWS))
    await ask(engine, *range(32))
    await engine.close()
    assert model.calls[-1] == 32
    assert max(model.calls[:TRIAL_BATCHES]) == TRIAL_ROWS


async def test_a_lone_request_is_not_scored_twice() -> None:
    model = Mixing()
    engine: Batcher[Any, Any] = Batcher(model, asyncio.get_running_loop())
    for number in range(50):
        await ask(engine, number)
    assert model.again == 0


async def test_a_sample_ends_batching_with_a_line_and_a_metric(capfd: Any) -> None:
    model = Mixing()
    engine: Batcher[Any, Any] = Batcher(model, asyncio.get_running_loop())
    for _ in range(TRIAL_BATCHES):
        await ask(engine, 1, 2)
    found: list[float] = []
    for _ in range(3_000):
        _, calls = await ask(engine, 1, 2, 99)
        if found := noted(calls):
            break
        await asyncio.sleep(0.001)
    outcomes, calls = await ask(engine, 1, 2, 99)
    assert bodies(outcomes) == [1, 2, 99]
    assert noted(calls) == []
    await engine.close()
    assert found == [1.0]
    assert model.calls[-3:] == [1, 1, 1]
    assert capfd.readouterr().out.count("each request is scored alone from now on: ") == 1


@pytest.mark.parametrize("warm", [0, TRIAL_BATCHES])
async def test_what_fails_alone_but_not_in_a_batch_ends_batching(warm: int, capfd: Any) -> None:
    model = Mixing()
    engine: Batcher[Any, Any] = Batcher(model, asyncio.get_running_loop())
    for _ in range(warm):
        await ask(engine, 1, 2)
    model.fails_alone = True
    for _ in range(3_000):
        await ask(engine, 1, 2)
        if model.calls[-1] == 1:
            break
        await asyncio.sleep(0.001)
    await engine.close()
    assert model.calls[-1] == 1
    assert "a request that fails alone was answered in a batch (not alone)" in capfd.readouterr().out


def test_the_trial_ends_after_its_batches_or_its_time() -> None:
    by_number = RescoringSchedule()
    for _ in range(TRIAL_BATCHES):
        assert by_number.on_trial
        by_number.count_trial(2, 0.0)
    assert not by_number.on_trial
    by_time = RescoringSchedule()
    by_time.count_trial(2, TRIAL_SECONDS)
    assert not by_time.on_trial


def test_scoring_again_takes_its_share_and_no_more() -> None:
    """However long it takes, and however long nothing came before."""
    for cost in (1e-5, 1e-3, 0.3):
        checks, now, spent, times = RescoringSchedule(), 1e6, 0.0, 0
        while now < 1e6 + 1000 * cost + 10:
            if checks.begin(now):
                assert not checks.begin(now)
                now += cost
                spent += cost
                times += 1
                checks.end(now, cost)
            now += 1e-3
        assert times >= 3
        assert spent / (now - 1e6) <= SHARE * 1.4


def test_a_quick_model_is_checked_on_the_event_loop_and_a_slow_one_in_a_thread() -> None:
    checks = RescoringSchedule()
    checks.count_trial(8, 8 * QUICK / 2)
    assert checks.is_quick
    checks.end(1.0, 2 * QUICK)
    assert not checks.is_quick
    checks.end(2.0, QUICK / 2)
    assert checks.is_quick


@pytest.mark.parametrize("quick", [math.inf, 0.0])
async def test_a_sample_is_scored_again_wherever_that_is(quick: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the loop's own thread for a quick model alone."""

    class Watched(Mixing):
        def score_again(self, rows: Any) -> Any:
            ran.append(threading.current_thread() is threading.main_thread())
            return super().score_again(rows)

    monkeypatch.setattr(rescoring, "QUICK", quick)
    ran: list[bool] = []
    model = Watched()
    engine: Batcher[Any, Any] = Batcher(model, asyncio.get_running_loop())
    for _ in range(TRIAL_BATCHES):
        await ask(engine, 1, 2)
    ran.clear()
    while not ran:
        await ask(engine, 1, 2)
        await asyncio.sleep(0.001)
    await engine.close()
    assert set(ran) == {quick > 0}
