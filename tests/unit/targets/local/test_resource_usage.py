"""Processor time and memory of a replica, read from one file of each of its processes."""

import os

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.collector_harness import NO_PROCESS
from tidegate.host.process_stats import ProcessUse, process_tree, use_of
from tidegate.targets.local.resource_usage import MOST_PROCESSES, ProcessUsage


def test_readings_that_make_no_sense_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    used = {1: 0.5, 2: float("nan"), 5: 1e300}
    now = [0.0]
    monkeypatch.setattr(
        "tidegate.targets.local.resource_usage.process_tree", lambda pid, most, all_threads: iter((pid,))
    )

    def read(pid: int) -> ProcessUse | None:
        return ProcessUse(7, used[pid] * now[0], -1 if pid == 6 else 100) if pid in (*used, 6) else None

    used[6] = 0.0
    usage = ProcessUsage(read, 1000, lambda: now[0])
    usage.measure([1, 2, 3, 4, 5, 6])
    now[0] = 2.0
    found = usage.measure([1, 2, 3, 4, 5, 6])
    assert {pid: (one.cpu, one.memory) for pid, one in found.items()} == {1: (50.0, 10.0)}


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 5), st.floats(0.001, 9)), min_size=1, max_size=12))
def test_processor_time_is_that_of_one_process_whatever_has_its_number_later(
    story: list[tuple[int, float, float]],
) -> None:
    """By time that passes, not by calls; the first reading of a process says nothing yet."""
    now, used, uses = 0.0, 0.0, list[ProcessUse]()
    usage = ProcessUsage(lambda pid: uses[-1], 1000, lambda: now)
    for place, (started, more, seconds) in enumerate(story):
        same = place > 0 and story[place - 1][0] == started
        then, had = now, used if same else 0.0
        now, used = then + seconds, had + more
        uses.append(ProcessUse(started, used, 0))
        [found] = usage.measure([NO_PROCESS]).values()
        # Sums of floats: what was added differs a little from the difference of what both clocks show.
        assert found.cpu == pytest.approx(100 * (used - had) / (now - then) if same else 0.0, abs=1e-6)


def test_a_process_uses_what_the_system_says() -> None:
    mine, known = use_of(os.getpid()), psutil.Process()
    assert mine is not None
    assert use_of(NO_PROCESS) is None
    assert mine.memory == pytest.approx(known.memory_info().rss, rel=0.1)
    assert mine.used == pytest.approx(sum(known.cpu_times()[:2]), abs=1.0)
    shown = ProcessUsage().measure([os.getpid()])[os.getpid()]
    assert shown.memory >= 0.9 * known.memory_percent()


def test_a_family_without_end_is_not_followed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read = "tidegate.host.process_stats._read_whole"
    monkeypatch.setattr(read, lambda path: f"{int(path.split('/')[2]) + 1} ".encode())
    assert len(list(process_tree(1, MOST_PROCESSES, all_threads=False))) == MOST_PROCESSES
    monkeypatch.setattr(read, lambda path: b"1 1")
    assert len(list(process_tree(1, MOST_PROCESSES, all_threads=False))) == MOST_PROCESSES
    monkeypatch.undo()
    assert list(process_tree(NO_PROCESS, MOST_PROCESSES, all_threads=False)) == [NO_PROCESS]
