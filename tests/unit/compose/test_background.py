"""Loops of features: one that fails takes nothing from the others."""

from dataclasses import dataclass

import pytest

from tidegate.compose.background import BackgroundLoop, BackgroundWork
from tidegate.domain.errors import Unavailable
from tidegate.features.drift.kinds import DRIFT_SCHEDULE
from tidegate.features.shadow.kinds import EXPERIMENT
from tidegate.store import open_store


@dataclass
class Counter:
    fails: bool = False
    turns: int = 0
    stopped: bool = False

    async def turn(self) -> None:
        self.turns += 1
        if self.fails:
            raise RuntimeError("broken")

    async def stop(self) -> None:
        self.stopped = True
        if self.fails:
            raise RuntimeError("broken")


class Silent:
    async def newest(self) -> int:
        raise Unavailable("the database does not answer")


async def test_a_loop_that_fails_takes_no_turn_from_the_others_and_all_are_stopped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, sound, alone = Counter(fails=True), Counter(), Counter()
    work = BackgroundWork(
        (
            BackgroundLoop(broken, 1.0, DRIFT_SCHEDULE),
            BackgroundLoop(sound, 1.0, EXPERIMENT),
            BackgroundLoop(alone, 2.0),
        ),
        Silent(),  # type: ignore[arg-type]
    )
    assert sorted(seconds for seconds, _ in work.turns) == [1.0, 2.0]
    for _, turn in work.turns:
        await turn()
    assert (broken.turns, sound.turns, alone.turns) == (1, 1, 1), "what is there is not known, so each looks"
    await work.stop()
    assert broken.stopped and sound.stopped and alone.stopped
    assert "a turn of a loop failed" in caplog.text


async def test_a_loop_has_no_turn_while_there_is_nothing_for_it() -> None:
    store, idle = open_store("sqlite://"), Counter()
    work = BackgroundWork((BackgroundLoop(idle, 1.0, EXPERIMENT),), store)
    for _, turn in work.turns:
        await turn()
    assert idle.turns == 0
    await store.close()
