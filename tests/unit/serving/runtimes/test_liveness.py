"""Which programs hang: of those that do not answer, those that neither work nor get anywhere."""

from dataclasses import replace

import pytest

from tidegate.host.process_stats import SILENT_FOR, ProcessStats
from tidegate.serving.runtimes.liveness import BAD_PINGS, GOOD, Liveness, LivenessObservation

STILL = ProcessStats(used=1.0)
SILENT = LivenessObservation(at_work=False, answers=0, asked=True, vitals=STILL)
PATIENCE = 300.0


def story(seen: list[LivenessObservation], every: float = 3.0) -> tuple[Liveness, list[str]]:
    health = Liveness(PATIENCE)
    return health, [health.after(one, every * turn) for turn, one in enumerate(seen)]


def test_an_idle_program_that_answers_badly_is_ill_and_does_not_hang() -> None:
    health, said = story([replace(SILENT, answer=500)] * BAD_PINGS)
    assert (health.good, set(said)) == (False, {""})
    health.after(replace(SILENT, answer=GOOD), 100.0)
    assert health.good


def test_an_idle_program_without_answer_or_progress_hangs() -> None:
    _, said = story([SILENT] * 3)
    assert said[:2] == ["", ""] and f"for {SILENT_FOR:g} s" in said[2]


@pytest.mark.parametrize("how", ["computes", "unknown"])
def test_an_idle_program_that_gets_on_is_ill_and_does_not_hang(how: str) -> None:
    known = [
        replace(SILENT, vitals=replace(STILL, used=float(n)) if how == "computes" else None) for n in range(9)
    ]
    health, said = story(known)
    assert (health.good, set(said)) == (False, {""})


def test_a_program_at_work_is_left_alone_for_as_long_as_a_prediction_may_take() -> None:
    """It may wait for something and do one thing at a time."""
    health, busy = Liveness(PATIENCE), replace(SILENT, at_work=True)
    for turn in range(int(PATIENCE) + 1):
        assert not health.asks(True, 0)
        assert health.after(replace(busy, asked=False), float(turn)) == ""
    said = [health.after(busy, PATIENCE + 3 * turn + 3) for turn in range(4) if health.asks(True, 0)]
    assert "has not answered" in said[-1]
    assert health.good, "it ends for that, and is not taken for ill before"


def test_answers_to_calls_are_answers() -> None:
    health = Liveness(PATIENCE)
    for turn in range(1000):
        assert not health.asks(True, turn)
        assert (
            health.after(LivenessObservation(at_work=True, answers=turn, asked=False, vitals=STILL), float(turn))
            == ""
        )


def test_a_stopped_program_hangs_when_it_is_seen_twice() -> None:
    stopped = replace(SILENT, stopped=True, at_work=True, asked=False)
    _, said = story([stopped, stopped], every=1.0)
    assert said[0] == "" and "stopped" in said[1]
    _, said = story([stopped, replace(stopped, stopped=False), stopped], every=1.0)
    assert set(said) == {""}


def test_a_gap_in_which_the_worker_was_stopped_is_no_evidence() -> None:
    _, said = story([SILENT] * 2, every=3_600.0)
    assert set(said) == {""}
