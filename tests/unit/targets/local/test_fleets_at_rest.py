"""A fleet at rest has no turns of its own, and loses nothing by it: what a turn would have found ends its rest."""

import asyncio
import math
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.targets.local.local_harness import FLEET, LocalTargetHarness, run, spec, stand, until
from tidegate.domain.fleet import FleetId
from tidegate.targets.local import rest_watch
from tidegate.targets.local.health import Health, HealthLook, PingAnswer
from tidegate.targets.local.process import Process
from tidegate.targets.local.replica import OUTGROWN, PING_EVERY, SERVED, Replica
from tidegate.targets.local.supervisor_context import DesiredFleet, save_desired
from tidegate.targets.local.target import LocalTarget

EVENTS: dict[str, Callable[[LocalTargetHarness, "subprocess.Popen[bytes]"], object]] = {
    "stopped": lambda here, worker: worker.send_signal(signal.SIGSTOP),
    "ended": lambda here, worker: worker.kill(),
    "its socket is gone": lambda here, worker: here.folders.socket("r-a").unlink(),
    "outgrown": lambda here, worker: (here.folders.replica(FLEET, "r-a") / OUTGROWN).write_text("too large"),
    "its folder is gone": lambda here, worker: shutil.rmtree(here.folders.replica(FLEET, "r-a")),
}


async def look_at_nothing(fleets: Callable[[], Iterable[rest_watch.RestingFleet]]) -> None:
    """The looks are the test's own."""
    await asyncio.Event().wait()


async def last_question_answered(replica: Replica) -> None:
    await until(lambda: replica._question is None or replica._question.look(), "the last question is answered")


@contextmanager
def one_at_rest() -> "Iterator[tuple[LocalTargetHarness, subprocess.Popen[bytes]]]":
    """A fleet of one replica, and the worker that an earlier controller left it."""
    with stand(("false",)) as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(1), 1))
        here.left("r-a", worker, SERVED)
        yield here, worker


@pytest.mark.parametrize("event", EVENTS)
def test_what_a_turn_would_find_ends_the_rest(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word of the kernel's that a process has ended: that would be sooner."""
    monkeypatch.setattr(Process, "watch", lambda self: None)
    monkeypatch.setattr(rest_watch, "REST_TURN", 3600.0)
    with one_at_rest() as (here, worker):

        async def story() -> None:
            target = here.target()
            await resting(target)
            EVENTS[event](here, worker)
            fleet = target._fleets[FLEET]
            await until(lambda: not fleet.resting and not fleet._rests(), "it has turns again")
            worker.kill()
            await target.drain_all()

        run(story())


def test_a_fleet_at_rest_has_no_turns_and_its_replica_is_asked_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rest_watch, "watch", look_at_nothing)
    with one_at_rest() as (here, worker):

        async def story() -> None:
            target = here.target()
            await resting(target)
            fleet = target._fleets[FLEET]
            turns, turn, replica = list[None](), fleet._turn, fleet.replicas["r-a"]

            async def counted() -> bool:
                turns.append(None)
                return await turn()

            monkeypatch.setattr(fleet, "_turn", counted)
            await last_question_answered(replica)
            for _ in range(3):
                before, replica.asked = replica._question, -math.inf
                fleet.glance(fleet._now())
                question = replica._question
                assert question is not None
                assert question is not before
                await until(question.look, "it answers")
            assert fleet.resting
            assert not turns
            fleet.set_desired(DesiredFleet(spec(2), 2))
            await until(lambda: turns, "a new wish is a reason for a turn")
            worker.kill()
            await target.drain_all()

        run(story())


