"""Threads whose jobs have deadlines.

A job sets how long its next step may take (``Deadline.expect``). A step that takes longer is interrupted, which ends
the thread's blocking call. A thread that does not return even then is abandoned: its caller gets the error at once,
another thread replaces it, and it rejoins the pool if it ever returns. All threads are daemons, so one that is stuck
in the kernel does not keep the process from exiting.

Deadlines count only time in which this process ran: after it was stopped or starved they are extended by the gap.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, TypeVar

R = TypeVar("R")

TICK = 0.1
"""Seconds between checks of the deadlines while jobs run."""
GAP = 1.0
"""A check that is later than this, in seconds, was delayed, and deadlines are extended by the delay."""
GRACE = 1.0
"""Seconds that an interrupted thread has to return before it is abandoned."""


class PoolClosed(Exception):
    """The pool accepts no more jobs."""


class Deadline:
    """Deadline of one thread's present step. Set by that thread, read by the thread that checks deadlines."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._interrupt: Callable[[], None] | None = None
        self.limit = 0.0
        """Time limit of the present step, in seconds; kept after ``overrun``."""
        self.overrun = False
        """Whether the present step was interrupted."""

    def expect(self, seconds: float, interrupt: Callable[[], None] | None = None) -> None:
        """Start a step that may take ``seconds`` and that ``interrupt`` ends."""
        with self._lock:
            self._deadline = time.monotonic() + seconds
            self._interrupt = interrupt
            self.limit = seconds
            self.overrun = False

    def done(self) -> None:
        """End the step. ``interrupt`` is not called after this returns."""
        with self._lock:
            self._deadline = self._interrupt = None

    def extend(self, seconds: float) -> None:
        with self._lock:
            if self._deadline is not None:
                self._deadline += seconds

    def check(self, now: float) -> bool:
        """Interrupt an overdue step. Returns whether the thread must be abandoned."""
        with self._lock:
            if self._deadline is None or now < self._deadline:
                return False
            if self.overrun:
                return True
            self.overrun = True
            self._deadline = now + GRACE
            self._end_step()
            return False

    def cut(self) -> None:
        """Interrupt the present step, overdue or not."""
        with self._lock:
            self._end_step()

    def _end_step(self) -> None:
        if self._interrupt is not None:
            self._interrupt()


@dataclass
class _Job:
    work: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


class _Worker(threading.Thread):
    def __init__(self, pool: "DeadlinePool") -> None:
        super().__init__(name=pool.name, daemon=True)
        self.pool = pool
        self.watch = Deadline()
        self.job: _Job | None = None
        self.abandoned = False

    def run(self) -> None:
        _LOCAL.watch = self.watch
        while (job := self.pool.next(self)) is not None:
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                result = job.work()
            except BaseException as error:
                _fail(job, error)
            else:
                with contextlib.suppress(InvalidStateError):  # already failed: the thread was abandoned
                    job.future.set_result(result)
            finally:
                self.watch.done()
            del job


_LOCAL = threading.local()


def current_deadline() -> Deadline:
    """Deadline of the calling thread; outside of a ``DeadlinePool``, one that is never checked."""
    watch: Deadline | None = getattr(_LOCAL, "watch", None)
    return Deadline() if watch is None else watch


