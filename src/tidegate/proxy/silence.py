"""Detects a HAProxy that is alive but does not answer, as after SIGSTOP or in a deadlock.

A probe waits for an answer in its own thread, on a blocking socket. An answer that arrives while this process is
stopped or delayed is still there afterwards, so only HAProxy's own silence counts.

The watchdog kills a silent HAProxy; whoever checks that it runs then restarts it. It takes no lock: the holder of the
router's lock may itself be waiting for the silent process, and gets an error once that is gone.
"""

import asyncio
import logging
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tidegate.host.aligned_pauses import align
from tidegate.host.process_stats import ProcessStats, got_nowhere
from tidegate.proxy.process import Master
from tidegate.proxy.runtime import Runtime

PROBE_TIMEOUT = 1.0
"""Seconds that a probe waits for an answer; it usually takes a millisecond."""
PROMPT = 0.05
"""Seconds without an answer from which on a probe looks at what the process does."""
IDLE_LIMIT = 3.0
"""Seconds of silence after which an idle HAProxy is replaced."""
BUSY_LIMIT = 30.0
"""The same for a busy one or one that waits for a processor: it may be loading a large configuration."""
MAX_PROBE_TIME = 1.5
"""Maximum seconds that one probe counts: this process may have been stopped meanwhile."""
_READ = 1 << 16
_QUEUE_PAUSE = 0.01
_PID = re.compile(rb"^Pid: (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class SilenceProbe:
    """Result of one probe. ``pid``: the process that answered, if the answer says so."""

    silent: bool
    seconds: float
    idle: bool = False
    """Whether the process neither ran nor waited for a processor meanwhile. False if unknown."""
    pid: int | None = None


@dataclass(frozen=True)
class Silence:
    """Seconds of consecutive unanswered probes. Pure."""

    total: float = 0.0
    idle: float = 0.0
    """The last of these seconds, during which the process was idle."""

    def after(self, probe: SilenceProbe) -> "Silence":
        if not probe.silent:
            return Silence()
        step = min(probe.seconds, MAX_PROBE_TIME)
        return Silence(self.total + step, self.idle + step if probe.idle else 0.0)

    @property
    def reason(self) -> str | None:
        """Why HAProxy has to be replaced; None if it need not be."""
        if self.idle >= IDLE_LIMIT:
            return f"has answered no command for {self.total:.0f} s and is idle: it is stopped or hangs"
        return f"has answered no command for {self.total:.0f} s" if self.total >= BUSY_LIMIT else None


def probe(path: Path, command: str, pid: int) -> SilenceProbe:
    """Probe a command socket. ``pid``: the process to inspect if it does not answer. Blocks for up to
    ``PROBE_TIMEOUT``. A socket that refuses or hangs up is not silent: HAProxy has ended, or is about to serve."""
    began, looks = time.monotonic(), list[tuple[float, ProcessStats | None]]()

    def look() -> None:
        looks.append((time.monotonic(), ProcessStats.of(pid)))

    answer = _query(path, command, lambda: None if looks else look())
    seconds = time.monotonic() - began
    if answer is not None:
        found = _PID.search(answer)
        return SilenceProbe(silent=False, seconds=seconds, pid=int(found[1]) if found else None)
    look()
    (since, before), (until, after) = looks[0], looks[-1]
    return SilenceProbe(silent=True, seconds=seconds, idle=got_nowhere(before, after, until - since))


def _query(path: Path, command: str, wait: Callable[[], None]) -> bytes | None:
    """First part of the answer, empty if nothing listens; None: no answer in time. Retries while the connection queue
    is full. ``wait`` is called whenever there is no prompt answer."""
    deadline = time.monotonic() + PROBE_TIMEOUT
    while (left := deadline - time.monotonic()) > 0:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(min(left, PROMPT))
            try:
                asked.connect(str(path))
                asked.sendall(command.encode())
                if (answer := _receive(asked)) is not None:
                    return answer
                wait()
                asked.settimeout(max(PROMPT, deadline - time.monotonic()))
                return _receive(asked)
            except TimeoutError:
                wait()
            except BlockingIOError:
                wait()
                time.sleep(_QUEUE_PAUSE)
            except OSError:
                return b""
    return None


def _receive(asked: socket.socket) -> bytes | None:
    """Read from the socket. None: nothing came in time."""
    try:
        return asked.recv(_READ)
    except TimeoutError:
        return None


log = logging.getLogger(__name__)

PROBE_EVERY = 0.5
"""Seconds between an answer and the next probe."""


class Watchdog:
    """Watches one HAProxy at a time, identified by the master's pid."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._silence = Silence()
        self._master = 0
        self._worker = 0
        """Pid that last answered on the worker's socket; 0: unknown."""
        self._task: asyncio.Task[None] | None = None

    def watch(self, master: Master) -> None:
        """Watch this process, and no other, until ``stop``."""
        self.stop()
        self._task = asyncio.create_task(self._run(master), name="haproxy's watchdog")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def look(self, master: int) -> Silence:
        """Probe master and worker once. Returns how long either has been silent."""
        if master != self._master:
            self._master, self._worker, self._silence = master, 0, Silence()
        found = await asyncio.to_thread(self._probe, master, self._worker or master)
        self._worker = found.pid or self._worker
        self._silence = self._silence.after(found)
        return self._silence

    def _probe(self, master: int, worker: int) -> SilenceProbe:
        """The worker, and if that answers the master. In one thread: this is done twice a second for ever."""
        found = probe(self._runtime.admin, "show info\n", worker)
        if found.silent:
            return found
        return replace(probe(self._runtime.master, "show proc\nquit\n", master), pid=found.pid)

    async def _run(self, master: Master) -> None:
        while True:
            try:
                await self._turn(master)
            except Exception:
                log.exception("haproxy could not be probed; retrying")
                self._silence = Silence()
            if not self._silence.total:
                await asyncio.sleep(align(PROBE_EVERY))

    async def _turn(self, master: Master) -> None:
        known = master.identity()
        if known is None:
            self._silence = Silence()
            return
        if why := (await self.look(known.pid)).reason:
            log.warning("haproxy (pid %d) %s; killing and restarting it", known.pid, why)
            await asyncio.to_thread(master.kill_with_workers, known)
            self._silence = Silence()