def test_a_question_that_was_just_asked_does_not_end_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after each look that came a moment too early to ask."""
    monkeypatch.setattr(rest_watch, "watch", look_at_nothing)
    with one_at_rest() as (here, worker):

        async def story() -> None:
            target = here.target()
            await resting(target)
            fleet = target._fleets[FLEET]
            replica = fleet.replicas["r-a"]
            await last_question_answered(replica)
            replica.asked = fleet._now() + 60
            fleet.glance(fleet._now())
            assert replica._question is None
            replica.asked = -math.inf
            fleet.glance(fleet._now())
            assert replica._question is not None
            assert fleet.resting
            assert replica._question.look() is None
            fleet.glance(fleet._now())
            assert not fleet.resting, "it is still open at the next look"
            worker.kill()
            await target.drain_all()

        run(story())


def test_a_look_that_is_a_moment_early_asks_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise some questions would come two seconds after the one before."""
    monkeypatch.setattr(rest_watch, "watch", look_at_nothing)
    with one_at_rest() as (here, worker):

        async def story() -> None:
            target = here.target()
            await resting(target)
            fleet = target._fleets[FLEET]
            replica = fleet.replicas["r-a"]
            await last_question_answered(replica)
            at = replica.asked + PING_EVERY - 0.02
            fleet.glance(at)
            assert replica.asked == at
            worker.kill()
            await target.drain_all()

        run(story())


async def resting(target: LocalTarget) -> None:
    await until(lambda: FLEET in target._fleets and target._fleets[FLEET].resting, "it is at rest")


looks = st.builds(
    HealthLook,
    stopped=st.booleans(),
    waiting=st.booleans(),
    answer=st.none() | st.sampled_from(PingAnswer),
)


@given(st.lists(looks, max_size=20), looks)
def test_only_a_look_that_finds_nothing_leaves_a_clean_health(story: list[HealthLook], last: HealthLook) -> None:
    """So a rest never hides what a turn acts on."""
    health, now = Health(), 0.0
    for look in story:
        now += 1.0
        health = health.after(look, now)
    after = health.after(last, now + 1.0)
    if after.is_clean:
        assert not last.stopped
        assert last.answer in (None, PingAnswer.GOOD)
        assert after.takes_requests
        assert after.failing(0.001) is None


@dataclass
class Sleepy:
    """A fleet that counts the looks at it."""

    resting: bool = True
    part: int = 0
    looks: int = 0
    kicks: int = 0
    breaks: bool = False
    order: list[int] = field(default_factory=list)

    def glance(self, now: float) -> None:
        self.looks += 1
        if self.breaks:
            raise ValueError("no such thing")

    def kick(self) -> None:
        self.kicks += 1


async def test_each_fleet_is_looked_at_once_in_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same part of each round, whatever comes and goes beside it: never later than a round after the last."""
    monkeypatch.setattr(rest_watch, "IDLE_TURN", 0.0)
    rounds = 3
    fleets = [Sleepy(part=rest_watch.part_of(FleetId(f"e{number}", 1, "main"))) for number in range(300)]
    passes = list[None]()

    def there() -> list[Sleepy]:
        if len(passes) == rounds:
            raise EOFError
        passes.append(None)
        return fleets

    with pytest.raises(EOFError):
        await rest_watch.watch(there)
    assert [fleet.looks for fleet in fleets] == [rounds] * len(fleets)
    assert {fleet.part for fleet in fleets} == set(range(rest_watch.PARTS))


async def test_looks_that_break_down_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rest_watch, "IDLE_TURN", 0.0)
    breaks, watch = [True], rest_watch.watch

    async def broken(fleets: Callable[[], Iterable[rest_watch.RestingFleet]]) -> None:
        if breaks.pop():
            raise ValueError("no such thing")
        await watch(fleets)

    monkeypatch.setattr(rest_watch, "watch", broken)
    with stand() as here:
        breaks.insert(0, False)
        target = here.target()
        await until(lambda: not breaks, "it has begun again")
        assert "they go on" in caplog.text
        await target.detach()


def test_a_look_that_fails_gives_the_fleet_a_turn_and_keeps_no_other_from_its_look() -> None:
    broken, woken, well = Sleepy(breaks=True), Sleepy(resting=False), Sleepy()
    rest_watch.look_at([broken, woken, well], 1.0)
    assert (broken.kicks, woken.looks, well.looks, well.kicks) == (1, 0, 1, 0)


def test_what_is_no_number_is_no_activity(tmp_path: Path) -> None:
    """A named pipe would keep the controller waiting for ever."""
    with stand() as here, here.sleeper() as worker:
        save_desired(here.folders, DesiredFleet(spec(1), 1))
        folder = here.left("r-a", worker, SERVED)
        os.mkfifo(folder / "activity")

        async def story() -> None:
            target = here.target()
            await resting(target)
            [serving] = target.serving()
            assert target.activity(serving) is None
            await target.detach()

        run(story())
