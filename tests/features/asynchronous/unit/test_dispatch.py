"""A dispatcher is judged by the progress it makes: one that holds its lock and does nothing is replaced."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from tidegate.domain.errors import Unavailable
from tidegate.features.asynchronous import dispatcher_supervisor
from tidegate.features.asynchronous.dispatcher.dispatch import Dispatcher
from tidegate.features.asynchronous.dispatcher.processor import RequestProcessor
from tidegate.features.asynchronous.dispatcher.snapshot import QueueSnapshot
from tidegate.features.asynchronous.dispatcher_supervisor import (
    STUCK,
    DispatcherSupervisor,
    RunningDispatcher,
    digest,
    find_running,
    start_settings,
)
from tidegate.host.installation import Installation
from tidegate.ports.queue import Queue
from tidegate.settings import Settings


@pytest.fixture
def supervisor(tmp_path: Path) -> DispatcherSupervisor:
    (tmp_path / "dispatch").mkdir()
    return DispatcherSupervisor(
        start_settings(Settings(state=tmp_path), tmp_path / "queued.sock"), Installation.take(tmp_path)
    )


@pytest.fixture
def holder(supervisor: DispatcherSupervisor) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the dispatcher's lock and does nothing."""
    lock = (supervisor.folder / "lock").open("a+b")
    fcntl.flock(lock, fcntl.LOCK_EX)
    mark = supervisor.installation.python
    sleeper = [sys.executable, *mark, "-c", "import time; time.sleep(600)", str(supervisor.folder)]
    process = subprocess.Popen(sleeper, pass_fds=[lock.fileno()])
    lock.write(msgspec.json.encode(RunningDispatcher(process.pid, digest(supervisor.start))))
    lock.close()  # the child has it now
    yield process
    process.kill()
    process.wait()


def test_a_dispatcher_without_progress_is_ended(
    supervisor: DispatcherSupervisor, holder: subprocess.Popen[bytes]
) -> None:
    os.kill(holder.pid, signal.SIGSTOP)  # nor does it hear a SIGTERM
    for _ in range(STUCK):
        supervisor.ensure(needed=True)
        assert holder.poll() is None
    supervisor.ensure(needed=True)
    assert holder.wait(300) == -signal.SIGKILL
    assert find_running(supervisor.folder) is None


def test_a_dispatcher_with_progress_is_left_alone(
    supervisor: DispatcherSupervisor, holder: subprocess.Popen[bytes]
) -> None:
    for second in range(3 * STUCK):
        if second % (STUCK - 1) == 0:
            os.utime(supervisor.folder / "lock", (second, second))
        supervisor.ensure(needed=True)
    assert holder.poll() is None


class SilentQueue:
    """Each call on it ends at its deadline."""

    def __init__(self) -> None:
        self.calls = 0
        self.well = False

    async def take_over(self, now: float) -> int:
        return 0

    async def extend(self, fences: dict[str, int], until: float) -> set[str]:
        return set()

    async def overdue(self, most: int, now: float, until: float) -> list[Any]:
        self.calls += 1
        if not self.well:
            raise Unavailable("the database did not answer")
        return []

    async def strangers(self, known: object) -> dict[str, float]:
        return {}


async def test_turns_that_do_not_reach_the_queue_are_no_progress() -> None:
    queue, seen = SilentQueue(), list[int]()

    stopping = asyncio.Event()
    dispatcher = Dispatcher(
        cast(Queue, queue), cast(RequestProcessor, None), QueueSnapshot, lambda: seen.append(queue.calls)
    )
    running = asyncio.create_task(dispatcher.run(stopping, 0))
    async with asyncio.timeout(300):
        while queue.calls < 3:
            await asyncio.sleep(0.01)
        assert seen == []
        queue.well = True
        while not seen:
            await asyncio.sleep(0.01)
    stopping.set()
    await running


def test_a_dispatcher_of_another_version_of_the_program_is_replaced(
    supervisor: DispatcherSupervisor, holder: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.ensure(needed=True)
    assert holder.poll() is None
    monkeypatch.setattr(dispatcher_supervisor, "PROGRAM", "the next version")
    supervisor.ensure(needed=True)
    assert holder.wait(timeout=300) == -signal.SIGTERM
