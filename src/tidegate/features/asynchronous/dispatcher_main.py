"""The dispatcher's process. A controller starts it (``dispatcher_supervisor.py``), and it outlives the controller."""

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import StartupError
from tidegate.features.asynchronous.dispatcher.calls import ModelClient
from tidegate.features.asynchronous.dispatcher.dispatch import Dispatcher
from tidegate.features.asynchronous.dispatcher.objects import Objects
from tidegate.features.asynchronous.dispatcher.outcomes import Notifier
from tidegate.features.asynchronous.dispatcher.processor import RequestProcessor
from tidegate.features.asynchronous.dispatcher.snapshot import QueueSnapshot
from tidegate.features.asynchronous.dispatcher_supervisor import DispatcherSettings, RunningDispatcher, digest
from tidegate.host.atomic_write import write_private
from tidegate.host.log_repeats import limit_repeats
from tidegate.host.webhooks import Webhooks
from tidegate.storage.output_files import OutputFiles
from tidegate.store import DatabaseLimits
from tidegate.store.database import Database, open_database
from tidegate.store.queue import SqlQueue

log = logging.getLogger("tidegate.dispatch")

GARBAGE_THRESHOLD = 20_000
"""Objects more than there were at the last collection of garbage before the next one."""
THREADS = 32
"""That read, write and tell: each waits for a disk or a network most of its time."""


def main() -> None:
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form)
    for chatty in ("alembic", "httpx", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    limit_repeats()
    start = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=prepare_type(DispatcherSettings))
    folder = Path(start.folder)
    with (folder / "lock").open("a+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another one was faster
        lock.truncate(0)
        lock.write(msgspec.json.encode(RunningDispatcher(os.getpid(), digest(start))))
        lock.flush()
        try:
            uvloop.run(dispatch(start, partial(touch, lock.fileno())))
        except StartupError as error:
            log.error("%s", error)
            sys.exit(1)


def touch(lock: int) -> None:
    """Show progress to the controller (``dispatcher_supervisor.find_running``)."""
    with contextlib.suppress(OSError):
        os.utime(lock)


async def dispatch(start: DispatcherSettings, progress: Callable[[], None]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.set_default_executor(ThreadPoolExecutor(THREADS, "storage"))
    folder = Path(start.folder)
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    database = open_database(start.database_url, serial=False, limits=DatabaseLimits(start.database_timeout))
    calls = ModelClient(start.socket, start.most)
    _collect_rarely()
    try:
        await dispatcher(start, database, calls, scratch, progress).run(stopping, start.grace)
    finally:
        calls.close()
        await database.close()


def _collect_rarely() -> None:
    """Exclude imported objects from garbage collection, and collect rarely. Imported objects are never freed.
    Requests leave hardly any cycles, but thousands of objects are alive at once, and traversing them took a tenth of
    the processor time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)


def dispatcher(
    start: DispatcherSettings, database: Database, calls: ModelClient, scratch: Path, progress: Callable[[], None]
) -> Dispatcher:
    readable = None if start.readable is None else tuple(Path(root) for root in start.readable)
    outputs = OutputFiles([Path(root) for root in start.writable])
    objects = Objects(outputs, readable, start.s3_endpoint, start.region, start.most)
    webhooks = Webhooks(start.webhook_secret, start.webhook_hosts)
    notices = Notifier(outputs, webhooks, start.sns_endpoint, start.region)
    queue = SqlQueue(database, holder(Path(start.folder)))
    work = RequestProcessor(queue, calls, objects, notices, scratch, start.region)
    return Dispatcher(queue, work, _SnapshotReader(Path(start.folder) / "page.json").read, progress)


def holder(folder: Path) -> str:
    """The id under which this installation leases requests, drawn once. Only the holder of the lock uses it."""
    path = folder / "holder"
    if not path.exists():
        write_private(path, secrets.token_hex(16).encode())
    return path.read_text()


@dataclass
class _SnapshotReader:
    """Read the controller's page, again whenever the file was replaced."""

    path: Path
    _seen: tuple[int, int] = (0, 0)
    _page: QueueSnapshot = field(default_factory=QueueSnapshot)

    def read(self) -> QueueSnapshot:
        try:
            status = self.path.stat()
            if (status.st_ino, status.st_mtime_ns) != self._seen:
                self._page = msgspec.json.decode(self.path.read_bytes(), type=prepare_type(QueueSnapshot))
                self._seen = (status.st_ino, status.st_mtime_ns)
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s: %s", self.path, error)
        return self._page


if __name__ == "__main__":
    main()