class DeadlinePool:
    """``count`` threads that run jobs in order. ``overran`` creates the error of a job whose thread was abandoned,
    from its time limit in seconds."""

    def __init__(self, name: str, count: int, spare: int, overran: Callable[[float], Exception]) -> None:
        """``spare``: how many threads may be abandoned and replaced at a time."""
        self.name = name
        self._count = count
        self._spare = spare
        self._overran = overran
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        """Notified of new jobs; idle workers wait for it."""
        self._busy = threading.Condition(self._lock)
        """Notified when a job runs; the thread that checks deadlines waits for it."""
        self._left = threading.Condition(self._lock)
        """Notified when a worker ends or is abandoned."""
        self._jobs: deque[_Job] = deque()
        self._workers: set[_Worker] = set()
        """All live threads, including abandoned ones."""
        self._idle = 0
        self._closed = False
        self._watcher: threading.Thread | None = None
        self._stuck: float | None = None
        """Time limit of the last abandoned job, in seconds."""

    def submit(self, work: Callable[[], R]) -> "Future[R]":
        """Raises PoolClosed. If all threads are stuck, the job fails at once."""
        job = _Job(work)
        with self._lock:
            if self._closed:
                raise PoolClosed
            if self._idle <= len(self._jobs):
                self._start_worker()
            if self._live() == 0 and self._stuck is not None:
                _fail(job, self._overran(self._stuck))
                return job.future
            self._jobs.append(job)
            self._work.notify()
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name=f"{self.name} deadlines", daemon=True)
                self._watcher.start()
            self._busy.notify()
        return job.future

    def fail_waiting(self, make: Callable[[], Exception]) -> None:
        """Fail every job that has not started."""
        with self._lock:
            jobs, self._jobs = self._jobs, deque()
        for job in jobs:
            _fail(job, make())

    def close(self, patience: float) -> None:
        """Wait ``patience`` seconds for jobs to finish, then interrupt and fail the rest."""
        deadline = time.monotonic() + patience
        with self._lock:
            self._closed = True
            self._work.notify_all()
            self._busy.notify_all()
            while self._live() and (left := deadline - time.monotonic()) > 0:
                self._left.wait(left)
            running = [(worker.watch, worker.job) for worker in self._workers if worker.job is not None]
        self.fail_waiting(PoolClosed)
        for watch, job in running:
            watch.cut()
            _fail(job, PoolClosed())

    def next(self, worker: _Worker) -> _Job | None:
        """Next job of a worker; None if the worker is to exit. Blocks."""
        with self._lock:
            worker.job, worker.abandoned = None, False
            if self._live() > self._count:  # another worker has replaced it
                self._leave(worker)
                return None
            self._idle += 1
            while not self._jobs and not self._closed:
                self._work.wait()
            self._idle -= 1
            if not self._jobs:
                self._leave(worker)
                return None
            worker.job = self._jobs.popleft()
            return worker.job

    def _leave(self, worker: _Worker) -> None:
        self._workers.discard(worker)
        self._left.notify_all()

    def _live(self) -> int:
        return sum(not worker.abandoned for worker in self._workers)

    def _start_worker(self) -> None:
        """Start one more thread if the limits allow it."""
        if self._live() < self._count and len(self._workers) < self._count + self._spare:
            worker = _Worker(self)
            self._workers.add(worker)
            worker.start()

    def _watch(self) -> None:
        while (busy := self._list_running()) is not None:
            before = time.monotonic()
            time.sleep(TICK)
            now = time.monotonic()
            for worker, job in busy:
                if now - before > GAP:
                    worker.watch.extend(now - before - TICK)
                elif worker.watch.check(now):
                    self._abandon(worker, job)

    def _list_running(self) -> list[tuple[_Worker, _Job]] | None:
        """Workers with a job, as soon as there are any; None when the pool is closed."""
        with self._lock:
            while True:
                busy = [(w, w.job) for w in self._workers if w.job is not None and not w.abandoned]
                if busy or self._jobs:
                    return busy
                if self._closed:
                    return None
                self._busy.wait()

    def _abandon(self, worker: _Worker, job: _Job) -> None:
        with self._lock:
            if worker.job is not job:  # it returned after all
                return
            worker.abandoned = True
            self._stuck = worker.watch.limit
            if self._jobs:
                self._start_worker()
            self._left.notify_all()
        _fail(job, self._overran(self._stuck))


def _fail(job: _Job, error: BaseException) -> None:
    with contextlib.suppress(InvalidStateError):
        job.future.set_exception(error)
