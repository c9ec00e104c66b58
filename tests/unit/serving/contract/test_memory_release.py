"""When memory goes back to the system: once large requests have stopped, or in the midst of many."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.contract.memory_release import LONGEST, QUIET, ReleaseSchedule, release_memory


def test_nothing_is_due_without_a_large_request() -> None:
    assert not any(ReleaseSchedule().take(now) for now in (0.0, 5.0, 1e6))


def test_it_is_due_once_after_a_quiet_second() -> None:
    due = ReleaseSchedule()
    due.note(100.0)
    assert [due.take(now) for now in (100.5, 101.0, 102.0)] == [False, True, False]


@given(st.lists(st.floats(0.01, 0.9), min_size=100))
def test_under_steady_load_it_is_due_now_and_then(gaps: list[float]) -> None:
    due, now, taken = ReleaseSchedule(), 1.0, []
    for gap in gaps:
        due.note(now)
        now += gap
        if due.take(now):
            taken.append(now)
    assert all(later - earlier >= LONGEST for earlier, later in zip([1.0, *taken], taken, strict=False))
    assert len(taken) >= (now - 1.0) // (LONGEST + QUIET) - 1


def test_it_can_be_given_back_at_any_time() -> None:
    release_memory()
