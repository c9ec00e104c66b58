"""The dispatcher's process, and how the controller keeps one running.

One runs on a machine at a time: it holds a lock on a file, which ends with it however it ends. A controller that
finds the lock free starts one; one that runs outlives the controller, and its successor leaves it alone unless it was
started with other settings.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from tidegate.adapters.store import SqlStore
from tidegate.adapters.store.database import Database, open_database
from tidegate.adapters.store.queue import SqlQueue
from tidegate.delivery.calls import Calls
from tidegate.delivery.dispatcher import Dispatcher, Page, Served
from tidegate.delivery.files import Files
from tidegate.delivery.notices import Notices
from tidegate.delivery.objects import Objects
from tidegate.delivery.webhooks import Webhooks
from tidegate.delivery.work import Work
from tidegate.settings import Settings
from tidegate.targets.local.folders import write_whole

log = logging.getLogger("tidegate.dispatch")

STOP_TURN = 0.05
THREADS = 32
"""That read, write and tell: each waits for a disk or a network most of its time."""


@dataclass(frozen=True)
class Start:
    """What a dispatcher is started with."""

    database_url: str
    socket: str
    """The proxy's, for requests from the queue."""
    folder: str
    readable: tuple[str, ...] | None
    writable: tuple[str, ...]
    s3_endpoint: str
    sns_endpoint: str
    webhook_secret: str
    webhook_hosts: tuple[str, ...]
    region: str
    most: int
    grace: float


@dataclass(frozen=True)
class Runs:
    """Written into the lock by who holds it."""

    pid: int
    start: str
    """Digest of its ``Start``."""


def start_of(settings: Settings, socket: Path) -> Start:
    anywhere = settings.loopback and not settings.file_roots
    return Start(
        database_url=settings.database_url or f"sqlite:///{settings.state / 'tidegate.db'}",
        socket=str(socket),
        folder=str(settings.state / "dispatch"),
        readable=None if anywhere else tuple(str(root) for root in settings.file_roots),
        writable=tuple(str(root) for root in settings.output_roots or (settings.state / "outputs",)),
        s3_endpoint=settings.s3_endpoint,
        sns_endpoint=settings.sns_endpoint,
        webhook_secret=settings.webhook_secret,
        webhook_hosts=settings.webhook_hosts,
        region=settings.region,
        most=settings.async_max_body,
        grace=float(settings.drain_timeout),
    )


@dataclass
class Supervisor:
    """The controller's side."""

    start: Start
    log: Path
    _child: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def folder(self) -> Path:
        return Path(self.start.folder)

    def update(self, now: float, endpoints: Mapping[str, tuple[int, str]], needed: bool) -> None:
        """What the dispatcher may hand out from now on: endpoint -> requests in hand, variant; and whether one is
        needed."""
        page = Page(now, {name: Served(*served) for name, served in endpoints.items()})
        if needed:
            write_whole(self.folder / "page.json", msgspec.json.encode(page))
        self.ensure(needed)

    def ensure(self, needed: bool) -> None:
        """Starts a dispatcher where none runs and one is needed; replaces one with other settings."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        running = runs(self.folder)
        if running is not None:
            if running.start != digest(self.start):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.pid, signal.SIGTERM)
        elif needed and self._child is None:
            path = self.folder / "start.json"
            write_whole(path, msgspec.json.encode(self.start))
            with self.log.open("ab") as output:
                self._child = subprocess.Popen(
                    [sys.executable, "-m", "tidegate.compose.dispatching", str(path)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )

    async def stop(self) -> None:
        """Waits until it has ended; by force where it does not in time."""
        deadline = asyncio.get_running_loop().time() + self.start.grace + 5
        asked = False
        while (running := runs(self.folder)) is not None:
            late = asyncio.get_running_loop().time() > deadline
            if late or not asked:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.pid, signal.SIGKILL if late else signal.SIGTERM)
                asked = True
            await asyncio.sleep(STOP_TURN)
        if self._child is not None:
            await asyncio.to_thread(self._child.wait)
            self._child = None


def queue_database(settings: Settings, store: SqlStore) -> Database:
    """The store's own; on PostgreSQL one beside it, so that requests are taken while records are written."""
    if store.database.dialect == "sqlite":
        return store.database
    return open_database(settings.database_url, serial=False)


def digest(start: Start) -> str:
    return hashlib.sha256(msgspec.json.encode(start)).hexdigest()


def runs(folder: Path) -> Runs | None:
    """Who holds the lock; None: nobody, or one that has not said so yet and will be there at the next look."""
    try:
        with (folder / "lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return msgspec.json.decode(file.read(), type=Runs)
    except (OSError, msgspec.DecodeError):
        return None
    return None


def main() -> None:
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form)
    for chatty in ("alembic", "httpx", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    start = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Start)
    folder = Path(start.folder)
    with (folder / "lock").open("a+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another one was faster
        lock.truncate(0)
        lock.write(msgspec.json.encode(Runs(os.getpid(), digest(start))))
        lock.flush()
        uvloop.run(dispatch(start))


async def dispatch(start: Start) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.set_default_executor(ThreadPoolExecutor(THREADS, "storage"))
    folder = Path(start.folder)
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    database = open_database(start.database_url, serial=False)
    calls = Calls(start.socket, start.most)
    try:
        await dispatcher(start, database, calls, scratch).run(stopping, start.grace)
    finally:
        calls.close()
        await database.close()


def dispatcher(start: Start, database: Database, calls: Calls, scratch: Path) -> Dispatcher:
    readable = None if start.readable is None else tuple(Path(root) for root in start.readable)
    writable = tuple(Path(root) for root in start.writable)
    files = Files(readable, writable)
    objects = Objects(files, start.s3_endpoint, start.region, start.most)
    webhooks = Webhooks(start.webhook_secret, start.webhook_hosts)
    notices = Notices(files, webhooks, start.sns_endpoint, start.region)
    queue = SqlQueue(database, holder(Path(start.folder)))
    work = Work(queue, calls, objects, notices, scratch, start.region)
    return Dispatcher(queue, work, Reader(Path(start.folder) / "page.json").read)


def holder(folder: Path) -> str:
    """The name of this place, drawn once. Only who has its lock leases under it."""
    path = folder / "holder"
    if not path.exists():
        write_whole(path, secrets.token_hex(16).encode())
    return path.read_text()


@dataclass
class Reader:
    """The controller's page, read again when it is another file."""

    path: Path
    _seen: tuple[int, int] = (0, 0)
    _page: Page = field(default_factory=Page)

    def read(self) -> Page:
        try:
            status = self.path.stat()
            if (status.st_ino, status.st_mtime_ns) != self._seen:
                self._page = msgspec.json.decode(self.path.read_bytes(), type=Page)
                self._seen = (status.st_ino, status.st_mtime_ns)
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s: %s", self.path, error)
        return self._page


if __name__ == "__main__":
    main()
