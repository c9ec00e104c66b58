"""What is concluded from looks at a replica: which of those that do not answer hang, and which take their time."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.targets.local.local_harness import run, sleeper, until
from tidegate.host import process_stats
from tidegate.host.process_stats import SILENT_FOR, ProcessStats
from tidegate.targets.local.health import (
    GONE_FOR,
    LONGEST_STEP,
    STOPPED_FOR,
    Health,
    HealthLook,
    PingAnswer,
    Unhealthy,
)

PATIENCE = 75.0
STILL = ProcessStats(used=3.0, waited=10, faults=7)


def after(seconds: float, look: HealthLook, health: Health | None = None, every: float = 1.0) -> Health:
    """One look after the other, for so long."""
    health = health or Health()
    at = health.looked_at or 0.0
    for turn in range(int(seconds / every) + 1):
        health = health.after(look, at + every * turn)
    return health


def failing(health: Health) -> Unhealthy | None:
    return health.failing(PATIENCE)


def test_a_replica_that_is_stopped_is_not_ready_at_once_and_is_replaced_after_a_moment() -> None:
    first = Health().after(HealthLook(stopped=True), 10.0)
    assert not first.takes_requests and failing(first) is None
    found = failing(after(STOPPED_FOR, HealthLook(stopped=True)))
    assert found is not None and found.hopeless
    assert first.after(HealthLook(), 11.0).takes_requests, "a debugger let go of it"


def test_a_replica_without_a_socket_is_not_ready_at_once_and_may_make_it_anew() -> None:
    first = Health().after(HealthLook(answer=PingAnswer.REFUSED), 10.0)
    assert not first.takes_requests and failing(first) is None
    waiting = first.after(HealthLook(waiting=True), 10.3)
    assert not waiting.takes_requests, "not before it has answered"
    assert waiting.after(HealthLook(answer=PingAnswer.GOOD), 10.5).takes_requests
    found = failing(after(GONE_FOR, HealthLook(answer=PingAnswer.REFUSED), first))
    assert found is not None and not found.hopeless, "it may finish what it has in hand"


def test_a_replica_that_neither_answers_nor_does_anything_hangs() -> None:
    silent = HealthLook(waiting=True, vitals=STILL)
    assert failing(after(SILENT_FOR - 1, silent)) is None
    found = failing(after(SILENT_FOR, silent))
    assert found is not None and found.hopeless


@pytest.mark.parametrize("kind", ["computes", "runnable", "waits", "reads pages", "frozen", "unknown"])
def test_a_replica_that_gets_anywhere_has_the_whole_patience(kind: str) -> None:
    """The controller itself has no more processor time than its replicas: what starves is not what hangs."""

    def look(turn: int) -> HealthLook:
        known = {
            "computes": replace(STILL, used=0.9 * turn),
            "runnable": replace(STILL, runnable=True),
            "waits": replace(STILL, waited=500_000_000 * turn),
            "reads pages": replace(STILL, faults=turn),
            "frozen": STILL,
            "unknown": None,
        }[kind]
        return HealthLook(waiting=True, vitals=known, frozen=kind == "frozen")

    health = Health()
    for turn in range(int(PATIENCE)):
        health = health.after(look(turn), float(turn))
        assert failing(health) is None and health.takes_requests
    health = health.after(look(76), PATIENCE)
    found = failing(health)
    assert found is not None and not found.hopeless


def test_threads_that_only_wake_up_to_look_are_no_progress() -> None:
    """Threads that wait for Python's lock wake up every 5 ms, and have to wait for a processor on a busy machine."""
    health = Health()
    for turn in range(7):
        looks = replace(STILL, used=0.01 * turn, waited=100_000_000 * turn, runnable=turn % 2 == 0)
        health = health.after(HealthLook(waiting=True, vitals=looks), float(turn))
    assert failing(health) is not None


def test_an_unwell_replica_has_the_patience_and_is_well_again_with_one_good_answer() -> None:
    ill = after(PATIENCE - 1, HealthLook(answer=PingAnswer.UNWELL))
    assert failing(ill) is None
    assert failing(ill.after(HealthLook(answer=PingAnswer.UNWELL), PATIENCE)) is not None
    well = ill.after(HealthLook(answer=PingAnswer.GOOD), PATIENCE)
    assert well == replace(Health(), looked_at=PATIENCE)


LOOKS = [
    HealthLook(stopped=True),
    HealthLook(answer=PingAnswer.REFUSED),
    HealthLook(waiting=True, vitals=STILL),
    HealthLook(answer=PingAnswer.UNWELL),
    HealthLook(answer=PingAnswer.NONE),
]


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_a_gap_of_the_controller_is_no_evidence(look: HealthLook) -> None:
    """It looks once before it is stopped, and once after: what came meanwhile has not been read."""
    health = Health().after(look, 0.0).after(look, 3_600.0)
    assert failing(health) is None


@given(st.lists(st.tuples(st.sampled_from(LOOKS), st.floats(0, 10_000)), max_size=8))
def test_no_replica_is_given_up_on_less_time_than_was_looked_at(story: list[tuple[HealthLook, float]]) -> None:
    health, now = Health(), 0.0
    for look, gap in story:
        now += gap
        health = health.after(look, now)
    least = min(STOPPED_FOR, GONE_FOR, SILENT_FOR)
    if LONGEST_STEP * (len(story) - 1) < least:
        assert failing(health) is None
    assert health.after(HealthLook(answer=PingAnswer.GOOD), now).failing(PATIENCE) is None


def test_what_linux_says_of_a_process() -> None:
    with sleeper() as process:

        async def story() -> None:
            await until(lambda: process_stats.process_state(process.pid) == "S", "it sleeps")
            process.send_signal(signal.SIGSTOP)
            await until(lambda: process_stats.process_state(process.pid) in process_stats.STOPPED, "it is stopped")
            process.send_signal(signal.SIGCONT)
            await until(lambda: process_stats.process_state(process.pid) == "S", "it goes on")
            before = ProcessStats.of(process.pid)
            assert before is not None and not before.has_progressed(before, 1.0)

        run(story())
        process.kill()
        process.wait()
        assert process_stats.process_state(process.pid) == "" and ProcessStats.of(process.pid) is None


def test_a_child_that_computes_is_progress() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    with subprocess.Popen([sys.executable, "-ISc", code], start_new_session=True) as process:

        async def story() -> None:
            def gets_on() -> bool:
                found = ProcessStats.of(process.pid)
                return (
                    found is not None
                    and found.runnable
                    and len(list(process_stats.process_tree(process.pid))) == 2
                )

            await until(gets_on, "its child computes")

        run(story())
        for pid in reversed(list(process_stats.process_tree(process.pid))):
            os.kill(pid, signal.SIGKILL)


def test_a_frozen_control_group_is_seen(tmp_path: Path) -> None:
    pid, groups = os.getpid(), tmp_path
    assert not process_stats.is_frozen(pid, groups)
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        name = "freezer" if "freezer" in controllers.split(",") else ""
        folder = groups / name / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / ("freezer.state" if name else "cgroup.events")
        file.write_text("FROZEN\n" if name else "populated 1\nfrozen 1\n")
    assert process_stats.is_frozen(pid, groups)
