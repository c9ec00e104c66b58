"""Threads whose jobs have deadlines: a job that hangs is interrupted, then given up, and the others go on."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tidegate.store import deadline_threads
from tidegate.store.deadline_threads import Deadline, DeadlinePool, PoolClosed, current_deadline

PATIENCE = 300.0


class Overran(Exception):
    pass


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline_threads, "TICK", 0.01)
    monkeypatch.setattr(deadline_threads, "GRACE", 0.05)


@pytest.fixture
def leave() -> Iterator[threading.Event]:
    """Set at the end, so that no thread is left behind."""
    event = threading.Event()
    yield event
    event.set()


def pool(count: int, spare: int) -> DeadlinePool:
    return DeadlinePool("test", count, spare, lambda seconds: Overran(f"{seconds:g}"))


def hang(leave: threading.Event, entered: threading.Event | None = None) -> str:
    current_deadline().expect(0.05)
    if entered is not None:
        entered.set()
    leave.wait(PATIENCE)
    return "back"


def test_an_interrupt_ends_a_job_that_is_overdue() -> None:
    some = pool(1, 0)

    def job() -> bool:
        cut = threading.Event()
        current_deadline().expect(0.05, cut.set)
        return cut.wait(PATIENCE) and current_deadline().overrun

    assert some.submit(job).result(PATIENCE) is True
    assert some.submit(threading.get_ident).result(PATIENCE)
    some.close(PATIENCE)


def test_a_thread_that_does_not_come_back_is_replaced_and_joins_again(leave: threading.Event) -> None:
    some = pool(1, 1)
    hung: Future[str] = some.submit(lambda: hang(leave))
    waiting = some.submit(threading.get_ident)
    with pytest.raises(Overran, match=r"0\.05"):
        hung.result(PATIENCE)
    assert waiting.result(PATIENCE)
    leave.set()
    assert some.submit(threading.get_ident).result(PATIENCE)
    some.close(PATIENCE)


def test_where_every_thread_is_stuck_jobs_fail_at_once_until_one_is_back(leave: threading.Event) -> None:
    some = pool(1, 0)
    with pytest.raises(Overran):
        some.submit(lambda: hang(leave)).result(PATIENCE)
    assert isinstance(some.submit(threading.get_ident).exception(0), Overran)
    leave.set()
    for _ in range(6000):
        if some.submit(threading.get_ident).exception(PATIENCE) is None:
            break
        threading.Event().wait(0.01)
    else:
        pytest.fail("the thread is back and takes no job")
    some.close(PATIENCE)


def test_closing_gives_up_what_hangs_and_takes_no_more(leave: threading.Event) -> None:
    some, entered = pool(1, 0), threading.Event()

    def job() -> None:
        entered.set()
        leave.wait(PATIENCE)

    hung, waiting = some.submit(job), some.submit(threading.get_ident)
    assert entered.wait(PATIENCE)
    some.close(0.01)
    for future in (hung, waiting):
        with pytest.raises(PoolClosed):
            future.result(PATIENCE)
    with pytest.raises(PoolClosed):
        some.submit(threading.get_ident)


def test_a_deadline_counts_no_time_in_which_the_process_was_stopped() -> None:
    watch, cut = Deadline(), threading.Event()
    watch.expect(10.0, cut.set)
    begun = watch._deadline
    assert begun is not None
    watch.extend(3600.0)
    assert not watch.check(begun + 3599.0) and not cut.is_set()
    assert not watch.check(begun + 3601.0) and cut.is_set(), "interrupted, and not given up yet"
    assert watch.check(begun + 3700.0)
    watch.done()
    assert not watch.check(begun + 9999.0)
