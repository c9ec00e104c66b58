"""Detects a HAProxy that is alive but does not answer, as after SIGSTOP or in a deadlock.

A probe waits for an answer in its own thread, on a blocking socket. An answer that arrives while this process is
stopped or delayed is still there afterwards, so only HAProxy's own silence counts.
"""

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tidegate.host.process_stats import ProcessStats
from tidegate.host.stalls import got_nowhere

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
    """None: nothing came in time."""
    try:
        return asked.recv(_READ)
    except TimeoutError:
        return None
